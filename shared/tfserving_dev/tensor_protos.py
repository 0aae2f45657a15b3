"""`TensorProto` to NumPy and back, by the rules of TensorFlow's own `Tensor::FromProto` and `AsProtoField`.

Pure functions. Strings are object arrays of `bytes`, as in `recur.serving.native`.
"""

import math

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from tfserving_dev.serving_error import ServingError, invalid
from tfserving_dev.status import Code

LARGEST = 1 << 28
"""Bytes that a tensor of a request may take: a small message can announce a large tensor of one repeated value."""

_FIELDS = {
    types_pb2.DT_FLOAT: (np.float32, "float_val"),
    types_pb2.DT_DOUBLE: (np.float64, "double_val"),
    types_pb2.DT_INT32: (np.int32, "int_val"),
    types_pb2.DT_UINT8: (np.uint8, "int_val"),
    types_pb2.DT_INT16: (np.int16, "int_val"),
    types_pb2.DT_INT8: (np.int8, "int_val"),
    types_pb2.DT_UINT16: (np.uint16, "int_val"),
    types_pb2.DT_INT64: (np.int64, "int64_val"),
    types_pb2.DT_UINT32: (np.uint32, "uint32_val"),
    types_pb2.DT_UINT64: (np.uint64, "uint64_val"),
    types_pb2.DT_BOOL: (np.bool_, "bool_val"),
    types_pb2.DT_STRING: (np.object_, "string_val"),
    types_pb2.DT_HALF: (np.float16, "half_val"),
    types_pb2.DT_COMPLEX64: (np.complex64, "scomplex_val"),
    types_pb2.DT_COMPLEX128: (np.complex128, "dcomplex_val"),
}
_NUMBERS = {np.dtype(dtype): number for number, (dtype, _) in _FIELDS.items()}


def type_number(dtype: np.dtype) -> int:
    """TensorFlow's number of a NumPy type (`DT_STRING` for objects)."""
    return _NUMBERS[dtype]


def type_name(dtype: np.dtype) -> str:
    """TensorFlow's name of a NumPy type: `float`, `string`, `half`."""
    return types_pb2.DataType.Name(_NUMBERS[dtype]).removeprefix("DT_").lower()


def from_proto(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    """The array that a message holds.

    Where it has fewer values than elements the last one is repeated; where it has none they are zeros or empty.

    Args:
        name: The input's name, for messages.
        proto: The message.

    Returns:
        An array of the message's type and shape, which the caller must not write to.

    Raises:
        ServingError: The message is of no known type, contradicts itself or is too large.
    """
    if proto.dtype not in _FIELDS:
        raise invalid(f"input tensor {name} has type {types_pb2.DataType.Name(proto.dtype)}, which is not served")
    dtype, field = _FIELDS[proto.dtype]
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0 or len(shape) > 64:
        raise invalid(f"tensor parsing error: {name}")
    size = math.prod(shape)
    if size * np.dtype(dtype).itemsize > LARGEST:
        raise ServingError(Code.RESOURCE_EXHAUSTED, f"input tensor {name} has {size} elements, more than are served")
    if proto.tensor_content:
        if dtype is np.object_ or len(proto.tensor_content) != size * np.dtype(dtype).itemsize:
            raise invalid(f"tensor parsing error: {name}")
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    return _from_values(getattr(proto, field), dtype, size).reshape(shape)


def _from_values(values: object, dtype: type, size: int) -> np.ndarray:
    if dtype is np.float16:
        given = np.array(values, np.uint16).view(np.float16)
    elif issubclass(dtype, np.complexfloating):
        given = np.array(values, np.finfo(dtype).dtype)
        given = given[: given.size // 2 * 2].view(dtype)
    elif dtype is np.object_:
        given = np.fromiter(values, object, len(values))  # NumPy's own strings lose trailing NULs
    else:
        given = np.array(
            values, np.int32 if np.issubdtype(dtype, np.integer) and np.dtype(dtype).itemsize < 4 else dtype
        )
        given = given.astype(dtype, copy=False)  # cut, as TensorFlow does
    if given.size >= size:
        return given[:size]
    filled = np.full(size, given[-1] if given.size else b"" if dtype is np.object_ else 0, dtype)
    filled[: given.size] = given
    return filled


def to_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    """A message with the values in the field of their type, where clients of TensorFlow Serving look for them."""
    number = _NUMBERS[array.dtype]
    proto = tensor_pb2.TensorProto(dtype=number, tensor_shape={"dim": [{"size": size} for size in array.shape]})
    flat = np.ascontiguousarray(array).ravel()
    if array.dtype == np.float16:
        flat = flat.view(np.uint16)
    elif array.dtype.kind == "c":
        flat = flat.view(np.finfo(array.dtype).dtype)
    getattr(proto, _FIELDS[number][1]).extend(flat.tolist())
    return proto
