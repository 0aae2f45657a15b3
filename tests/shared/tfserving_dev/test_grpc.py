import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

pytestmark = pytest.mark.slow

Code = grpc.StatusCode


def request(signature: str = "", name: str = "toy", **inputs) -> predict_pb2.PredictRequest:
    made = predict_pb2.PredictRequest()
    made.model_spec.name, made.model_spec.signature_name = name, signature
    for input_, value in inputs.items():
        made.inputs[input_].CopyFrom(value if hasattr(value, "dtype") else tf.make_tensor_proto(value))
    return made


def floats(*values: float) -> tensor_pb2.TensorProto:
    return tf.make_tensor_proto(np.array(values, np.float32))


def refused(function, *arguments, **named) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as failure:
        function(*arguments, **named)
    return failure.value.code(), failure.value.details()


def test_predict(toy):
    response = toy.prediction.Predict(request(x=floats(1, 2)))
    assert list(response.outputs["y"].float_val) == [2.5, 3]
    assert response.model_spec.name == "toy"
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"


def test_predict_types_and_filter(toy):
    inputs = {
        "tag": tf.make_tensor_proto([b"a\xff"]),
        "signal": tf.make_tensor_proto(np.array([[1, 3]], np.float32)),
        "sensor": tf.make_tensor_proto(np.array([[1, 2]], np.int64)),
        "flag": tf.make_tensor_proto([True]),
    }
    outputs = toy.prediction.Predict(request("several", **inputs)).outputs
    assert tf.make_ndarray(outputs["tag"]).tolist() == [b"a\xff"]
    assert tf.make_ndarray(outputs["sensor"]).tolist() == [[2, 3]]
    assert tf.make_ndarray(outputs["flag"]).tolist() == [False]
    filtered = request("several", **inputs)
    filtered.output_filter.extend(["mean", "flag"])
    assert set(toy.prediction.Predict(filtered).outputs) == {"mean", "flag"}
    filtered.output_filter.append("mean")
    assert refused(toy.prediction.Predict, filtered) == (Code.INVALID_ARGUMENT, "duplicate output tensor alias: mean")
    filtered.output_filter[:] = ["nope"]
    code, details = refused(toy.prediction.Predict, filtered)
    assert (code, details.split(".")[0]) == (
        Code.INVALID_ARGUMENT,
        "output tensor alias not found in signature: nope Outputs expected to be in the set "
        "{flag,mean,sensor,signal,tag}",
    )


def test_versions_and_labels(toy):
    made = request(x=floats(1))
    made.model_spec.version.value = 2
    assert toy.prediction.Predict(made).outputs["y"].float_val == [2.5]
    made.model_spec.version.value = 9
    not_found = (Code.NOT_FOUND, "Servable not found for request: Specific(toy, 9)")
    assert refused(toy.prediction.Predict, made) == not_found
    made.model_spec.version_label = "stable"
    assert toy.prediction.Predict(made).outputs["y"].float_val == [2.5]
    made.model_spec.version_label = "canary"
    unknown = (Code.INVALID_ARGUMENT, "Unrecognized servable version label: canary")
    assert refused(toy.prediction.Predict, made) == unknown


