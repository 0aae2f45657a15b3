"""The JSON text of a request, read as TensorFlow Serving's parser reads it: a little more than JSON.

`NaN`, `Inf` and `Infinity` are numbers, what follows the document is ignored, and bytes in a string need not be UTF-8.
"""

import base64
import binascii
import json
import math
import re
from typing import Any

import orjson

from tfserving_dev.serving_error import invalid

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN = 256
_NO_NUMBERS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(?P<sign>-?)(?P<what>Inf(?:inity)?|NaN)\b', re.DOTALL)
"""Strings, to be passed over and never gone back into, and what the parser takes for numbers in more spellings."""
TYPES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", type(None): "Null"}


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
        text = TYPES.get(type(value), "value")
    return text[:_SHOWN].encode("utf-8", "replace").decode()


def type_of(value: Any) -> str:
    """JSON's name of a value's type, for messages."""
    return str(value) if isinstance(value, bool) else TYPES[type(value)]


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
