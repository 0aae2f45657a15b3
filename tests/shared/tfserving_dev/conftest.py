"""A toy model with a signature for everything that a server may be asked, and a server that serves it."""

import contextlib
import http.client
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from recur.serving.warmup import write_warmup_requests
from tfserving_dev.server import DevelopmentServer
from tfserving_dev.settings import ServerSettings


class Toy(tf.Module):
    """Whatever a signature may take and return. The version is what `half` adds."""

    def __init__(self, version: float):
        super().__init__()
        self.version = tf.Variable(version)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def half(self, x):
        return {"y": x / 2 + self.version}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def shout(self, text):
        return {"label": tf.strings.upper(text), "length": tf.strings.length(text)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "tag"),
            tf.TensorSpec([None, None], tf.float32, "signal"),
            tf.TensorSpec([None, 2], tf.int64, "sensor"),
            tf.TensorSpec([None], tf.bool, "flag"),
        ]
    )
    def several(self, tag, signal, sensor, flag):
        mean = tf.reduce_mean(signal, 1)
        return {"tag": tag, "signal": signal * 2, "sensor": sensor + 1, "flag": ~flag, "mean": mean}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def picture(self, image_bytes):
        good = tf.reduce_all(image_bytes != "corrupt")
        with tf.control_dependencies([tf.debugging.Assert(good, ["not a picture"], name="decode")]):
            return {"image_bytes": tf.identity(image_bytes), "size": tf.strings.length(image_bytes)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "seconds")])
    def slow(self, seconds):
        end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), tf.float64)
        while tf.timestamp() < end:
            pass
        return {"seconds": tf.identity(seconds)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def total(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "a"), tf.TensorSpec([None], tf.int32, "b")])
    def apart(self, a, b):
        return {"product": a * b}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def logarithm(self, x):
        return {"y": tf.math.log(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify(self, inputs):
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        scores = tf.stack([x, 1 - x], 1)
        return {"scores": scores, "classes": tf.tile([["yes", "no"]], [tf.size(x), 1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regress(self, inputs):
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        return {"outputs": x / 2 + self.version}

    @property
    def signatures(self) -> dict[str, Any]:
        names = ("half", "shout", "several", "picture", "slow", "total", "apart", "logarithm", "classify", "regress")
        return {"serving_default": self.half, **{name: getattr(self, name) for name in names}}


class Answer(NamedTuple):
    """What an HTTP request came to."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert list(self.json) == ["error"]
        return self.json["error"]


class Client:
    """A server's two interfaces."""

    def __init__(self, rest_port: int, grpc_port: int):
        self.rest_port, self.grpc_port = rest_port, grpc_port
        self.channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def close(self) -> None:
        """Closes its channel."""
        self.channel.close()

    def http(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=30)
        try:
            content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, content, headers or {})
            response = connection.getresponse()
            received = {name.lower(): text for name, text in response.getheaders()}
            return Answer(response.status, response.read(), received)
        finally:
            connection.close()

    def predict(self, signature: str, model: str = "toy", **request: Any) -> Answer:
        """A `:predict` request."""
        return self.http("POST", f"/v1/models/{model}:predict", {"signature_name": signature, **request})


SaveToy = Callable[..., Path]


@pytest.fixture(scope="session")
def exported_toys(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The toy in three versions, each saved once."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = tmp_path_factory.mktemp("toys")
    for version in (1, 2, 3):
        module = Toy(float(version))
        tf.saved_model.save(module, str(folder / str(version)), module.signatures)
    return {version: folder / str(version) for version in (1, 2, 3)}


@pytest.fixture(scope="session")
def put_toy(exported_toys: dict[int, Path]) -> SaveToy:
    """Puts a version of the toy among the models, at once as an export does."""
    import shutil

    def put(models: Path, version: int, name: str = "toy", warmup: dict[str, dict[str, Any]] | None = None) -> Path:
        folder = models / name
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / ".unfinished"
        shutil.copytree(exported_toys[version], unfinished)
        if warmup:
            arrays = {
                signature: {input_: np.asarray(value, np.float32) for input_, value in inputs.items()}
                for signature, inputs in warmup.items()
            }
            write_warmup_requests(unfinished, name, arrays)
        return unfinished.rename(folder / str(version))

    return put


Serve = Callable[..., Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers of folders of models, and stops them after the test."""
    undo = contextlib.ExitStack()

    def start(models: Path, **settings: Any) -> Client:
        defaults = {"rest_port": 0, "grpc_port": 0, "poll_seconds": 0.05, "last_seconds": 0.02}
        server = DevelopmentServer(ServerSettings(models=models, **{**defaults, **settings}))
        server.start()
        undo.callback(server.stop)
        return undo.enter_context(contextlib.closing(Client(server.rest_port, server.grpc_port)))

    with undo:
        yield start


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, put_toy: SaveToy) -> Iterator[Client]:
    """A server of version 2 of the toy, with the label `stable`."""
    models = tmp_path_factory.mktemp("models")
    put_toy(models, 2)
    (models / "models.config").write_text(
        'model_config_list { config { name: "toy" base_path: "/models/toy" model_platform: "tensorflow" '
        'version_labels { key: "stable" value: 2 } } }'
    )
    server = DevelopmentServer(ServerSettings(models=models, rest_port=0, grpc_port=0, max_body_mb=1.0))
    server.start()
    with contextlib.closing(Client(server.rest_port, server.grpc_port)) as client:
        yield client
    server.stop()
