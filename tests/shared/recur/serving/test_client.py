"""The client, asked of a small server: both protocols, batches, retries and errors."""

import socket
import subprocess
import sys
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from recur.errors import InputError
from recur.serving.client import connect, joined, retried
from recur.serving.codec import fill_tensor_proto, from_json, from_tensor_proto, read_document, request_body
from recur.serving.endpoint import Endpoint, ServerError, Unavailable, parse_endpoint
from tests.checkout import ROOT
from tests.shared.recur.serving.tiny_server import TinyServer

pytestmark = pytest.mark.slow

TEXTS = np.array([b"one", "żółw".encode(), b"", b"\xff\x00 not UTF-8"], object)
BUSY = (503, grpc.StatusCode.UNAVAILABLE)


class Model(tf.Module):
    """Answers of every kind."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def strings(self, text):
        ragged = tf.strings.split(text)
        same = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8")
        return {"same": same, "words": ragged.to_tensor(""), "bytes": tf.strings.length(text)}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x"), tf.TensorSpec([None], tf.int64, "n")])
    def numbers(self, x, n):
        return {"root": tf.sqrt(x), "n": n, "ok": x[:, 0] > 0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def single(self, image_bytes):
        return {"hex": tf.strings.length(image_bytes)}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    module, folder = Model(), tmp_path_factory.mktemp("model") / "1"
    signatures = {"serving_default": module.single, "strings": module.strings, "numbers": module.numbers}
    tf.saved_model.save(module, str(folder), signatures)
    return folder


@pytest.fixture(scope="module")
def server(path):
    with TinyServer(path, "tiny") as server:
        yield server


@pytest.fixture(params=["rest", "grpc"])
def url(request, server):
    return getattr(server, request.param)


def test_answers_of_every_kind(url, server):
    with connect(url, "tiny") as client:
        found = client.ask("strings", {"text": TEXTS})
        expected = server.model.run({"text": TEXTS}, "strings")
        assert {name: value.dtype for name, value in found.items()} == {
            name: value.dtype for name, value in expected.items()
        }
        for name, value in expected.items():
            assert found[name].tolist() == value.tolist(), name
        x = np.array([[4, -1], [0.1, np.inf]], np.float32)
        found = client.ask("numbers", {"x": x, "n": np.array([2**60, -1])})
        np.testing.assert_array_equal(found["root"], np.array([[2, np.nan], [np.sqrt(x[1, 0]), np.inf]], np.float32))
        assert found["root"].dtype == np.float32
        assert found["n"].tolist() == [2**60, -1]
        assert found["ok"].tolist() == [True, True]
        assert client.ask("serving_default", {"image_bytes": TEXTS})["hex"].tolist() == [len(text) for text in TEXTS]
        nothing = client.ask("strings", {"text": TEXTS[:0]})
        assert {name: value.shape for name, value in nothing.items()} == {"same": (0,), "words": (0, 0), "bytes": (0,)}


def test_what_signatures_take(url, server):
    with connect(url, "tiny") as client:
        assert client.shapes() == {
            name: {key: shape for key, (_, shape) in signature.inputs.items()}
            for name, signature in server.model.signatures.items()
        }


def test_versions_and_labels(url):
    for choice in ({"version": 1}, {"label": "stable"}):
        with connect(url, "tiny", **choice) as client:
            assert client.ask("serving_default", {"image_bytes": TEXTS[:1]})["hex"].tolist() == [3]
    for choice in ({"version": 2}, {"label": "canary"}):
        with connect(url, "tiny", **choice) as client, pytest.raises(InputError, match="refuses the request for tiny"):
            client.ask("serving_default", {"image_bytes": TEXTS[:1]})


def test_many_rows_are_asked_in_parts(url, server):
    texts = np.array([b"a"] * 5 + [b"b c d"] * 2, object)
    server.rows.clear()
    with connect(url, "tiny", most_rows=3) as client:
        found = client.ask("strings", {"text": texts})
    assert server.rows == [3, 3, 1]
    assert found["words"].tolist() == [[b"a", b"", b""]] * 5 + [[b"b", b"c", b"d"]] * 2
    assert found["bytes"].tolist() == [1] * 5 + [5] * 2


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_a_busy_server_is_asked_again_and_no_other(path, kind):
    cases = [
        (lambda count: BUSY if count < 4 else None, None, 4),
        (lambda count: (429, grpc.StatusCode.RESOURCE_EXHAUSTED) if count < 3 else None, None, 3),
        (lambda count: (500, grpc.StatusCode.INTERNAL), (ServerError, "failed .*refused"), 1),
        (lambda count: (400, grpc.StatusCode.INVALID_ARGUMENT), (InputError, "refuses the request .*refused"), 1),
    ]
    for refusals, error, tries in cases:
        with TinyServer(path, "tiny", refusals) as server, connect(getattr(server, kind), "tiny") as client:
            request = {"image_bytes": TEXTS[:1]}
            if error:
                with pytest.raises(error[0], match=error[1]):
                    client.ask("serving_default", request)
            else:
                assert client.ask("serving_default", request)["hex"].tolist() == [3]
            assert server.count == tries
    with (
        TinyServer(path, "tiny", lambda count: BUSY) as server,
        connect(getattr(server, kind), "tiny", deadline=0.4) as client,
        pytest.raises(InputError, match=r"busy .*for 0.4 s; start the server"),
    ):
        client.ask("serving_default", {"image_bytes": TEXTS[:1]})


def test_a_request_that_is_too_large_is_not_asked_again(path):
    with TinyServer(path, "tiny") as server, connect(server.grpc, "tiny") as client:
        begun = time.monotonic()
        with pytest.raises(InputError, match=r"refuses the request .*RESOURCE_EXHAUSTED.* larger than"):
            client.ask("serving_default", {"image_bytes": np.array([bytes(5 << 20)], object)})  # gRPC takes 4 MB
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_listens(scheme):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        url = f"{scheme}://127.0.0.1:{taken.getsockname()[1]}"
        with (
            connect(url, "tiny", deadline=0.3) as client,
            pytest.raises(InputError, match=r"for 0.3 s; start the server"),
        ):
            client.ask("serving_default", {"image_bytes": TEXTS[:1]})


def test_a_server_that_never_answers():
    for scheme in ("http", "grpc"):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
            with connect(url, "tiny", deadline=0.3) as client, pytest.raises(InputError):
                client.ask("serving_default", {"image_bytes": TEXTS[:1]})


def test_an_unknown_signature(url):
    with connect(url, "tiny") as client, pytest.raises(InputError, match="signature"):
        client.ask("absent", {"image_bytes": TEXTS[:1]})


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("localhost:8501", "has no scheme and host; say http://localhost:8501 for REST"),
        ("ftp://host", "has no scheme and host"),
        ("http://", "has no scheme and host"),
        ("http://host:port", "is no URL"),
        ("grpc://host:8500/path", "says more than scheme, host and port"),
        ("http://host/?query", "says more than scheme, host and port"),
    ],
)
def test_bad_urls(server, message):
    with pytest.raises(InputError, match=message):
        parse_endpoint(server, "tiny")


def test_urls():
    assert parse_endpoint("http://host", "a") == Endpoint("http", "host", 8501, "", "a")
    assert parse_endpoint("grpc://[::1]", "a", 3).server == "grpc://[::1]:8500"
    assert parse_endpoint("https://host/proxy/", "a").server == "https://host:443/proxy"
    with pytest.raises(InputError, match="say `version` or `label`"):
        parse_endpoint("http://host", "a", 1, "stable")


def test_waits_double_until_the_deadline():
    now, waits, left = [0.0], [], []

    def sleep(seconds):
        waits.append(seconds)
        now[0] += seconds

    def call(timeout):
        left.append(timeout)
        raise Unavailable

    with pytest.raises(Unavailable):
        retried(call, 30.0, sleep, lambda: now[0])
    assert now[0] < 30
    assert left == sorted(left, reverse=True)
    assert left[0] == 30
    for number, wait in enumerate(waits):
        longest = min(0.1 * 2**number, 5.0)
        assert longest / 2 <= wait <= longest


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.uint64, np.bool_]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3)])
def test_numbers_keep_their_value_in_both_formats(dtype, shape):
    array = np.asarray(np.random.default_rng(0).uniform(0, 100, shape)).astype(dtype)
    sent = read_document(request_body("served", {"x": array}))
    assert sent["signature_name"] == "served"
    same = from_json(sent["inputs"]["x"], (array.dtype, shape))
    assert (same.dtype, same.shape) == (array.dtype, shape)
    np.testing.assert_array_equal(same, array)
    proto = tf.make_tensor_proto(array)
    np.testing.assert_array_equal(from_tensor_proto(proto), array)
    own = type(proto)()
    fill_tensor_proto(own, array)
    np.testing.assert_array_equal(tf.make_ndarray(own), array)
    spelt = type(proto)(dtype=proto.dtype, tensor_shape=proto.tensor_shape)  # no value: zeros
    np.testing.assert_array_equal(from_tensor_proto(spelt), np.zeros(shape, dtype))


@given(st.lists(st.floats(width=32), min_size=1), st.lists(st.binary(), min_size=1))
def test_a_request_says_every_number_and_string(numbers, texts):
    arrays = {"x": np.array(numbers, np.float32)[:, None], "text": np.array([*texts, b""], object)[:-1]}
    sent = read_document(request_body("served", arrays))["inputs"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(from_json(sent[name], (array.dtype, array.shape)), array)


def test_an_array_of_another_order_is_written_too():
    for array in (np.arange(6.0).reshape(2, 3).T, np.arange(4, dtype=">i4"), np.arange(8.0)[::2]):
        sent = read_document(request_body("served", {"x": array}))["inputs"]["x"]
        assert sent == array.tolist()


def test_one_value_may_stand_for_many():
    proto = tf.make_tensor_proto([1.5, 2.5, 2.5, 2.5])
    proto.ClearField("tensor_content")
    proto.float_val.extend([1.5, 2.5])
    assert from_tensor_proto(proto).tolist() == [1.5, 2.5, 2.5, 2.5]
    with pytest.raises(ValueError, match="takes no array of complex64"):
        fill_tensor_proto(proto, np.zeros(2, np.complex64))


@pytest.mark.parametrize("value", [["a", 1], [["a"], ["b", "c"]], {"b64": "a", "x": 1}, [None]])
def test_what_is_no_tensor_of_strings(value):
    with pytest.raises(ValueError, match=r"lists of unequal lengths|where a string should be"):
        from_json(value, (np.dtype(object), (-1,)))


def test_rows_are_joined():
    parts = [np.ones((1, 2, 1)), np.ones((2, 1, 3))]
    assert joined(parts).shape == (3, 2, 3)
    assert joined(parts)[1].tolist() == [[1, 1, 1], [0, 0, 0]]


def test_no_tensorflow_is_loaded_and_it_may_come_later(server):
    script = """
import json, sys
import numpy as np
from recur.serving.client import connect
for url in sys.argv[1:]:
    with connect(url, "tiny") as client:
        assert client.ask("serving_default", {"image_bytes": np.array([b"abc"], object)})["hex"].tolist() == [3]
print(json.dumps([name for name in ("tensorflow", "keras") if name in sys.modules]))
"""
    command = [sys.executable, "-W", "error", "-c", script, server.rest, server.grpc]
    root = ROOT
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
