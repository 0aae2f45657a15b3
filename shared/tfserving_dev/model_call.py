"""A request for a model, checked: what to run on what, and how the answer is made of the outputs."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorflow_serving.apis import model_pb2, predict_pb2

from tfserving_dev.batching import Arrays
from tfserving_dev.servable import Servable
from tfserving_dev.serving_error import ServingError, invalid
from tfserving_dev.status import Code
from tfserving_dev.tensor_protos import from_proto, to_proto, type_name

DEFAULT_SIGNATURE = "serving_default"


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
            response.outputs[alias].CopyFrom(to_proto(outputs[alias]))
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
