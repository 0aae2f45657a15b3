"""`Classify`, `Regress` and `MultiInference`: signatures that take serialised examples, and their JSON.

As in TensorFlow Serving it is the names of a signature's tensors that count, not its method name: `inputs`, and
`classes` and `scores`, or `outputs`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, regression_pb2

from tfserving_dev.catalogue import Servable
from tfserving_dev.codec import decode_base64, encode_string, is_base64, shown, type_name, type_of
from tfserving_dev.errors import Code, ServingError, invalid
from tfserving_dev.predict import DEFAULT_SIGNATURE, ModelCall, check_types, model_spec

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def classify_call(request: classification_pb2.ClassificationRequest, servable: Servable) -> ModelCall:
    """The run that a `ClassificationRequest` asks for; its answer is a `ClassificationResponse`.

    Raises:
        ServingError: The signature is none that classifies, or there are no examples.
    """
    name = _signature_name(request.model_spec.signature_name, servable)
    return _call(name, CLASSIFY, request.input, servable, classification_pb2.ClassificationResponse, "result")


def regress_call(request: regression_pb2.RegressionRequest, servable: Servable) -> ModelCall:
    """The run that a `RegressionRequest` asks for; its answer is a `RegressionResponse`.

    Raises:
        ServingError: The signature is none that regresses, or there are no examples.
    """
    name = _signature_name(request.model_spec.signature_name, servable)
    return _call(name, REGRESS, request.input, servable, regression_pb2.RegressionResponse, "result")


def multi_inference_calls(request: inference_pb2.MultiInferenceRequest, servable: Servable) -> list[ModelCall]:
    """The runs that a `MultiInferenceRequest` asks for; the answer of each is an `InferenceResult`.

    Raises:
        ServingError: A task is for another model, repeats a signature, or does not suit it.
    """
    if len({task.model_spec.name for task in request.tasks}) > 1:
        raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    names = [task.model_spec.signature_name or DEFAULT_SIGNATURE for task in request.tasks]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise invalid(f"Duplicate evaluation of signature: {repeated}")
    return [_inference_call(task, request.input, servable) for task in request.tasks]


def _inference_call(task: inference_pb2.InferenceTask, given: input_pb2.Input, servable: Servable) -> ModelCall:
    name = task.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid(f"Requested signature not found in model graph: {name}")
    if task.method_name not in (CLASSIFY, REGRESS):
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
    field = "classification_result" if task.method_name == CLASSIFY else "regression_result"
    return _call(name, task.method_name, given, servable, inference_pb2.InferenceResult, field)


def _signature_name(name: str, servable: Servable) -> str:
    name = name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    return name


def _call(
    name: str, method: str, given: input_pb2.Input, servable: Servable, response: Callable[..., Any], field: str
) -> ModelCall:
    """A run of a signature on examples, whose result stands in a field of the response."""
    check, result_of = (_check_classification, _classes) if method == CLASSIFY else (_check_regression, _values)
    check(servable.signatures[name])
    inputs = _inputs(given, name, servable)

    def answer(outputs: Mapping[str, np.ndarray]) -> Any:
        result = result_of(outputs, len(inputs["inputs"]))
        return response(**{"model_spec": model_spec(servable, name), field: result})

    return ModelCall(name, inputs, answer)


def _check_classification(signature: meta_graph_pb2.SignatureDef) -> None:
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature}")
    if not {"classes", "scores"} & set(signature.outputs):
        what = 'at least one of "classes" or "scores"'
        raise invalid(f"Expected classification signature outputs to contain {what}. Signature was: {signature}")


def _check_regression(signature: meta_graph_pb2.SignatureDef) -> None:
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature}")
    if "outputs" not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")


def _inputs(given: input_pb2.Input, name: str, servable: Servable) -> dict[str, np.ndarray]:
    """Serialised examples [N]; those with a context each begin with it."""
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        texts = [context + example.SerializeToString() for example in given.example_list_with_context.examples]
    else:
        texts = [example.SerializeToString() for example in given.example_list.examples]
    if not texts:
        raise invalid("Input is empty.")
    inputs = {"inputs": np.fromiter(texts, object, len(texts))}
    check_types(inputs, servable.types(name))
    return inputs


def _classes(outputs: Mapping[str, np.ndarray], size: int) -> classification_pb2.ClassificationResult:
    classes, scores = outputs.get("classes"), outputs.get("scores")
    for name, array, dtype in (("classes", classes, np.dtype(object)), ("scores", scores, np.dtype(np.float32))):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}")
        if array.dtype != dtype:
            raise invalid(f"Expected {name} Tensor of DT_{type_name(dtype).upper()}. Got: {type_name(array.dtype)}")
        if len(array) != size:
            raise invalid(f"Expected {name} output batch size of {size}. Got: {len(array)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        sizes = f"{classes.shape[1]} vs. {scores.shape[1]}"
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {sizes}")
    count = next(array.shape[1] for array in (classes, scores) if array is not None)
    result = classification_pb2.ClassificationResult()
    for row in range(size):
        labels = [None] * count if classes is None else classes[row].tolist()
        values = [None] * count if scores is None else scores[row].tolist()
        made = result.classifications.add()
        for label, value in zip(labels, values, strict=True):
            made.classes.add(label=label and label.decode("utf-8", "replace"), score=value)
    return result


def _values(outputs: Mapping[str, np.ndarray], size: int) -> regression_pb2.RegressionResult:
    array = outputs["outputs"]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        shapes = f"either [batch_size] or [batch_size, 1] but got {list(array.shape)}"
        raise invalid(f"Expected output Tensor shape to be {shapes}")
    if len(array) != size:
        raise invalid(f"Input batch size did not match output batch size: {size} vs. {len(array)}")
    if array.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {type_name(array.dtype)}")
    return regression_pb2.RegressionResult(regressions=[{"value": value} for value in array.ravel().tolist()])


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
    made = [_example(example) for example in examples]
    if context is None:
        return input_pb2.Input(example_list={"examples": made})
    return input_pb2.Input(example_list_with_context={"examples": made, "context": context})


def classification_body(result: classification_pb2.ClassificationResult) -> bytes:
    """`{"results": [[[label, score], …], …]}`, a list of classes an example."""
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    return _results([[[one.label, _digits(one.score)] for one in row.classes] for row in result.classifications])


def regression_body(result: regression_pb2.RegressionResult) -> bytes:
    """`{"results": [number, …]}`, one an example."""
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return _results([_digits(regression.value) for regression in result.regressions])


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
