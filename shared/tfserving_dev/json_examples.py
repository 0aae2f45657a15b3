"""The JSON of `:classify` and `:regress`: examples in, classes with scores or numbers out."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from tfserving_dev.json_document import decode_base64, encode_string, is_base64, shown, type_of
from tfserving_dev.serving_error import ServingError, invalid

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(document: Mapping[str, Any]) -> input_pb2.Input:
    """The examples of a request: `{"examples": [{feature: value or list}], "context": {…}}`.

    Raises:
        ServingError: There are no examples, or a feature has values that an example cannot hold.
    """
    context = _example(document["context"]) if "context" in document else None
    if "examples" not in document:
        what = "When method is classify, key 'examples' is expected and was not found"
        raise invalid(f"JSON Value: {shown(document)} {what}")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid(f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    made = [_example(each) for each in examples]
    if context is None:
        return input_pb2.Input(example_list={"examples": made})
    return input_pb2.Input(example_list_with_context={"examples": made, "context": context})


def classification_body(result: classification_pb2.ClassificationResult) -> bytes:
    """`{"results": [[[label, score], …], …]}`, a list of classes an example."""
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    return _results([[[each.label, _digits(each.score)] for each in row.classes] for row in result.classifications])


def regression_body(result: regression_pb2.RegressionResult) -> bytes:
    """`{"results": [number, …]}`, one an example."""
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return _results([_digits(each.value) for each in result.regressions])


def _results(values: list[Any]) -> bytes:
    return json.dumps({"results": values}, ensure_ascii=False, separators=(",", ":")).encode()


def _digits(number: float) -> float:
    """The number whose digits are those that single precision tells apart."""
    return float(str(np.float32(number)))


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_of(value)}")
    features = {_text(name): _feature(name, content) for name, content in value.items()}
    return example_pb2.Example(features=feature_pb2.Features(feature=features))


def _feature(name: str, content: Any) -> feature_pb2.Feature:
    values = content if isinstance(content, list) else [content]
    kinds = {_kind(name, value) for value in values}
    if len(kinds) > 1:
        first = _kind(name, values[0])
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[first]}")
    if not kinds:
        return feature_pb2.Feature()
    (kind,) = kinds
    if kind == "bytes_list":
        values = [decode_base64(value) if isinstance(value, dict) else encode_string(value) for value in values]
    elif kind == "int64_list":
        values = [int(value) for value in values]  # a boolean is one
    try:
        return feature_pb2.Feature(**{kind: {"value": values}})
    except ValueError:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.") from None


def _text(name: str) -> str:
    try:
        return encode_string(name).decode()
    except UnicodeDecodeError:
        raise invalid("the name of a feature is not UTF-8") from None


def _kind(name: str, value: Any) -> str:
    if isinstance(value, int):
        return "int64_list"
    if isinstance(value, float):
        return "float_list"
    if isinstance(value, str) or is_base64(value):
        return "bytes_list"
    raise _unexpected(name, value)


def _unexpected(name: str, value: Any) -> ServingError:
    return invalid(f"Feature: {name} has element with unexpected JSON type: {type_of(value)}")
