import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from tests.checkout import ROOT
from tfserving_dev.launcher import binary_command, docker_command
from tfserving_dev.settings import ServerSettings

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def serving(models: Path, *flags: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """`python -m apps serve` as a process of its own, its standard error as text."""
    command = [sys.executable, "-m", "apps", "serve", "--models", str(models), *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(environment or {})}, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def ports_of(process: subprocess.Popen) -> tuple[int, int]:
    for line in process.stderr:
        if line.startswith("REST at"):
            rest, grpc_ = (int(part.split(":")[-1]) for part in line.strip().split(", "))
            return rest, grpc_
    raise AssertionError("it did not start")


class Clients:
    """Threads that ask until they are refused a connection; whatever else goes wrong is a failure."""

    def __init__(self, rest_port: int, threads: int):
        self.failures, self.answers = [], 0
        self._port, self._lock = rest_port, threading.Lock()
        self.threads = [threading.Thread(target=self._work, args=(number % 2 == 0,)) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def _work(self, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while True:
            try:
                connection.connect()
            except OSError:  # nothing has been asked
                return connection.close()
            try:
                closing = False
                while not closing:
                    connection.request("POST", "/v1/models/toy:predict", b'{"instances": [1.0]}')
                    response = connection.getresponse()
                    closing = not keep or response.will_close
                    if (response.status, json.loads(response.read())) != (200, {"predictions": [1.5]}):
                        self.failures.append(response.status)
                    with self._lock:
                        self.answers += 1
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(error)
                return connection.close()
            connection.close()


def test_what_was_asked_before_sigterm_is_answered(tmp_path, put_toy):
    put_toy(tmp_path, 1)
    flags = ("--server", "development", "--rest-port", "0", "--grpc-port", "0")
    with serving(tmp_path, *flags) as process:
        rest_port, grpc_port = ports_of(process)
        clients = Clients(rest_port, 6)
        request = predict_pb2.PredictRequest(model_spec={"name": "toy", "signature_name": "slow"})
        request.inputs["seconds"].CopyFrom(tf.make_tensor_proto([1.0], tf.float32))
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            slow = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict.future(request)
            time.sleep(0.7)
            before = clients.answers
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
            assert slow.result().outputs["seconds"].float_val == [1.0]
    for thread in clients.threads:
        thread.join()
    assert clients.failures == []
    assert before > 20
    assert process.returncode == 0
    assert "finishing what has been asked" in errors
    assert "Traceback" not in errors
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", rest_port))


def test_tensorflow_serving_is_started_where_it_is(tmp_path, put_toy):
    models = tmp_path / "models"
    put_toy(models, 1)
    (models / "batching_parameters.txt").write_text("max_batch_size { value: 4 }\n")
    binary = tmp_path / "bin" / "tensorflow_model_server"
    binary.parent.mkdir()
    script = """#!/bin/sh
trap 'echo told; exit 7' TERM
for word in "$@"; do case $word in --*_file=*) cat "${word#*=}";; *) echo "$word";; esac; done
while :; do sleep 0.05; done
"""
    binary.write_text(script)
    binary.chmod(0o755)
    path = {"PATH": f"{binary.parent}:{os.environ['PATH']}"}
    with serving(models, "--rest-port", "1234", environment=path) as process:
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "max_batch_size" in line:
                break
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert {"--port=8500", "--rest_api_port=1234", "--enable_batching=true"} <= set(lines)
    assert f'base_path: "{models / "toy"}"' in lines
    assert output.strip() == "told"
    assert process.returncode == 7
    assert errors.splitlines()[0].startswith(f"serving with {binary}, ")


def test_the_container(tmp_path):
    (tmp_path / "batching_parameters.txt").write_text("")
    settings = ServerSettings(models=tmp_path, rest_port=1, grpc_port=2, host="0.0.0.0")
    command = docker_command(settings, tmp_path)
    assert command[:3] == ["docker", "run", "--rm"]
    assert "0.0.0.0:1:8501" in command
    assert f"type=bind,source={tmp_path},target=/models,readonly" in command
    flags = command[command.index("tensorflow/serving:latest") + 1 :]
    assert "--model_config_file=/config/models.config" in flags
    assert "--batching_parameters_file=/config/batching_parameters.txt" in flags


def test_models_with_batching_parameters_of_their_own(tmp_path):
    (tmp_path / "batching_parameters.txt").write_text("")
    (tmp_path / "a" / "1").mkdir(parents=True)
    settings, flag = ServerSettings(models=tmp_path), "--enable_per_model_batching_parameters=true"
    assert flag not in binary_command("server", settings, tmp_path)
    (tmp_path / "a" / "1" / "batching_params.pbtxt").write_text("")
    assert flag in binary_command("server", settings, tmp_path)
    (tmp_path / "a" / "0").mkdir()  # which is not served
    assert flag in binary_command("server", settings, tmp_path)
    (tmp_path / "a" / "2").mkdir()
    assert flag not in binary_command("server", settings, tmp_path)


def test_paths_inside_the_container(tmp_path, monkeypatch):
    from tfserving_dev import launcher as module
    from tfserving_dev.errors import InputError

    models = tmp_path / "models"
    (models / "a" / "1").mkdir(parents=True)
    seen = []
    monkeypatch.setattr(module, "_docker_runs", lambda: True)
    monkeypatch.setattr(module, "_run", lambda command: seen.append(_config_of(command)))
    module.serve(ServerSettings(models=models, server="docker", image="image"))
    assert [(model.name, model.base_path) for model in seen[0]] == [("a", "/models/a")]
    (tmp_path / "b").mkdir()
    (models / "models.config").write_text(
        f'model_config_list {{ config {{ name: "b" base_path: "{tmp_path}/b" model_platform: "tensorflow" }} }}'
    )
    with pytest.raises(InputError, match="so the container cannot see it"):
        module.serve(ServerSettings(models=models, server="docker", image="image"))


def _config_of(command: list[str]):
    mount = next(word for word in command if word.endswith("target=/config,readonly"))
    file = Path(mount.split("source=")[1].split(",")[0]) / "models.config"
    return text_format.Parse(file.read_text(), model_server_config_pb2.ModelServerConfig()).model_config_list.config


def test_bad_usage(tmp_path, all_applications, put_toy, monkeypatch):
    development = ("serve", "--server", "development", "--models")
    assert "there is no folder absent; export a model into it" in all_applications.refused(*development, "absent")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    message = all_applications.refused("serve", "--server", "binary", "--models", "empty")
    assert message.startswith("tensorflow_model_server is not on the PATH")
    assert "docker does not run" in all_applications.refused("serve", "--server", "docker", "--models", "empty")
    assert "--rest-port" in all_applications.refused(*development, "empty", "--rest-port", "65536")
    assert "did you mean --rest-port" in all_applications.refused(*development, "empty", "--rest-prt", "1")


@pytest.mark.parametrize("flag", ["--rest-port", "--grpc-port"])
def test_a_port_that_is_taken(tmp_path, all_applications, put_toy, flag):
    put_toy(tmp_path / "models", 1)
    words = ["serve", "--server", "development", "--models", "models"]
    assert "there are no models" in all_applications(*words[:-1], "models/toy/1").errors
    with socket.create_server(("127.0.0.1", 0)) as taken:
        others = {"--rest-port": "0", "--grpc-port": "0", flag: str(taken.getsockname()[1])}
        answer = all_applications(*words, *[word for pair in others.items() for word in pair])
    assert answer.status == 2
    assert f"is taken or not allowed; choose another with {flag}" in answer.errors
    assert "Traceback" not in answer.errors


def test_wrong_files(tmp_path, all_applications, put_toy):
    put_toy(tmp_path / "models", 1)
    words = ["serve", "--server", "development", "--rest-port", "0", "--grpc-port", "0", "--models", "models"]
    (tmp_path / "models" / "batching_parameters.txt").write_text("max_batch_size: 4")
    assert "cannot read the batching parameters" in all_applications(*words).errors
    (tmp_path / "models" / "models.config").write_text("model {")
    assert "cannot read the model configuration" in all_applications(*words, "--no-batching").errors
