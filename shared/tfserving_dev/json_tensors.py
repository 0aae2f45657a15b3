"""JSON values to tensors: nested lists whose leaves are numbers, booleans, strings or base64 objects.

A whole level of nesting is looked at at once, so that the cost of an element is not that of a Python statement.
"""

import itertools
from typing import Any

import numpy as np

from tfserving_dev.json_document import decode_base64, encode_string, shown, type_of
from tfserving_dev.serving_error import ServingError, invalid
from tfserving_dev.status import Code
from tfserving_dev.tensor_protos import type_name

_MOST_DIMENSIONS = 32
_NOT_SERVED = (np.float16, np.uint16)
_LEAVES = {
    "f": frozenset({int, float}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
    "O": frozenset({str, dict}),
}


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
    rank, first = level, beside
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
