"""Arrays as TensorFlow's `TensorProto`, and back, without TensorFlow."""

from typing import Any

import numpy as np

_DTYPES: dict[int, tuple[type, str]] = {  # TensorFlow's numbers: NumPy's type, and the field of single values
    **{1: (np.float32, "float_val"), 2: (np.float64, "double_val"), 3: (np.int32, "int_val")},
    **{4: (np.uint8, "int_val"), 5: (np.int16, "int_val"), 6: (np.int8, "int_val"), 7: (np.object_, "string_val")},
    **{9: (np.int64, "int64_val"), 10: (np.bool_, "bool_val"), 17: (np.uint16, "int_val")},
    **{19: (np.float16, "half_val"), 22: (np.uint32, "uint32_val"), 23: (np.uint64, "uint64_val")},
}
_NUMBERS = {np.dtype(kind): number for number, (kind, _) in _DTYPES.items()}


def fill_tensor_proto(proto: Any, array: np.ndarray) -> None:
    """Writes an array into an empty `TensorProto`.

    Args:
        proto: The message.
        array: Of numbers, or of `bytes` objects.

    Raises:
        ValueError: TensorFlow has no such type.
    """
    if array.dtype not in _NUMBERS:
        raise ValueError(f"TensorFlow takes no array of {array.dtype}")
    proto.dtype = _NUMBERS[array.dtype]
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype.kind == "O":
        proto.string_val.extend(array.ravel().tolist())
    else:
        proto.tensor_content = array.tobytes()


def from_tensor_proto(proto: Any) -> np.ndarray:
    """The array of a `TensorProto`, whichever way it is written.

    Raises:
        ValueError: It is of a type that has no array.
    """
    if proto.dtype not in _DTYPES:
        raise ValueError(f"a tensor of type {proto.dtype} has no array")
    kind, field = _DTYPES[proto.dtype]
    shape = [dim.size for dim in proto.tensor_shape.dim]
    count = int(np.prod(shape, dtype=np.int64))
    if proto.tensor_content and kind is not np.object_:
        return np.frombuffer(proto.tensor_content, kind).reshape(shape).copy()
    values = getattr(proto, field)
    if field == "half_val":  # the bits of each number
        array = np.array(values, np.uint16).view(np.float16)
    else:
        array = np.fromiter(values, kind, len(values))
    if len(array) < count:  # the last value stands for all that follow it; where there is none, they are zero
        last = array[-1:] if len(array) else np.array([b"" if kind is np.object_ else 0], kind)
        array = np.concatenate([array, np.repeat(last, count - len(array))])
    return array.reshape(shape)
