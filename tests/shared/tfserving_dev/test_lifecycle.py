import contextlib
import http.client
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, predict_pb2
from tensorflow_serving.config import model_server_config_pb2

pytestmark = pytest.mark.slow

TOY_ALONE = 'model_config_list { config { name: "toy" base_path: "toy" model_platform: "tensorflow" } }'
SLOW_WARMUP = {"slow": {"seconds": [0.7]}}


def states(client) -> dict[int, str]:
    answer = client.http("GET", "/v1/models/toy")
    if answer.status != 200:
        return {}
    return {int(each["version"]): each["state"] for each in answer.json["model_version_status"]}


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def version_of(client) -> float:
    return client.predict("half", instances=[0]).json["predictions"][0]


class Load:
    """Threads that ask by REST and by gRPC, one request after another, and note every answer and every failure."""

    def __init__(self, client, threads: int = 2, label: str = ""):
        self.answers, self.failures = [], []
        self._label = label
        self._stop = threading.Event()
        workers = [self._rest, self._grpc] * threads
        self._threads = [threading.Thread(target=self._work, args=(worker, client)) for worker in workers]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        time.sleep(0.2)
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, worker, client):
        try:
            with contextlib.closing(worker(client)) as answers:
                for answer in answers:
                    self.answers.append(answer)
                    if self._stop.is_set():
                        return
        except Exception as error:  # noqa: BLE001 - the test says what failed
            self.failures.append(error)

    def _rest(self, client):
        connection = http.client.HTTPConnection("127.0.0.1", client.rest_port, timeout=30)
        path = f"/v1/models/toy{f'/labels/{self._label}' if self._label else ''}:predict"
        with contextlib.closing(connection):
            while True:
                connection.request("POST", path, b'{"signature_name": "half", "instances": [0]}')
                response = connection.getresponse()
                body = response.read()
                assert response.status == 200, body
                yield json.loads(body)["predictions"][0]

    def _grpc(self, client):
        request = predict_pb2.PredictRequest(model_spec={"name": "toy", "signature_name": "half"})
        if self._label:
            request.model_spec.version_label = self._label
        request.inputs["x"].CopyFrom(_floats(0))
        while True:
            yield client.prediction.Predict(request, timeout=30).outputs["y"].float_val[0]


def _floats(*values: float):
    from tensorflow.core.framework import tensor_pb2

    return tensor_pb2.TensorProto(dtype=1, tensor_shape={"dim": [{"size": len(values)}]}, float_val=values)


def test_versions_come_and_go_under_load(tmp_path, put_toy, serve):
    put_toy(tmp_path, 1)
    client = serve(tmp_path)
    with Load(client) as load:
        for version in (2, 3):
            put_toy(tmp_path, version)
            wait_for(lambda version=version: version_of(client) == version)
        shutil.rmtree(tmp_path / "toy" / "3")  # back to the newest that is left
        wait_for(lambda: version_of(client) == 2)
        wait_for(lambda: states(client) == {1: "END", 2: "AVAILABLE", 3: "END"})
    assert not load.failures
    assert set(load.answers) == {1, 2, 3}
    assert len(load.answers) > 50
    for version in (1, 2):
        shutil.rmtree(tmp_path / "toy" / str(version))
    wait_for(lambda: client.predict("half", instances=[0]).status == 404)


def test_a_model_whose_folder_is_away_goes_on(tmp_path, put_toy, serve):
    put_toy(tmp_path, 1)
    (tmp_path / "models.config").write_text(TOY_ALONE)
    client = serve(tmp_path)
    (tmp_path / "toy").rename(tmp_path / "away")
    time.sleep(0.3)
    assert version_of(client) == 1
    (tmp_path / "models.config").write_text("model_config_list { config {")
    time.sleep(0.3)
    assert version_of(client) == 1


def test_warm_up_before_available(tmp_path, put_toy, serve):
    put_toy(tmp_path, 1)
    client = serve(tmp_path)
    with Load(client) as load:
        put_toy(tmp_path, 2, warmup=SLOW_WARMUP)
        seen = []
        while states(client).get(2) != "AVAILABLE":
            seen.append((states(client), version_of(client)))
        assert ({1: "AVAILABLE", 2: "LOADING"}, 1) in seen
        wait_for(lambda: version_of(client) == 2)
    assert not load.failures


def test_a_server_listens_when_its_models_are_warm(tmp_path, put_toy, serve):
    put_toy(tmp_path, 1, warmup=SLOW_WARMUP)
    start = time.monotonic()
    client = serve(tmp_path)
    assert time.monotonic() - start > 0.7
    assert states(client) == {1: "AVAILABLE"}


def damage_graph(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"this is text, not a graph")


def damage_variables(folder: Path) -> None:
    for path in (folder / "variables").iterdir():
        path.write_bytes(path.read_bytes()[:10])


