"""Arrays as a server takes them and answers with: in the JSON of its REST interface, and as `TensorProto`.

No TensorFlow is needed. In JSON strings travel as text, or as `{"b64": …}` where the tensor's name ends in `_bytes` or
they are not UTF-8; numbers that are not finite as `NaN`, `Infinity` and `-Infinity`, which is not JSON and which
TensorFlow Serving's documentation allows. orjson, many times as fast as Python's own, knows only JSON: Python writes
and reads what else occurs.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

_TYPES = {
    "DT_FLOAT": (1, np.float32, "float_val"),
    "DT_DOUBLE": (2, np.float64, "double_val"),
    "DT_INT32": (3, np.int32, "int_val"),
    "DT_UINT8": (4, np.uint8, "int_val"),
    "DT_INT16": (5, np.int16, "int_val"),
    "DT_INT8": (6, np.int8, "int_val"),
    "DT_STRING": (7, np.object_, "string_val"),
    "DT_INT64": (9, np.int64, "int64_val"),
    "DT_BOOL": (10, np.bool_, "bool_val"),
    "DT_UINT16": (17, np.uint16, "int_val"),
    "DT_HALF": (19, np.float16, "half_val"),
    "DT_UINT32": (22, np.uint32, "uint32_val"),
    "DT_UINT64": (23, np.uint64, "uint64_val"),
}
"""By TensorFlow's name of a type: its number, NumPy's type, and the field of a `TensorProto` with single values."""
DTYPES = {name: np.dtype(kind) for name, (_, kind, _) in _TYPES.items()}
"""NumPy's types by TensorFlow's names; strings are `bytes` objects."""
_NUMBERS = {np.dtype(kind): number for number, kind, _ in _TYPES.values()}
_FIELDS = {number: (kind, field) for number, kind, field in _TYPES.values()}

Spec = tuple[np.dtype, tuple[int, ...]]
"""Type and shape of a tensor; -1 where a size varies, and no sizes where the rank does."""


def request_body(signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """The body of a `:predict` request, in the column format.

    Args:
        signature: Its name.
        inputs: Arrays by name. Numbers get the digits that tell them from their neighbours in their own precision.
    """
    if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in inputs.values()):
        columns = {
            name: _native(array) if array.ndim and array.dtype.kind != "O" else to_json(name, array)
            for name, array in inputs.items()
        }
        document = {"signature_name": signature, "inputs": columns}
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    columns = {name: to_json(name, array) for name, array in inputs.items()}
    document = {"signature_name": signature, "inputs": columns}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _native(array: np.ndarray) -> np.ndarray:
    """The array in the order and the endianness that orjson writes."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def read_document(body: bytes) -> Any:
    """The JSON of an answer; bytes in it that are not UTF-8 stand in its strings as surrogate escapes.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body.decode("utf-8", "surrogateescape"))


def to_json(name: str, array: np.ndarray) -> Any:
    """An array as nested lists.

    Args:
        name: Of the tensor, which decides how strings travel.
        array: Of numbers, or of `bytes` objects.
    """
    if array.dtype.kind != "O":
        return array.tolist()
    binary = name.endswith("_bytes")
    flat = np.fromiter((_string_to_json(text, binary) for text in array.flat), object, array.size)
    return flat.reshape(array.shape).tolist()


def _string_to_json(text: bytes, binary: bool) -> Any:
    if not binary:
        try:
            return text.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(text).decode()}


def from_json(value: Any, spec: Spec) -> np.ndarray:
    """Nested lists as an array.

    Args:
        value: As a server writes it, decoded with `surrogateescape`: its strings may be no UTF-8.
        spec: What the signature says of the tensor.

    Raises:
        ValueError: It is something else.
    """
    dtype, sizes = spec
    if dtype.kind != "O":
        array = np.asarray(value, dtype)
    else:
        flat: list[bytes] = []
        shape = _flatten(value, flat)
        array = np.fromiter(flat, object, len(flat)).reshape(shape)
    if array.size == 0 and array.ndim < len(sizes):  # no row says how long rows are
        array = array.reshape(tuple(max(size, 0) for size in (0, *sizes[1:])))
    return array


def _flatten(value: Any, flat: list[bytes]) -> tuple[int, ...]:
    """Appends the strings in nested lists; returns the shape."""
    if isinstance(value, str):
        flat.append(value.encode("utf-8", "surrogateescape"))
        return ()
    if isinstance(value, Mapping) and value.keys() == {"b64"}:
        flat.append(base64.b64decode(value["b64"], validate=True))
        return ()
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} where a string should be")
    shapes = {_flatten(item, flat) for item in value}
    if len(shapes) > 1:
        raise ValueError("lists of unequal lengths")
    return (len(value), *(shapes.pop() if shapes else ()))


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
    if proto.dtype not in _FIELDS:
        raise ValueError(f"a tensor of type {proto.dtype} has no array")
    kind, field = _FIELDS[proto.dtype]
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
