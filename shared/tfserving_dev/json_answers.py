"""Tensors to the JSON body of an answer, in row and in column format.

Numbers have the digits that tell them from their neighbours in their own precision. Strings whose tensor's name ends in
`_bytes` are base64 objects. As TensorFlow Serving does, `NaN` and `Infinity` are written though JSON has none, and
strings that are not UTF-8 are written as they are.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from tfserving_dev.serving_error import invalid
from tfserving_dev.tensor_protos import type_name

_INTEGERS = {"int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"}
_WRITTEN = frozenset({"float32", "float64", "bool", "object"} | _INTEGERS)
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


def error_body(message: str) -> bytes:
    """`{"error": message}`."""
    return json.dumps({"error": message}, ensure_ascii=False).encode("utf-8", "replace")


def predict_body(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """The answer to a `:predict` request.

    Args:
        outputs: Arrays by name, strings as objects of `bytes`.
        rows: Whether as `{"predictions": [row, …]}`, for a request in rows; otherwise as `{"outputs": …}`. A lone
            output stands there without its name.

    Raises:
        ServingError: There is no output, one is of a type that has no JSON, or rows are wanted and differ in number.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    for array in outputs.values():
        if array.dtype.name not in _WRITTEN:
            raise invalid(f"Failed to write JSON value for tensor type: {type_name(array.dtype)}")
    if rows:
        _check_rows(outputs)
    try:
        if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in outputs.values()):
            values = {name: _value(name, array) for name, array in outputs.items()}
            return orjson.dumps(_arranged(values, rows), option=_OPTIONS)
    except UnicodeDecodeError:
        pass
    values = {name: _spelt_out(name, array) for name, array in outputs.items()}
    text = json.dumps(_arranged(values, rows), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogateescape")


def _check_rows(outputs: Mapping[str, np.ndarray]) -> None:
    size = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        size = array.shape[0] if size is None else size
        if array.shape[0] != size:
            sizes = f"{array.shape[0]} expecting: {size}"
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {sizes}")


def _arranged(values: dict[str, Any], rows: bool) -> dict[str, Any]:
    if len(values) == 1:
        (value,) = values.values()
        return {"predictions" if rows else "outputs": value}
    if not rows:
        return {"outputs": values}
    names = list(values)
    return {"predictions": [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]}


def _value(name: str, array: np.ndarray) -> Any:
    """What orjson writes: an array, a NumPy number, a string or lists of strings."""
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array) if array.ndim else array[()]
    if name.endswith("_bytes"):
        return _mapped(array, _base64)
    return _mapped(array, bytes.decode)


def _spelt_out(name: str, array: np.ndarray) -> Any:
    """The same in Python's own types, also for what orjson does not write."""
    if array.dtype.kind == "f":
        return _mapped(array, lambda number: float(str(number)))  # the digits of its own precision
    if array.dtype.kind != "O":
        return array.tolist()
    if name.endswith("_bytes"):
        return _mapped(array, _base64)
    return _mapped(array, lambda text: text.decode("utf-8", "surrogateescape"))


def _base64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def _mapped(array: np.ndarray, function: Any) -> Any:
    """`function` of every element, in lists as deep as the array."""
    values = list(map(function, array.ravel()))
    if array.ndim == 1:
        return values
    made = np.empty(len(values), object)
    made[:] = values
    return made.reshape(array.shape).tolist()
