"""Tensors of requests and answers: NumPy's arrays to and from `TensorProto`, and from JSON.

Strings are object arrays of `bytes`. `TensorProto` is read and written by the rules of TensorFlow's own
`Tensor::FromProto` and `AsProtoField`. JSON is read as TensorFlow Serving's parser reads it, which takes a little more
than JSON: `NaN`, `Inf` and `Infinity` are numbers, what follows the document is ignored, and bytes in a string need not
be UTF-8. Of nested lists a whole level is looked at at once, so that the cost of an element is not that of a Python
statement.
"""

import base64
import binascii
import itertools
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from tensorboard.compat.proto import types_pb2

from tfserving_dev.errors import Code, ServingError, invalid

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
"""NumPy's type, and the field of a `TensorProto` with its single values, by TensorFlow's number of the type (which
TensorBoard's copy gives without the import of all of TensorFlow)."""
DTYPES: dict[int, np.dtype] = {number: np.dtype(dtype) for number, (dtype, _) in _FIELDS.items()}
"""NumPy's types by TensorFlow's numbers. Strings are Python objects, for NumPy's own drop trailing NULs."""
NUMBERS: dict[np.dtype, int] = {dtype: number for number, dtype in DTYPES.items()}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN = 256
_NO_NUMBERS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(?P<sign>-?)(?P<what>Inf(?:inity)?|NaN)\b', re.DOTALL)
"""Strings, to be passed over and never gone back into, and what the parser takes for numbers in more spellings."""
_JSON_TYPES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", type(None): "Null"}
_MOST_DIMENSIONS = 32
_NOT_SERVED = (np.float16, np.uint16)
_LEAVES = {
    "f": frozenset({int, float}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
    "O": frozenset({str, dict}),
}


def type_name(dtype: np.dtype) -> str:
    """TensorFlow's name of a NumPy type: `float`, `string`, `half`."""
    return types_pb2.DataType.Name(NUMBERS[dtype]).removeprefix("DT_").lower()


def from_proto(name: str, proto: Any) -> np.ndarray:
    """The array that a message holds.

    Where it has fewer values than elements the last one is repeated; where it has none they are zeros or empty.

    Args:
        name: The input's name, for messages.
        proto: The `TensorProto`.

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


def _from_values(values: Sequence[Any], dtype: type, size: int) -> np.ndarray:
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
    filled: np.ndarray = np.full(size, given[-1] if given.size else b"" if dtype is np.object_ else 0, dtype)
    filled[: given.size] = given
    return filled


def fill_proto(proto: Any, array: np.ndarray) -> None:
    """Writes an array into an empty `TensorProto`, in the field where clients of TensorFlow Serving look for it."""
    proto.dtype = NUMBERS[array.dtype]
    proto.tensor_shape.SetInParent()  # for a scalar too
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = np.ascontiguousarray(array).ravel()
    if array.dtype == np.float16:
        flat = flat.view(np.uint16)
    elif array.dtype.kind == "c":
        flat = flat.view(np.finfo(array.dtype).dtype)
    getattr(proto, _FIELDS[proto.dtype][1]).extend(flat.tolist())


def parse_document(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body.

    Returns:
        The object. Bytes that are not UTF-8 stand in its strings as Python's surrogate escapes.

    Raises:
        ServingError: The body is empty, no JSON, or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _parse_leniently(body)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def _parse_leniently(body: bytes) -> Any:
    text = body.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "surrogateescape").lstrip(" \t\r\n")
    try:
        return _DECODER.raw_decode(_NO_NUMBERS.sub(_as_python_spells, text))[0]
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: the document is nested too deeply") from None
    except ValueError:  # or an integer of thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored") from None


def _as_python_spells(match: re.Match[str]) -> str:
    if not match["what"]:
        return match[0]
    return "NaN" if match["what"] == "NaN" else f"{match['sign']}Infinity"


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("too big")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite)


def shown(value: Any) -> str:
    """The beginning of a value as JSON, for messages."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        text = _JSON_TYPES.get(type(value), "value")
    return text[:_SHOWN].encode("utf-8", "replace").decode()


def type_of(value: Any) -> str:
    """JSON's name of a value's type, for messages."""
    return str(value) if isinstance(value, bool) else _JSON_TYPES[type(value)]


def is_base64(value: Any) -> bool:
    """Whether a value is an object that stands for bytes: `{"b64": "…"}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: dict[str, Any]) -> bytes:
    """The bytes that such an object stands for.

    Raises:
        ServingError: It is another object, or its text is no base64.
    """
    if not is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    try:  # with line breaks, or without padding
        text = "".join(text.split())
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def encode_string(text: str) -> bytes:
    """The bytes of a string of the document.

    Raises:
        ServingError: It has half a surrogate pair.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


def to_array(value: Any, dtype: np.dtype) -> np.ndarray:
    """The tensor that a JSON value is.

    Args:
        value: A leaf, or lists in lists, equally long at each level, with leaves at the innermost.
        dtype: The type that the tensor must have; objects for strings.

    Returns:
        An array of that type, whose rank is the depth of the lists. Numbers are rounded to the type's precision.

    Raises:
        ServingError: The lists differ in length or depth, or a leaf is of another type.
    """
    if dtype.kind not in _LEAVES or dtype in _NOT_SERVED:
        message = f"Conversion of JSON Value: {shown(value)} to type: {type_name(dtype)}"
        raise ServingError(Code.UNIMPLEMENTED, message)
    shape, leaves = _flatten(value)
    _check_types(leaves, dtype, len(shape))
    try:
        if dtype.kind == "O":
            return _strings(leaves).reshape(shape)
        with np.errstate(over="ignore"):
            return np.array(leaves, dtype).reshape(shape)
    except OverflowError:
        raise _type_error(next(leaf for leaf in leaves if not _fits(leaf, dtype)), dtype) from None


def _flatten(value: Any) -> tuple[list[int], list[Any]]:
    """The shape that the first elements say, and all leaves in order."""
    shape: list[int] = []
    level = [value]
    while level and type(level[0]) is list:
        size = len(level[0])
        for element in level if len(set(map(type, level))) > 1 else ():
            if type(element) is not list:
                raise _misplaced(element, len(shape), level[0])
        if set(map(len, level)) != {size}:
            other = next(len(element) for element in level if len(element) != size)
            place = f"level: {len(shape)} expected size: {size}"
            raise invalid(f"Encountered list at unexpected size: {other} at {place}")
        shape.append(size)
        if len(shape) > _MOST_DIMENSIONS:
            raise invalid(f"Encountered list at unexpected level: {_MOST_DIMENSIONS} expected < {_MOST_DIMENSIONS}")
        level = level[0] if len(level) == 1 else list(itertools.chain.from_iterable(level))
    return shape, level


def _misplaced(leaf: Any, level: int, beside: list[Any]) -> ServingError:
    rank = level
    first: Any = beside
    while isinstance(first, list):
        rank, first = rank + 1, first[0] if first else None
    place = f"level: {level + 1} in the JSON DOM. Expected at level: {rank}"
    return invalid(f"JSON Value: {shown(leaf)} found at incorrect {place}")


def _check_types(leaves: list[Any], dtype: np.dtype, rank: int) -> None:
    allowed = _LEAVES[dtype.kind]
    if set(map(type, leaves)) <= allowed:
        return
    wrong = next(leaf for leaf in leaves if type(leaf) not in allowed)
    if isinstance(wrong, list):
        raise invalid(f"Encountered list at unexpected level: {rank} expected < {rank}")
    raise _type_error(wrong, dtype)


def _type_error(leaf: Any, dtype: np.dtype) -> ServingError:
    kind = type_name(dtype)
    return invalid(f"JSON Value: {shown(leaf)} Type: {type_of(leaf)} is not of expected type: {kind}")


def _fits(number: float, dtype: np.dtype) -> bool:
    try:
        np.array(number, dtype)
    except OverflowError:
        return False
    return True


def _strings(leaves: list[Any]) -> np.ndarray:
    array = np.empty(len(leaves), object)
    try:
        array[:] = [leaf.encode() for leaf in leaves]  # the usual case, quickly
    except (AttributeError, UnicodeEncodeError):
        array[:] = [decode_base64(leaf) if isinstance(leaf, dict) else encode_string(leaf) for leaf in leaves]
    return array
