"""The body of a `:predict` request to the tensors of a signature, in row and in column format.

The errors are those of json_tensor.cc. A request that cannot be converted as a whole is gone through again element by
element, only to say where it is wrong.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfserving_dev.json_document import encode_string, is_base64, shown
from tfserving_dev.json_tensors import to_array
from tfserving_dev.serving_error import ServingError, invalid

Types = Mapping[str, np.dtype]


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a request names, or "".

    Raises:
        ServingError: The name is no string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        what = "not formatted correctly. 'signature_name' key must be a string value."
        raise invalid(f"JSON Value: {shown(document)} {what}")
    return encode_string(name).decode("utf-8", "replace")


def read_tensors(document: Mapping[str, Any], types: Types) -> tuple[dict[str, np.ndarray], bool]:
    """The tensors of a request, and whether it is in row format.

    Args:
        document: The request: `{"instances": [row, …]}`, or `{"inputs": {name: tensor}}` or a lone tensor there.
        types: Type of each input of the signature.

    Returns:
        Arrays by name; whether the answer is to be in rows as well.

    Raises:
        ServingError: The request has neither or both, misses an input, or a value is of the wrong type or shape.
    """
    if not types:
        raise invalid("Failed to get input map for signature")
    rows = "instances" in document
    if rows and "inputs" in document:
        what = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        raise invalid(f"JSON Value: {shown(document)} {what}")
    if rows:
        return _from_rows(document, types), True
    if "inputs" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    return _from_columns(document["inputs"], types), False


def _from_columns(value: Any, types: Types) -> dict[str, np.ndarray]:
    if not isinstance(value, dict) or is_base64(value):
        if len(types) > 1:
            what = "an object as multiple input tensors required as per tensorinfo_map"
            raise invalid(f"inputs is a plain value/list, but expecting {what}")
        (name,) = types
        return {name: to_array(value, types[name])}
    for name in types:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: to_array(value[name], dtype) for name, dtype in types.items()}


def _from_rows(document: Mapping[str, Any], types: Types) -> dict[str, np.ndarray]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
    if len(types) > 1 and not _is_object(rows[0]):
        what = "list of objects as multiple input tensors required as per tensorinfo_map"
        raise invalid(f"instances is a plain list, but expecting {what}")
    try:
        if _is_object(rows[0]):
            return _from_objects(rows, types)
        (name,) = types
        return {name: to_array(rows, types[name])}
    except ServingError as error:
        raise _explained(rows, types) or error from None


def _is_object(row: Any) -> bool:
    return isinstance(row, dict) and not is_base64(row)


def _from_objects(rows: list[Any], types: Types) -> dict[str, np.ndarray]:
    names = types.keys()
    if not all(isinstance(row, dict) and row.keys() == names for row in rows):
        raise invalid("keys must be equal")
    return {name: to_array([row[name] for row in rows], dtype) for name, dtype in types.items()}


def _explained(rows: list[Any], types: Types) -> ServingError | None:
    """What is wrong with the first element at which something is."""
    objects = _is_object(rows[0])
    shapes: dict[str, tuple[int, ...]] = {}
    for number, row in enumerate(rows):
        if objects != _is_object(row):
            what = "Expecting object but got list" if objects else "Expecting value/list but got object"
            return invalid(f"{what} at item {number} of input list")
        for name, value in row.items() if objects else [(next(iter(types)), row)]:
            try:
                _check_element(name, value, types, shapes)
            except ServingError as error:
                where = f"{number} key: {name}" if objects else number
                why = f"{error.code.name}: {error.message}"
                return invalid(f"Failed to process element: {where} of 'instances' list. Error: {why}")
        if objects and row.keys() != types.keys():
            keys = f"JSON object: {shown(row)} keys must be equal to: {','.join(sorted(types))}"
            return invalid(f"Failed to process element: {number} of 'instances' list. {keys}")
    return None


def _check_element(name: str, value: Any, types: Types, shapes: dict[str, tuple[int, ...]]) -> None:
    if name not in types:
        raise invalid(f"JSON object: does not have named input: {name}")
    array = to_array(value, types[name])
    expected = shapes.setdefault(name, array.shape)
    if int(np.prod(expected)) != array.size:
        raise invalid(f"Expecting tensor size: {int(np.prod(expected))} but got: {array.size}")
    if expected != array.shape:
        raise invalid(f"Expecting shape {_shown_shape(expected)} but got: {_shown_shape(array.shape)}")


def _shown_shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
