"""What was made at commit d65bda5 still opens, answers what it answered then, and goes on training.

What it was made with, and what it answered, is in `tests/golden/`.
"""

import csv
import importlib
import json
import math
import pkgutil
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

import apps
import recur.layers
import recur.metrics
from apps.__main__ import main as all_applications
from recur.cli.application import main
from recur.serving.answers import answers, ask_saved_model
from tests.checkout import ROOT
from tests.conftest import CommandLine
from tfserving_dev.session import NativeSavedModel

GOLDEN = ROOT / "tests" / "golden"
THEN = json.loads((GOLDEN / "answers.json").read_text("utf-8"))
NAMES = ["text_generation", "sentiment_analysis", "translation", "image_captioning", "stock_forecasting"]
APPLICATIONS = apps.applications()
DIGITS = 1e-4
"""By which numbers may differ, of themselves or of 1."""

slow = pytest.mark.slow
CHEAP = ("text_generation", "stock_forecasting")  # to load and to trace: the others take ten seconds each time
BY_COST = [pytest.param(name, marks=slow if name in CHEAP else pytest.mark.long) for name in NAMES]


def assert_same(today: Any, then: Any) -> None:
    """Asserts that two JSON values are equal, numbers up to rounding."""
    if isinstance(then, dict):
        assert today.keys() >= then.keys()  # there may be more to say today
        for name, value in then.items():
            assert_same(today[name], value)
    elif isinstance(then, list):
        assert len(today) == len(then)
        for value, before in zip(today, then, strict=True):
            assert_same(value, before)
    elif isinstance(then, float):
        assert math.isclose(today, then, rel_tol=DIGITS, abs_tol=DIGITS), (today, then)
    else:
        assert today == then


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder as it was left at d65bda5: data, runs and exports."""
    folder = tmp_path_factory.mktemp("golden")
    for path in GOLDEN.glob("*.tar.xz"):
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def command(unpacked, monkeypatch, capfd):
    """Runs a command line of an application, or of all, in that folder."""
    monkeypatch.chdir(unpacked)

    def run(name: str, *words: object) -> Any:
        def call(arguments: list[str]) -> int:
            return all_applications(arguments) if name == "apps" else main(APPLICATIONS[name], arguments)

        answer = CommandLine(call, unpacked, capfd, monkeypatch)(*words)
        assert answer.status == 0, answer.errors
        return answer.output

    return run


def assert_export_answers(name: str, path: Path) -> None:
    """Asserts that an export in TensorFlow's C++ session answers all that was asked at d65bda5."""
    application = APPLICATIONS[name]
    with NativeSavedModel(path) as model:
        for question in THEN[name]["asked"]:
            options = application.options(**question["options"])
            answered = list(answers(application, ask_saved_model(model), question["inputs"], options))
            assert_same(answered, question["printed"]["answers"])


@slow
@pytest.mark.parametrize("name", NAMES)
def test_a_run_answers_as_then(command, name):
    question = THEN[name]["asked"][0]
    flags = [word for key, value in question["options"].items() for word in (f"--{key.replace('_', '-')}", value)]
    printed = command(name, "predict", f"runs/{name}/finished", "--json", *flags, "--", *question["inputs"])
    assert_same(json.loads(printed), question["printed"])


@pytest.mark.parametrize("name", BY_COST)
def test_a_run_is_measured_as_then(command, name):
    metrics = json.loads(command(name, "evaluate", f"runs/{name}/finished", "--json"))
    assert_same(metrics["metrics"], THEN[name]["metrics"])


@pytest.mark.parametrize("name", BY_COST)
def test_a_run_is_exported_and_answers_as_then(command, unpacked, name):
    printed = command(name, "export", f"runs/{name}/finished")
    assert printed == f"saved_models/{name}/2\n"
    assert_export_answers(name, unpacked / "saved_models" / name / "2")


@pytest.mark.parametrize("name", BY_COST)
def test_an_export_answers_as_then(unpacked, monkeypatch, name):
    monkeypatch.chdir(unpacked)
    assert_export_answers(name, unpacked / "saved_models" / name / "1")


def history(run: Path) -> list[dict[str, float]]:
    """What was written of every epoch, without the time it took."""
    with (run / "history.csv").open() as file:
        return [
            {name: float(value) for name, value in row.items() if "seconds" not in name} for row in csv.DictReader(file)
        ]


@slow
def test_runs_are_listed_and_an_unfinished_one_ends_as_if_it_had_never_stopped(command, unpacked):
    listed = json.loads(command("apps", "runs", "--json"))["runs"]
    rows = {row["run"]: row for rows in listed.values() for row in rows}
    assert {f"runs/{name}/finished" for name in NAMES} <= {run for run, row in rows.items() if row["finished"]}
    assert not [row for row in rows.values() if row["error"]]
    unfinished = unpacked / "runs" / "text_generation" / "unfinished"
    assert [run for run, row in rows.items() if not row["finished"]] == ["runs/text_generation/unfinished"]

    command("text_generation", "train", "--resume", "runs/text_generation/unfinished")
    assert json.loads((unfinished / "config.json").read_text())["finished"]
    assert_same(history(unfinished), history(unfinished.with_name("finished")))


def import_all(package: ModuleType) -> None:
    """Imports every module of a package, and so registers with Keras what it has."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


@slow
def test_a_file_of_layers_opens_and_computes_as_then(unpacked):
    import_all(recur.layers)
    model, then = keras.models.load_model(unpacked / "layers.keras"), THEN["layers"]
    tokens, wanted = np.array(then["inputs"]["tokens"], np.int32), np.array(then["inputs"]["wanted"], np.float32)
    outputs = {name: tensor.numpy().tolist() for name, tensor in model([tokens, wanted]).items()}
    assert_same(outputs, then["outputs"])


def test_what_files_name_is_registered():
    for package in (recur.layers, recur.metrics, apps):
        import_all(package)
    assert set(THEN["registered"]) <= set(keras.saving.get_custom_objects())