def damage_warmup(folder: Path) -> None:
    (folder / "assets.extra").mkdir(exist_ok=True)
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no records at all" * 10)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (damage_graph, "DATA_LOSS"),
        (lambda folder: (folder / "saved_model.pb").unlink(), "NOT_FOUND"),
        (damage_variables, "DATA_LOSS"),
        (damage_warmup, "DATA_LOSS"),
    ],
)
def test_a_damaged_version_leaves_the_old_one(tmp_path, put_toy, serve, exported_toys, damage, code):
    put_toy(tmp_path, 1)
    client = serve(tmp_path)
    damaged = tmp_path / "damaged"
    shutil.copytree(exported_toys[2], damaged)
    damage(damaged)
    with Load(client, 1) as load:
        damaged.rename(tmp_path / "toy" / "2")
        wait_for(lambda: states(client).get(2) == "END")
        status = client.http("GET", "/v1/models/toy/versions/2").json["model_version_status"][0]["status"]
        assert status["error_code"] == code
        assert status["error_message"]
        time.sleep(0.2)
        assert states(client) == {1: "AVAILABLE", 2: "END"}
        assert client.http("POST", "/v1/models/toy/versions/2:predict", {"instances": [0]}).status == 404
        shutil.copytree(exported_toys[2], tmp_path / "toy" / "2", dirs_exist_ok=True)  # mended
        shutil.rmtree(tmp_path / "toy" / "2" / "assets.extra", ignore_errors=True)
        wait_for(lambda: states(client).get(2) == "AVAILABLE")
    assert not load.failures
    assert set(load.answers) >= {1}


def test_what_has_been_asked_is_answered_by_the_old_version(tmp_path, put_toy, serve):
    put_toy(tmp_path, 1)
    client = serve(tmp_path)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(client.predict("slow", instances=[1.5])))
    asking.start()
    time.sleep(0.2)
    put_toy(tmp_path, 2)
    wait_for(lambda: states(client) == {1: "UNLOADING", 2: "AVAILABLE"}, 5)
    asking.join()
    assert (answers[0].status, answers[0].json) == (200, {"predictions": [1.5]})
    wait_for(lambda: states(client) == {1: "END", 2: "AVAILABLE"})


def test_labels_and_chosen_versions(tmp_path, put_toy, serve):
    for version in (1, 2, 3):
        put_toy(tmp_path, version)
    config = """model_config_list { config { name: "toy" base_path: "toy" model_platform: "tensorflow"
        model_version_policy { specific { versions: 1 versions: 2 } }
        version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: %d } } }"""
    (tmp_path / "models.config").write_text(config % 2)
    client = serve(tmp_path)
    assert states(client) == {1: "AVAILABLE", 2: "AVAILABLE"}
    ask = {"signature_name": "half", "instances": [0]}
    for place, version in (("labels/stable", 1), ("labels/canary", 2), ("versions/1", 1)):
        answer = client.http("POST", f"/v1/models/toy/{place}:predict", ask)
        assert answer.json == {"predictions": [version]}
    assert version_of(client) == 2
    (tmp_path / "models.config").write_text(config % 1)
    wait_for(lambda: client.http("POST", "/v1/models/toy/labels/canary:predict", ask).json == {"predictions": [1]})


def test_a_label_moves_to_what_is_available_only(tmp_path, put_toy, serve):
    for version in (1, 2):
        put_toy(tmp_path, version)
    config = """model_config_list { config { name: "toy" base_path: "toy" model_platform: "tensorflow"
        model_version_policy { specific { %s } } version_labels { key: "stable" value: %d } } }"""
    (tmp_path / "models.config").write_text(config % ("versions: 1", 1))
    client = serve(tmp_path)
    (tmp_path / "models.config").write_text(config % ("versions: 1 versions: 2", 2))  # both at once
    time.sleep(0.3)
    assert states(client) == {1: "AVAILABLE"}
    moved = text_format.Parse(config % ("versions: 2", 2), model_server_config_pb2.ModelServerConfig())
    moved.model_config_list.config[0].base_path = str(tmp_path / "toy")
    with pytest.raises(grpc.RpcError, match="which is not currently available for inference") as failure:
        client.model.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(config=moved))
    assert failure.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    (tmp_path / "models.config").write_text(config % ("versions: 1 versions: 2", 1))
    wait_for(lambda: states(client) == {1: "AVAILABLE", 2: "AVAILABLE"})
    with Load(client, label="stable") as load:
        (tmp_path / "models.config").write_text(config % ("versions: 2", 2))
        wait_for(lambda: states(client) == {1: "END", 2: "AVAILABLE"})
    assert load.failures == []
    assert set(load.answers) == {1, 2}


def test_another_configuration_by_grpc(tmp_path, put_toy, serve):
    put_toy(tmp_path, 1)
    put_toy(tmp_path, 2, name="other")
    (tmp_path / "models.config").write_text(TOY_ALONE)
    client = serve(tmp_path)
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name="other", base_path=str(tmp_path / "other"), model_platform="tensorflow")
    request = model_management_pb2.ReloadConfigRequest(config=config)
    assert client.model.HandleReloadConfigRequest(request).status.error_code == 0
    assert client.predict("half", model="other", instances=[0]).json == {"predictions": [2]}
    wait_for(lambda: client.predict("half", instances=[0]).status == 404)
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "toy"})
    wait_for(lambda: client.model.GetModelStatus(asked).model_version_status[0].state == 50)
    config.model_config_list.config.add(name="new", base_path=str(tmp_path / "new"), model_platform="tensorflow")
    (tmp_path / "new" / "3").mkdir(parents=True)
    with pytest.raises(
        grpc.RpcError, match=r"1 model.s. did not become available: \{\{name: new version: 3 due"
    ) as failure:
        client.model.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(config=config))
    assert failure.value.code() is grpc.StatusCode.UNKNOWN
    config.model_config_list.config[0].base_path = "relative"
    for wrong in (model_server_config_pb2.ModelServerConfig(), config):
        with pytest.raises(grpc.RpcError) as failure:
            client.model.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(config=wrong))
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
