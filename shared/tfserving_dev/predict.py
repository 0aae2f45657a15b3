"""`Predict`, by gRPC and by REST: a request, checked, to a run of a signature; its outputs to the answer.

In JSON the inputs come in rows (`instances`) or in columns (`inputs`), and the answer is in the same. The errors are
those of json_tensor.cc and predict_util.cc. JSON that cannot be converted as a whole is gone through again element by
element, only to say where it is wrong. In answers numbers have the digits that tell them from their neighbours in their
own precision; strings whose tensor's name ends in `_bytes` are base64 objects. As TensorFlow Serving does, `NaN` and
`Infinity` are written though JSON has none, and strings that are not UTF-8 are written as they are.
"""

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
from tensorflow_serving.apis import model_pb2, predict_pb2

from tfserving_dev.batching import Arrays
from tfserving_dev.catalogue import Servable
from tfserving_dev.codec import encode_string, fill_proto, from_proto, is_base64, shown, to_array, type_name
from tfserving_dev.errors import Code, ServingError, invalid

DEFAULT_SIGNATURE = "serving_default"
Types = Mapping[str, np.dtype]
_INTEGERS = {"int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"}
_WRITTEN = frozenset({"float32", "float64", "bool", "object"} | _INTEGERS)
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


@dataclasses.dataclass(frozen=True)
class ModelCall:
    """One run of one signature for a client."""

    signature: str
    """Its name."""
    inputs: Arrays
    """Arrays by the names of its inputs."""
    answer: Callable[[Mapping[str, np.ndarray]], Any]
    """Makes the response of the outputs; raises ServingError where they do not fit."""


def predict_call(request: predict_pb2.PredictRequest, servable: Servable) -> ModelCall:
    """The run that a `PredictRequest` asks for; its answer is a `PredictResponse`.

    Raises:
        ServingError: There is no such signature or output, or the inputs are not those of the signature.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    wanted = _wanted_outputs(request.output_filter, servable.signatures[name].outputs)
    types = servable.types(name)
    _check_names(set(request.inputs), set(types))
    inputs = {alias: from_proto(alias, request.inputs[alias]) for alias in types}
    check_types(inputs, types)

    def answer(outputs: Mapping[str, np.ndarray]) -> predict_pb2.PredictResponse:
        response = predict_pb2.PredictResponse(model_spec=model_spec(servable, name))
        for alias in wanted or outputs:
            fill_proto(response.outputs[alias], outputs[alias])
        return response

    return ModelCall(name, inputs, answer)


def model_spec(servable: Servable, signature: str) -> model_pb2.ModelSpec:
    """What answered: the model, its version and the signature."""
    return model_pb2.ModelSpec(name=servable.name, version={"value": servable.version}, signature_name=signature)


def check_types(inputs: Arrays, types: Mapping[str, np.dtype]) -> None:
    """Refuses inputs that are not of the signature's types.

    Raises:
        ServingError: One is not.
    """
    for position, (name, dtype) in enumerate(types.items()):
        if inputs[name].dtype != dtype:
            kinds = f"{type_name(dtype)} but {type_name(inputs[name].dtype)} is provided"
            raise invalid(f"Expects arg[{position}] to be {kinds}")


def _wanted_outputs(wanted: Any, outputs: Mapping[str, Any]) -> list[str]:
    for alias in wanted:
        if alias not in outputs:
            known = f"Outputs expected to be in the set {{{','.join(sorted(outputs))}}}."
            raise invalid(f"output tensor alias not found in signature: {alias} {known}")
    if len(set(wanted)) < len(wanted):
        raise invalid(
            "duplicate output tensor alias: " + next(alias for alias in wanted if list(wanted).count(alias) > 1)
        )
    return list(wanted)


def _check_names(sent: set[str], expected: set[str]) -> None:
    if len(sent) != len(expected):
        sets = [",".join(sorted(names)) for names in (sent, expected, sent - expected, expected - sent)]
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(expected)} "
            f"len({{{sets[0]}}}) != len({{{sets[1]}}}). Sent extra: {{{sets[2]}}}. Missing but required: {{{sets[3]}}}."
        )
    for alias in sorted(sent - expected):
        known = f"Inputs expected to be in the set {{{','.join(sorted(expected))}}}."
        raise invalid(f"input tensor alias not found in signature: {alias}. {known}")


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
