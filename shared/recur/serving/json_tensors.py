"""Arrays as the JSON of TensorFlow Serving's REST interface, and back.

Strings travel as text, or as `{"b64": …}` where the tensor's name ends in `_bytes` or they are not UTF-8; numbers that
are not finite as `NaN`, `Infinity` and `-Infinity`, which is not JSON and which its documentation allows. orjson, many
times as fast as Python's own, knows only JSON: Python writes and reads what else occurs.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

DTYPES = {
    **{"DT_FLOAT": np.float32, "DT_DOUBLE": np.float64, "DT_HALF": np.float16, "DT_BOOL": np.bool_},
    **{"DT_INT8": np.int8, "DT_INT16": np.int16, "DT_INT32": np.int32, "DT_INT64": np.int64},
    **{"DT_UINT8": np.uint8, "DT_UINT16": np.uint16, "DT_UINT32": np.uint32, "DT_UINT64": np.uint64},
    "DT_STRING": np.object_,
}
"""NumPy's types by TensorFlow's names; strings are `bytes` objects."""

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
