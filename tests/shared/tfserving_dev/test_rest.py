import gzip
import http.client
import json
import socket

import numpy as np
import pytest

pytestmark = pytest.mark.slow

MODEL = "/v1/models/toy"
AVAILABLE = {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/2", f"{MODEL}/labels/stable", "/V1/Models/toy"])
def test_status(toy, path):
    answer = toy.http("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"model_version_status": [AVAILABLE]}


@pytest.mark.parametrize(
    "path", [f"{MODEL}/metadata", f"{MODEL}/versions/2/metadata", f"{MODEL}/labels/stable/metadata"]
)
def test_metadata(toy, path):
    answer = toy.http("GET", path)
    assert answer.status == 200
    assert answer.json["model_spec"] == {"name": "toy", "signature_name": "", "version": "2"}
    signatures = answer.json["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "half", "several", "__saved_model_init_op"} <= set(signatures)
    half = signatures["half"]
    assert half["method_name"] == "tensorflow/serving/predict"
    assert half["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in half["inputs"]["x"]["tensor_shape"]["dim"]] == ["-1"]


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/2", f"{MODEL}/labels/stable", "/v1/models/t%6Fy"])
def test_predict_by_rows_and_by_columns(toy, path):
    answer = toy.http("POST", f"{path}:predict", {"instances": [1.0, 2.0, 5]})
    assert (answer.status, answer.json) == (200, {"predictions": [2.5, 3.0, 4.5]})
    answer = toy.http("POST", f"{path}:predict", {"signature_name": "serving_default", "inputs": {"x": [3, 4]}})
    assert (answer.status, answer.json) == (200, {"outputs": [3.5, 4.0]})
    assert toy.http("POST", f"{path}:predict", {"inputs": [3, 4]}).json == {"outputs": [3.5, 4.0]}


def test_several_inputs_and_outputs(toy):
    row = {"tag": "żółw", "signal": [1, 0.1], "sensor": [1, -(2**53)], "flag": True}
    made = {"tag": "żółw", "signal": [2, 0.2], "sensor": [2, 1 - 2**53], "flag": False, "mean": 0.55}
    assert toy.predict("several", instances=[row, row]).json == {"predictions": [made, made]}
    columns = {name: [value] * 2 for name, value in row.items()}
    assert toy.predict("several", inputs=columns).json == {"outputs": {name: [each] * 2 for name, each in made.items()}}


def test_bytes_go_in_and_out_as_base64(toy):
    answer = toy.predict("picture", instances=[{"b64": "AP8="}, "text", {"image_bytes": 1}][:2])
    assert answer.json == {
        "predictions": [{"image_bytes": {"b64": "AP8="}, "size": 2}, {"image_bytes": {"b64": "dGV4dA=="}, "size": 4}]
    }
    answer = toy.predict("picture", instances=[{"image_bytes": {"b64": "AP8="}}])
    assert answer.json["predictions"][0]["size"] == 2


def test_what_json_has_no_word_for(toy):
    body = b'{"signature_name": "logarithm", "instances": [-1, 0, 1, NaN, Infinity]}'
    answer = toy.http("POST", f"{MODEL}:predict", body)
    assert answer.body == b'{"predictions":[NaN,-Infinity,0.0,NaN,Infinity]}'
    np.testing.assert_array_equal(answer.json["predictions"], [np.nan, -np.inf, 0, np.nan, np.inf])


def test_text_that_is_not_utf_8_comes_to_the_model_as_it_is(toy):
    answer = toy.http("POST", f"{MODEL}:predict", b'{"signature_name": "shout", "instances": ["a\xff"]}')
    assert answer.status == 200
    assert b'"label":"A\xff"' in answer.body
    assert json.loads(answer.body.decode("utf-8", "replace"))["predictions"][0]["length"] == 2


def test_inputs_without_a_common_batch(toy):
    assert toy.predict("apart", inputs={"a": 3, "b": [1, 2]}).json == {"outputs": [3, 6]}
    assert toy.predict("total", inputs=[1, 2, 3]).json == {"outputs": 6}
    assert toy.predict("half", inputs=[]).json == {"outputs": []}


def test_booleans_in_examples_are_integers(toy):
    answer = toy.http("POST", f"{MODEL}:regress", {"signature_name": "regress", "examples": [{"x": 2.0, "z": True}]})
    assert answer.json == {"results": [3]}


def test_names_that_are_not_utf_8(toy):
    for body in (b'{"signature_name": "\xff", "examples": [{"x": 1.0}]}', b'{"examples": [{"\xff": 1.0}]}'):
        answer = toy.http("POST", f"{MODEL}:regress", body)
        assert (answer.status, "No signature" in answer.error or "not UTF-8" in answer.error) == (400, True)


def test_classify_and_regress(toy):
    examples = [{"x": 0.25}, {"x": [1.0]}]
    answer = toy.http("POST", f"{MODEL}:classify", {"signature_name": "classify", "examples": examples})
    assert answer.json == {"results": [[["yes", 0.25], ["no", 0.75]], [["yes", 1], ["no", 0]]]}
    request = {"signature_name": "regress", "context": {"x": 4.0}, "examples": [{"z": "text"}, {"z": {"b64": "AA=="}}]}
    assert toy.http("POST", f"{MODEL}:regress", request).json == {"results": [4, 4]}


@pytest.mark.parametrize(
    ("what", "request_", "message"),
    [
        ("classify", {"signature_name": "half", "examples": [{"x": 1.0}]}, "No classification inputs found"),
        ("classify", {"signature_name": "regress", "examples": [{"x": 1.0}]}, "classification signature outputs"),
        ("classify", {"signature_name": "several", "examples": [{"x": 1.0}]}, "Expected one input Tensor."),
        ("regress", {"signature_name": "classify", "examples": [{"x": 1.0}]}, "Expected one output Tensor."),
        ("regress", {"signature_name": "no", "examples": [{"x": 1.0}]}, "No signature was found with the name: no"),
        ("regress", {"signature_name": "regress", "examples": []}, "'examples' value is an empty array"),
        ("regress", {"signature_name": "regress", "examples": 1}, "Expecting 'examples' value to be an list/array"),
        ("regress", {"signature_name": "regress"}, "key 'examples' is expected and was not found"),
        ("regress", {"signature_name": "regress", "examples": [1]}, "Example must be JSON object but got JSON Number"),
        ("regress", {"signature_name": "regress", "examples": [{"x": None}]}, "has element with unexpected JSON type"),
        (
            "regress",
            {"signature_name": "regress", "examples": [{"x": [1.0, "a"]}]},
            "Unexpected element type in feature",
        ),
        ("regress", {"signature_name": "regress", "examples": [{"x": 2**63}]}, "Only int64_t is supported"),
        ("regress", {"signature_name": "regress", "examples": [{"x": 1}]}, "Data types don't match"),
    ],
)
def test_refused_examples(toy, what, request_, message):
    answer = toy.http("POST", f"{MODEL}:{what}", request_)
    assert (answer.status, message in answer.error) == (400, True), answer


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/debug/toy", 400, "Malformed request"),
        ("POST", "/v1/models", 400, "Malformed request"),
        ("GET", f"{MODEL}:predict", 400, "Malformed request"),
        ("POST", f"{MODEL}:PREDICT", 400, "Malformed request"),
        ("POST", f"{MODEL}/version/2:predict", 400, "Malformed request"),
        ("POST", f"{MODEL}/versions/HELLO:predict", 400, "Malformed request"),
        ("POST", f"{MODEL}/versions/18446744073709551615:predict", 400, "Failed to convert version"),
        ("POST", f"{MODEL}/versions/2/labels/stable:predict", 400, "Malformed request"),
        ("POST", f"{MODEL}/metadata", 400, "Malformed request"),
        ("PUT", MODEL, 400, "Malformed request: PUT"),
        ("DELETE", f"{MODEL}:predict", 400, "Malformed request: DELETE"),
        ("GET", f"{MODEL}?x=1", 404, "Could not find any versions of model toy?x=1"),
        ("GET", f"{MODEL}/metadata?x=1", 400, "Malformed request"),
        ("POST", f"{MODEL}:predict?key=x", 400, "Malformed request: POST /v1/models/toy:predict?key=x"),
        ("GET", f"{MODEL}/versions/{'0' * 5000}9", 404, "Could not find version 9 of model toy"),
        ("POST", f"{MODEL}/versions/{'0' * 20}9223372036854775808:predict", 400, "Failed to convert version"),
        ("GET", "/", 404, "Not Found"),
        ("GET", "/metrics", 404, "Not Found"),
        ("GET", "/v1/models/nobody", 404, "Could not find any versions of model nobody"),
        ("GET", f"{MODEL}/versions/9", 404, "Could not find version 9 of model toy"),
        ("GET", "/v1/models/nobody/metadata", 404, "Servable not found for request: Latest(nobody)"),
        ("POST", "/v1/models/nobody:predict", 404, "Servable not found for request: Latest(nobody)"),
        ("POST", f"{MODEL}/versions/9:predict", 404, "Servable not found for request: Specific(toy, 9)"),
        ("POST", f"{MODEL}/labels/canary:predict", 400, "Unrecognized servable version label: canary"),
    ],
)
def test_refused_paths(toy, method, path, status, message):
    answer = toy.http(method, path, {"instances": [1.0]} if method == "POST" else None)
    assert (answer.status, message in answer.error) == (status, True), answer
    assert answer.headers["content-type"] == "application/json"


def test_preflight(toy):
    assert toy.http("OPTIONS", MODEL, headers={"Origin": "https://example.org"}).status == 200
    refused = toy.http("OPTIONS", MODEL)
    assert (refused.status, refused.body) == (400, b"")


def test_metadata_in_other_letters_is_the_status(toy):
    assert toy.http("GET", f"{MODEL}/METADATA").json == toy.http("GET", MODEL).json


def test_compressed_bodies(toy):
    headers = {"Content-Encoding": "gzip"}

    def asked(body: bytes):
        return toy.http("POST", f"{MODEL}:predict", body, headers)

    packed = gzip.compress(b'{"instances": [2]}')
    assert asked(packed).json == {"predictions": [3]}
    for damaged in (b'{"instances": [2]}', packed[:-4], b""):
        assert (asked(damaged).status, asked(damaged).error) == (400, "JSON Parse error: The document is empty")
    assert asked(gzip.compress(bytes(2 << 20))).status == 413


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"instances = [1, 2]", "JSON Parse error"),
        (b"\xff\xfe\x00", "JSON Parse error"),
        (b'{"instances": ["x", "y"]}', "not of expected type: float"),
        (b'{"instances": []}', "No values in 'instances' array"),
        (b'{"instances": [1], "inputs": [1]}', "expecting only one of"),
        (b'{"signature_name": 100}', "'signature_name' key must be a string value."),
        (b'{"signature_name": "nope", "instances": [1]}', 'Serving signature name: "nope" not found in signature def'),
        (b'{"signature_name": "__saved_model_init_op", "inputs": {}}', "not found in signature def"),
        (b'{"signature_name": "several", "inputs": {"tag": ["a"]}}', "Missing named input: "),
        (b'{"signature_name": "several", "instances": [{"b64": "AA=="}]}', "expecting list of objects"),
        (b'{"signature_name": "total", "instances": [1]}', "Tensor name: total has no shape information"),
        (b'{"signature_name": "picture", "instances": ["corrupt"]}', "not a picture"),
        (b'{"instances": %s}' % (b"[" * 5000), "JSON Parse error"),
    ],
)
def test_refused_bodies(toy, body, message):
    answer = toy.http("POST", f"{MODEL}:predict", body)
    assert (answer.status, message in answer.error) == (400, True), answer
    assert "Traceback" not in answer.error


def test_a_connection_serves_many_requests(toy):
    connection = http.client.HTTPConnection("127.0.0.1", toy.rest_port)
    for number, body in enumerate([b'{"instances": [0]}', b"broken", b'{"instances": [2]}'] * 3):
        connection.request("POST", f"{MODEL}:predict", body)
        response = connection.getresponse()
        assert response.status == (400 if number % 3 == 1 else 200)
        response.read()
    connection.close()


def test_what_is_not_http(toy):
    with socket.create_connection(("127.0.0.1", toy.rest_port)) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


def test_metrics(toy):
    toy.predict("half", instances=[1])
    toy.http("POST", "/v1/models/no-such-model:predict", {"instances": [1]})
    page = toy.http("GET", "/monitoring/prometheus/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    text = page.body.decode()
    assert ':tensorflow:serving:request_count{model_name="toy",status="OK"} ' in text
    assert ':tensorflow:serving:request_latency_count{API="predict",entrypoint="REST",model_name="toy"} ' in text
    assert ":tensorflow:serving:runtime_latency_bucket{" in text
    assert "no-such-model" not in text  # or clients could make it grow for ever
