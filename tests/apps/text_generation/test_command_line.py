"""What the commands answer, on standard output and in files."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from apps.text_generation.application import APPLICATION
from apps.text_generation.config import TextGenerationConfig
from tests.checkout import ROOT
from tests.conftest import grammar_text

pytestmark = pytest.mark.slow

LENGTH = ["--length", "5"]


@pytest.fixture
def run(tiny_run, text_generation):
    """A copy of the tiny run in the working folder."""
    return shutil.copytree(tiny_run, text_generation.folder / "run")


def test_a_folder_of_texts_is_trained_on_and_becomes_the_latest_run(text_generation, all_applications):
    Path("texts/part").mkdir(parents=True)
    Path("texts/a.txt").write_text(grammar_text(400, seed=1))
    Path("texts/part/b.md").write_text(grammar_text(400, seed=2))
    size = ["--units", "4", "--embedding-units", "2", "--batch-size", "2", "--window", "4"]
    length = ["--epochs", "1", "--steps-per-epoch", "2"]
    trained = text_generation("train", "--data", "texts", "--preset", "quick", *size, *length)
    assert (trained.status, trained.output) == (0, "")
    (run,) = Path("runs/text_generation").iterdir()
    assert f"evaluate {run}" in trained.errors
    written = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert written >= {"config.json", "history.csv", "model.keras", "assets/vocabulary.json", "checkpoint/state.npz"}
    assert not any(path.name.startswith(".") for path in run.rglob("*"))

    answer = text_generation("predict", "latest", "To be", "--length", "3")
    assert (answer.status, len(answer.output)) == (0, len("To be...\n"))
    (row,) = json.loads(all_applications("runs", "--json").output)["runs"]["text_generation"]
    assert (row["run"], row["data"], row["preset"]) == (str(run), "texts", "quick")
    assert row["finished"]


def test_evaluate_prints_the_metrics_that_it_writes(text_generation, run):
    answer = text_generation("evaluate", "run", "--json")
    assert answer.status == 0
    assert answer.output.count("\n") == 1
    metrics = json.loads(answer.output)
    assert metrics == json.loads((run / "metrics.json").read_text())
    facts = ["application", "data", "split", "examples", "parameters", "train_seconds"]
    assert list(metrics) == [*facts, "metrics", "baselines", "details"]
    assert metrics["application"] == "text_generation"
    assert metrics["split"] == "validation"
    assert metrics["examples"] == 599
    assert set(metrics["baselines"]) >= {"uniform", "unigram", "5-gram"}
    for values in (metrics["metrics"], *metrics["baselines"].values()):
        assert {"nats_per_char", "bits_per_char"} <= set(values)
        assert all(isinstance(value, float) and math.isfinite(value) for value in values.values())
        assert values["bits_per_char"] == pytest.approx(values["nats_per_char"] / math.log(2))
    assert all(0 <= metrics["details"][name] <= 1 for name in ("clipped_steps", "skipped_steps"))
    gradients = {"gradient_flow.png", "gradient_through_time.png"}
    assert {path.name for path in (run / "plots").iterdir()} >= {"curves.png", "surprise.png"} | gradients


def test_the_gradients_of_a_run_are_diagnosed(all_applications, run):
    found = json.loads(all_applications("diagnose", "run", "--json").output)
    assert list(found) == ["run", "findings"]


def test_evaluate_shows_the_model_beside_its_baselines(text_generation, run):
    name = "[bold]text.txt"  # which a console could take for markup
    Path(name).write_text(grammar_text(3_000, seed=1))
    answer = text_generation("evaluate", "run", "--data", name)
    assert answer.status == 0
    shown = ("this model", "uniform", "unigram", "5-gram", "nats_per_char", "bits_per_char", name)
    assert all(part in answer.output for part in shown)
    assert "metrics.json" in answer.errors


def test_inputs_are_answered_in_order_as_one_json_object(text_generation, run):
    prompts = ["b", "", "a", "日本 — never seen", "two\nlines", 'a "quoted", one', "-- --json"]
    answer = text_generation("predict", "run", "--json", *LENGTH, "--", *prompts)
    assert answer.status == 0
    assert answer.output.count("\n") == 1
    found = json.loads(answer.output)
    assert set(found) == {"application", "answers"}
    assert [row["prompt"] for row in found["answers"]] == prompts
    assert all(row["text"].startswith(row["prompt"]) for row in found["answers"])
    assert [len(row["text"]) - len(row["prompt"]) for row in found["answers"]] == [5] * len(prompts)


@pytest.mark.parametrize(
    ("stdin", "prompts"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one\n\ntwo", ["one", "", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        (b"caf\xe9 \xff\xfe\n\xf0\x9f\x98\x80\n", ["caf\ufffd \ufffd\ufffd", "\U0001f600"]),
        (b"a\x0bb\x85\xe2\x80\xa8c\n", ["a\x0bb\ufffd\u2028c"]),
    ],
)
def test_lines_of_standard_input_are_inputs(text_generation, run, stdin, prompts):
    answer = text_generation("predict", "run", "--json", *LENGTH, stdin=stdin)
    assert answer.status == 0
    assert [row["prompt"] for row in json.loads(answer.output)["answers"]] == prompts


def test_a_prompt_that_is_not_utf_8_is_answered_in_utf_8(text_generation, run):
    answer = text_generation("predict", "run", "caf\udce9", "--json", *LENGTH)
    assert answer.status == 0
    (row,) = json.loads(answer.output)["answers"]
    assert row["prompt"] == "caf\ufffd"
    assert row["text"].startswith("caf\ufffd")


@pytest.mark.parametrize("name", ["answers.csv", "answers.jsonl"])
def test_answers_are_written_to_a_file(text_generation, run, name):
    prompts = ["one, two", 'a "quoted" one', "", "última"]
    Path(name).write_text("old")
    answer = text_generation("predict", "run", "--output", name, *LENGTH, stdin="\n".join(prompts).encode())
    assert (answer.status, answer.output) == (0, "")
    assert f"wrote 4 answers to {name}" in answer.errors
    with Path(name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) if name.endswith("csv") else [json.loads(line) for line in file]
    assert [row["prompt"] for row in rows] == prompts
    assert all(set(row) == {"prompt", "text"} and row["text"].startswith(row["prompt"]) for row in rows)
    assert {path.name for path in Path().iterdir()} == {"run", name}


def test_answers_may_be_both_printed_and_written(text_generation, run):
    answer = text_generation("predict", "run", "one", "two", "--json", "--output", "answers.jsonl", *LENGTH)
    assert answer.status == 0
    rows = [json.loads(line) for line in Path("answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert json.loads(answer.output) == {"application": "text_generation", "answers": rows}
    assert len(rows) == 2


def test_a_stream_prints_what_predict_prints(text_generation, run):
    words = ["predict", "run", "To be", "or not", "--length", "40"]
    whole, streamed = text_generation(*words), text_generation(*words, "--stream")
    assert (streamed.status, streamed.output) == (0, whole.output)
    assert whole.output.startswith("To be")


def test_a_process_reads_lines_and_prints_json_alone(tiny_run, tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "apps.text_generation", "predict", str(tiny_run), "--json", *LENGTH],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=b"one\r\n\xff\n\nlast",
        capture_output=True,
        timeout=300,
    )
    assert finished.returncode == 0
    found = json.loads(finished.stdout)
    assert [row["prompt"] for row in found["answers"]] == ["one", "\ufffd", "", "last"]
    assert finished.stderr == b""
    assert list(tmp_path.iterdir()) == []


def test_a_tensorflow_dataset_is_read_with_its_own_splits(tensorflow_datasets_folder):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    texts = {"train": grammar_text(500, seed=1), "validation": grammar_text(300, seed=2)}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_play",
        version="1.0.0",
        features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
        split_datasets={split: tf.data.Dataset.from_tensor_slices({"text": [text]}) for split, text in texts.items()},
        data_dir=tensorflow_datasets_folder,
    )
    corpus = APPLICATION.task.read("tiny_play", TextGenerationConfig(batch_size=2, window=8))
    assert (corpus.train, corpus.validation, corpus.test) == (texts["train"], texts["validation"], "")
