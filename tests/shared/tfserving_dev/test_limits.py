import concurrent.futures
import contextlib
import http.client
import json
import socket
import time

import grpc
import psutil
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

pytestmark = pytest.mark.slow

PREDICT = "/v1/models/toy:predict"


@pytest.fixture
def models(tmp_path, put_toy):
    put_toy(tmp_path, 1)
    return tmp_path


def received(connection: socket.socket) -> bytes:
    """All that a server sends until it closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("announced", [True, False])
def test_too_large_a_body(toy, announced):
    body = b'{"instances": [' + b"1.0," * 3_000_000 + b"1.0]}"
    connection = http.client.HTTPConnection("127.0.0.1", toy.rest_port, timeout=30)
    headers = {} if announced else {"Transfer-Encoding": "chunked"}

    def pieces():
        return body if announced else (body[start : start + 65536] for start in range(0, len(body), 65536))

    for _ in range(2):
        connection.request("POST", PREDICT, pieces(), headers, encode_chunked=not announced)
        response = connection.getresponse()
        assert response.status == 413
        assert json.loads(response.read()) == {"error": "the request body is larger than 1048576 bytes"}
    connection.request("POST", PREDICT, b'{"instances": [0]}')
    assert connection.getresponse().read() == b'{"predictions":[2.0]}'
    connection.close()
    assert toy.predict("half", instances=[0]).status == 200


def test_a_large_body_is_read_beside_the_others(toy):
    values = [float(number) for number in range(100_000)]
    answer = toy.predict("half", instances=values)
    assert answer.json["predictions"] == [value / 2 + 2 for value in values]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"POST /v1/models/toy:predict HTT", b"HTTP/1.1 408"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: a\r\n", b"HTTP/1.1 408"),
        (b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 408"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000, b"HTTP/1.1 431"),
    ],
)
def test_clients_that_take_their_time(models, serve, sent, answer):
    client = serve(models, client_seconds=0.5)
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", client.rest_port), timeout=10) as connection:
        connection.sendall(sent)
        assert received(connection)[: len(answer) or None] == answer
    assert time.monotonic() - start < 3
    assert client.predict("half", instances=[0]).status == 200


def test_a_byte_now_and_then_is_not_enough(models, serve):
    client = serve(models, client_seconds=0.5)
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", client.rest_port), timeout=0.05) as connection:
        for byte in b"GET /v1/models/" + b"x" * 100:
            with contextlib.suppress(TimeoutError):
                connection.sendall(bytes([byte]))
                assert connection.recv(4096)[:12] == b"HTTP/1.1 408"
                break
    assert time.monotonic() - start < 3


def statuses(client, signature: str, instances: list, count: int) -> list[int]:
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(lambda _: client.predict(signature, instances=instances).status, range(count)))


def test_a_full_queue(models, serve):
    client = serve(models, batching=False, max_waiting=2)
    client.predict("slow", instances=[0])
    found = statuses(client, "slow", [0.5], 12)
    assert set(found) == {200, 503}
    assert 4 <= found.count(200) <= 6  # two ran on two cores, two waited; or more on more
    request = predict_pb2.PredictRequest(model_spec={"name": "toy", "signature_name": "slow"})
    request.inputs["seconds"].CopyFrom(tf.make_tensor_proto([0.5], tf.float32))
    futures = [client.prediction.Predict.future(request) for _ in range(12)]
    codes = {future.code() for future in futures}
    assert codes == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert client.predict("half", instances=[0]).status == 200


def test_a_model_that_does_not_answer(models, serve):
    client = serve(models, request_seconds=0.3)
    answer = client.predict("slow", instances=[1.5])
    assert (answer.status, answer.error) == (504, "the model did not answer in 0.3 seconds")
    (models / "batching_parameters.txt").write_text("num_batch_threads { value: 1 } max_batch_size { value: 1 }")
    found = statuses(serve(models, request_seconds=0.3), "slow", [1.0], 4)
    assert sorted(found) == [429, 429, 429, 504]  # one has begun


def test_a_corrupt_picture_fails_alone(models, serve):
    (models / "batching_parameters.txt").write_text("num_batch_threads { value: 1 } max_batch_size { value: 64 }")
    client = serve(models)
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        pool.submit(client.predict, "slow", instances=[0.6])
        time.sleep(0.2)  # the others wait for it, and run together
        contents = ["a", "corrupt", "b", "c", "corrupt", "d"]
        answers = list(pool.map(lambda content: client.predict("picture", instances=[content]), contents))
    assert [answer.status for answer in answers] == [400 if content == "corrupt" else 200 for content in contents]
    sizes = [answer.json["predictions"][0]["size"] for answer in answers if answer.status == 200]
    assert sizes == [1, 1, 1, 1]


def test_more_rows_than_a_batch(models, serve):
    (models / "batching_parameters.txt").write_text("max_batch_size { value: 2 }")
    client = serve(models)
    answer = client.predict("half", instances=[1, 2, 3])
    assert (answer.status, answer.error) == (400, "Task size 3 is larger than maximum input batch size 2")
    assert client.predict("half", instances=[1, 2]).status == 200


def test_parameters_of_one_model(models, serve):
    assert serve(models).predict("half", instances=[1, 2, 3]).status == 200
    (models / "toy" / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    assert serve(models).predict("half", instances=[1, 2, 3]).status == 400
    assert serve(models, batching=False).predict("half", instances=[1, 2, 3]).status == 200


def test_batched_answers_are_the_unbatched(models, serve):
    (models / "batching_parameters.txt").write_text("allowed_batch_sizes: [4, 16] max_batch_size { value: 16 }")
    client, apart = serve(models), serve(models, batching=False)
    rows = [
        {"tag": f"t{n}", "signal": [n, n / 7][: 1 + n % 2], "sensor": [n, -n], "flag": n % 3 == 0} for n in range(40)
    ]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda row: client.predict("several", instances=[row]).body, rows))
    assert together == [apart.predict("several", instances=[row]).body for row in rows]


def test_many_connections(models, serve):
    client = serve(models)
    connections = [socket.create_connection(("127.0.0.1", client.rest_port)) for _ in range(400)]
    assert client.predict("half", instances=[0]).status == 200
    request = b'POST /v1/models/toy:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\n{"instances":[1]'
    for connection in connections:
        connection.sendall(request + b"}")
        connection.close()  # without waiting for the answer
    assert client.predict("half", instances=[0]).status == 200


def test_memory_does_not_grow(models, serve):
    client = serve(models)
    connection = http.client.HTTPConnection("127.0.0.1", client.rest_port)
    bodies = [
        json.dumps({"signature_name": "half", "instances": [1.5] * 1000}),
        json.dumps({"signature_name": "picture", "instances": ["good" * 100] * 10 + ["corrupt"]}),
        json.dumps({"signature_name": "picture", "instances": ["good" * 1000] * 10}),
        "broken",
    ]

    def ask(count: int) -> None:
        for number in range(count):
            connection.request("POST", PREDICT, bodies[number % len(bodies)])
            response = connection.getresponse()
            assert response.status == (400 if number % 2 else 200)
            response.read()

    ask(1000)
    before = psutil.Process().memory_info().rss
    ask(3000)
    assert psutil.Process().memory_info().rss - before < 8 << 20
    connection.close()
