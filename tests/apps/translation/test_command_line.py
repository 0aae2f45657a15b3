"""Training, resuming, evaluation beside baselines, and bad input, at the command line."""

import gzip
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from recur.text.subwords import SubwordTokenizer
from recur.training.runs import Run

pytestmark = pytest.mark.slow


def checkpoint(run: Run) -> list[np.ndarray]:
    with np.load(run.checkpoint) as state:
        return [state[name] for name in sorted(set(state.files) - {"progress"})]


def test_evaluate_measures_beside_copies_and_a_dictionary(translation, tiny_translation_run):
    run = Path(shutil.copytree(tiny_translation_run, "run"))
    answer = translation("evaluate", "run", "--json")
    assert answer.status == 0
    metrics = json.loads(answer.output)
    assert metrics["metrics"]["bleu"] > 80
    assert set(metrics["baselines"]) == {"copy_source", "dictionary"}
    for values in (metrics["metrics"], *metrics["baselines"].values()):
        assert set(values) == {"bleu", "chrf", "bleu_lower_tok"}
        assert all(math.isfinite(value) for value in values.values())
    assert "13a" in metrics["details"]["signatures"]["bleu"]
    assert {"attention.png", "bleu_by_length.png"} <= {path.name for path in (run / "plots").iterdir()}


def test_stopped_and_resumed_equals_never_stopped(translation, tiny_translation_run):
    shutil.copytree(tiny_translation_run.parent / "stopped", "run")
    assert translation("train", "--resume", "run").status == 0
    for resumed, expected in zip(checkpoint(Run(Path("run"))), checkpoint(Run(tiny_translation_run)), strict=True):
        np.testing.assert_array_equal(resumed, expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "de"], "de"),
        (["--target", "en"], "both languages are 'en'"),
        (["--vocabulary-size", "10"], "SentencePiece cannot learn 10 pieces"),
        (["--input-feeding"], "only a luong decoder"),
        (["--attention", "multi_head", "--units", "6"], "cannot be divided among 4 heads"),
        (["--longest", "1"], "no train pair has at most 1 subwords"),
        (["--cell", "gur"], "cell"),
        (["--beam-width", "0"], "beam-width"),
    ],
)
def test_bad_settings_are_refused(translation, tiny_pairs, tiny_flags, words, message):
    assert message in translation.refused("train", "--data", tiny_pairs, *tiny_flags, *words)


def test_files_of_unequal_length_are_refused_with_both_counts(translation):
    Path("x.en").write_text("one\ntwo\nthree\n")
    with gzip.open("x.de.gz", "wt") as file:
        file.write("eins\nzwei\n")
    message = translation.refused("train", "--data", "x", "--target", "de")
    assert "3" in message
    assert "2" in message


def test_damaged_subwords_are_refused(translation, tiny_translation_run):
    run = Path(shutil.copytree(tiny_translation_run, "run"))
    for damaged in (b"no model", b""):
        (run / "assets/subwords.model").write_bytes(damaged)
        assert "subwords.model" in translation.refused("predict", "run", "a")


def test_an_ensemble_is_measured_and_answers_as_one(translation, tiny_translation_run):
    run = Path(shutil.copytree(tiny_translation_run, "run"))
    shutil.copytree(tiny_translation_run.parent / "stopped", "other")  # of other weights
    answer = translation("evaluate", "run", "--json", "--ensemble", "other")
    assert answer.status == 0
    assert json.loads(answer.output)["metrics"]["bleu"] > 50
    assert (run / "stages/ensemble/metrics.json").exists()
    assert (run / "stages/ensemble/plots/attention.png").exists()
    assert not (run / "metrics.json").exists()
    assert translation("predict", "run", "The red cat sees the dog.", "--ensemble", "other").status == 0
    exported = translation("export", "run", "--ensemble", "other")
    card = (Path(exported.output.strip()) / "README.md").read_text()
    assert "averaged with other" in card
    assert "Measured on" in card


def test_an_ensemble_of_other_data_is_refused(translation, tiny_pairs, tiny_flags, tiny_translation_run):
    shutil.copytree(tiny_translation_run, "other")
    record = json.loads(Path("other/config.json").read_text())
    record["data"]["fingerprint"] = "of the other direction"
    Path("other/config.json").write_text(json.dumps(record))
    message = translation.refused("predict", tiny_translation_run, "a", "--ensemble", "other")
    assert "trained on other data" in message


def test_an_ensemble_of_other_subwords_is_refused(translation, tiny_translation_run):
    shutil.copytree(tiny_translation_run, "other")
    SubwordTokenizer.fit(["lo gato", "the cat"] * 20, 20).write(Path("other/assets"))
    message = translation.refused("evaluate", tiny_translation_run, "--ensemble", "other")
    assert "has another subwords.model" in message
