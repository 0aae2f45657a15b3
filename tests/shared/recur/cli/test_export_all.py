"""One command exports what has been trained, for one server."""

import shutil

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

import apps
from recur.serving.repository import checksum_faults, version_batching

pytestmark = pytest.mark.slow


@pytest.fixture
def with_a_run(all_applications, tiny_run):
    shutil.copytree(tiny_run, all_applications.folder / "runs" / "text_generation" / "tiny")
    return all_applications


def test_newest_runs_are_exported_and_the_rest_is_said(with_a_run):
    answer = with_a_run("export-all")
    assert answer.status == 0, answer
    assert answer.output.splitlines() == [
        "saved_models/text_generation/1",
        "saved_models/models.config",
        "saved_models/batching_parameters.txt",
    ]
    others = set(apps.applications()) - {"text_generation"}
    for name in others:
        assert f"{name} is left out: no finished run" in answer.errors
    version = with_a_run.folder / "saved_models" / "text_generation" / "1"
    batching = apps.applications()["text_generation"].batching
    assert (version / "batching_params.pbtxt").read_text() == version_batching(batching)
    assert (version / "README.md").read_text().count("## This model") == 1
    assert checksum_faults(version) == []
    assert not list(version.parent.glob(".*"))

    answer = with_a_run("export-all", "text_generation", "--base", "/srv", "--batch-threads", "2")
    assert answer.status == 0
    assert answer.output.splitlines()[0] == "saved_models/text_generation/2"
    assert answer.errors == ""
    config = (with_a_run.folder / "saved_models" / "models.config").read_text()
    found = text_format.Parse(config, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert [(each.name, each.base_path) for each in found] == [("text_generation", "/srv/text_generation")]
    parameters = (with_a_run.folder / "saved_models" / "batching_parameters.txt").read_text()
    assert "num_batch_threads { value: 2 }" in parameters


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["translation"], "no application has a finished run in runs; train one"),
        (["translatoin"], "there is no application 'translatoin'; did you mean translation?"),
        (["--batch-threads", "0"], "--batch-threads should be at least 1, not 0"),
        (["--to", "file"], "cannot make the folder file/text_generation (Not a directory)"),
        (["--to", "damaged"], "models.config is damaged"),
    ],
)
def test_bad_input(with_a_run, words, message):
    (with_a_run.folder / "file").touch()
    (with_a_run.folder / "damaged").mkdir()
    (with_a_run.folder / "damaged" / "models.config").write_text("{")
    status = with_a_run(*["export-all", *words])
    assert status.status == 2
    assert status.output == ""
    assert message in status.errors.splitlines()[-1]
    assert not list(with_a_run.folder.rglob("saved_model.pb"))