@pytest.mark.parametrize(
    ("made", "code", "details"),
    [
        (predict_pb2.PredictRequest(), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
        (request(name="", signature="x"), Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (request(name="no"), Code.NOT_FOUND, "Servable not found for request: Latest(no)"),
        (request("no"), Code.FAILED_PRECONDITION, 'Serving signature key "no" not found.'),
        (request(), Code.INVALID_ARGUMENT, "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra"),
        (request(x=floats(1), z=floats(1)), Code.INVALID_ARGUMENT, "Sent extra: {z}. Missing but required: {}."),
        (request(z=floats(1)), Code.INVALID_ARGUMENT, "input tensor alias not found in signature: z"),
        (request(x="text"), Code.INVALID_ARGUMENT, "Expects arg[0] to be float but string is provided"),
        (request(x=tensor_pb2.TensorProto(dtype=1, tensor_content=b"1")), Code.INVALID_ARGUMENT, "tensor parsing"),
        (request("picture", image_bytes=["corrupt"]), Code.INVALID_ARGUMENT, "not a picture"),
        (request("several", tag=["a"]), Code.INVALID_ARGUMENT, "Missing but required: {flag,sensor,signal}."),
    ],
)
def test_refused_requests(toy, made, code, details):
    got_code, got_details = refused(toy.prediction.Predict, made)
    assert (got_code, details in got_details) == (code, True), got_details
    assert "Traceback" not in got_details


def test_classify_regress_and_both(toy):
    examples = {"example_list": {"examples": [tf.train.Example(), tf.train.Example()]}}
    for value, example in zip((0.25, 1), examples["example_list"]["examples"], strict=True):
        example.features.feature["x"].float_list.value.append(value)
    spec = {"name": "toy", "signature_name": "classify"}
    classified = toy.prediction.Classify(classification_pb2.ClassificationRequest(model_spec=spec, input=examples))
    classes = [[(each.label, each.score) for each in row.classes] for row in classified.result.classifications]
    assert classes == [[("yes", 0.25), ("no", 0.75)], [("yes", 1), ("no", 0)]]
    assert classified.model_spec.signature_name == "classify"
    spec = {"name": "toy", "signature_name": "regress"}
    regressed = toy.prediction.Regress(regression_pb2.RegressionRequest(model_spec=spec, input=examples))
    assert [each.value for each in regressed.result.regressions] == [2.125, 2.5]
    tasks = [
        {"model_spec": {"name": "toy", "signature_name": name}, "method_name": f"tensorflow/serving/{name}"}
        for name in ("classify", "regress")
    ]
    both = toy.prediction.MultiInference(inference_pb2.MultiInferenceRequest(tasks=tasks, input=examples))
    assert both.results[0].classification_result == classified.result
    assert both.results[1].regression_result == regressed.result
    for change, message in (
        ({"method_name": "tensorflow/serving/predict"}, "Unsupported signature method_name"),
        ({"model_spec": {"name": "toy", "signature_name": "no"}}, "Requested signature not found in model graph: no"),
        ({"model_spec": {"name": "other"}}, "must access the same model name"),
        ({"model_spec": {"name": ""}}, "Found ModelSpec with an empty model name."),
        ({"model_spec": {"name": "toy", "signature_name": "classify"}}, "Duplicate evaluation of signature: classify"),
    ):
        wrong = inference_pb2.MultiInferenceRequest(tasks=[tasks[0], tasks[1] | change], input=examples)
        assert message in refused(toy.prediction.MultiInference, wrong)[1]
    empty = regression_pb2.RegressionRequest(model_spec=spec)
    assert refused(toy.prediction.Regress, empty) == (Code.INVALID_ARGUMENT, "Input is empty.")


def test_metadata(toy):
    asked = get_model_metadata_pb2.GetModelMetadataRequest(model_spec={"name": "toy"}, metadata_field=["signature_def"])
    response = toy.prediction.GetModelMetadata(asked)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["half"].inputs["x"].dtype == tf.float32.as_datatype_enum
    assert response.model_spec.version.value == 2
    asked.metadata_field[:] = ["weights"]
    unknown = (Code.INVALID_ARGUMENT, "Metadata field weights is not supported")
    assert refused(toy.prediction.GetModelMetadata, asked) == unknown
    del asked.metadata_field[:]
    assert "at least one metadata_field" in refused(toy.prediction.GetModelMetadata, asked)[1]


def test_status(toy):
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "toy"})
    (status,) = toy.model.GetModelStatus(asked).model_version_status
    assert (status.version, status.state, status.status.error_code) == (2, status.AVAILABLE, 0)
    asked.model_spec.name = "no"
    assert refused(toy.model.GetModelStatus, asked) == (Code.NOT_FOUND, "Could not find any versions of model no")
    missing = refused(toy.model.GetModelStatus, get_model_status_pb2.GetModelStatusRequest())
    assert missing == (Code.INVALID_ARGUMENT, "Missing ModelSpec")


def test_deadlines(toy):
    start = time.monotonic()
    code, _ = refused(toy.prediction.Predict, request("slow", seconds=floats(1.0)), timeout=0.2)
    assert code is Code.DEADLINE_EXCEEDED
    assert time.monotonic() - start < 0.9


def test_too_large_a_message(toy):
    code, _ = refused(toy.prediction.Predict, request(x=floats(*[0.0] * 300_000)))
    assert code is Code.RESOURCE_EXHAUSTED
