"""Training in two stages, evaluation beside baselines, and bad input, at the command line."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from recur.training.runs import Run

pytestmark = pytest.mark.slow


def checkpoint(run: Run) -> list[np.ndarray]:
    with np.load(run.checkpoint) as state:
        return [state[name] for name in sorted(set(state.files) - {"progress"})]


def test_a_run_has_its_stages(tiny_sentiment_run):
    run = Run(tiny_sentiment_run)
    record = run.read_record()
    assert set(record["stages"]) == {"pretraining"}
    assert math.isfinite(record["stages"]["pretraining"]["best"])
    assert run.stage("pretraining").model.exists()
    assert (run.stage("pretraining").path / "history.csv").exists()
    assert json.loads((run.assets / "temperature.json").read_text())["temperature"] > 0
    begun = np.load(run.checkpoint)
    assert len(begun.files) > 10


def test_evaluate_measures_beside_linear_models(sentiment_analysis, tiny_sentiment_run):
    run = Path(shutil.copytree(tiny_sentiment_run, "run"))
    answer = sentiment_analysis("evaluate", "run", "--json")
    assert answer.status == 0
    metrics = json.loads(answer.output)
    assert metrics["split"] == "test"
    assert metrics["metrics"]["accuracy"] > 0.9
    assert set(metrics["baselines"]) == {"majority", "tfidf + logistic regression", "nbsvm"}
    for values in (metrics["metrics"], *metrics["baselines"].values()):
        assert {"accuracy", "ece", "log_loss", "auc", "f1"} <= set(values)
        assert all(math.isfinite(value) for value in values.values())
    low, high = metrics["details"]["accuracy_95"]
    assert low <= metrics["metrics"]["accuracy"] <= high
    pictures = {"reliability.png", "confusion.png", "accuracy_by_length.png", "gradient_through_time.png"}
    assert pictures <= {path.name for path in (run / "plots").iterdir()}


def test_stopped_between_and_within_stages_equals_never_stopped(
    sentiment_analysis, tiny_reviews, tiny_flags, tiny_sentiment_run, monkeypatch
):
    from recur.training import trainer

    save = trainer.Trainer.save_checkpoint

    def save_and_stop(trainer):
        save(trainer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # in the stage before
        patch.setattr(trainer.Trainer, "save_checkpoint", save_and_stop)
        assert sentiment_analysis("train", "--data", tiny_reviews, *tiny_flags, "--out", "run").status == 130
    assert not Run(Path("run")).checkpoint.exists()
    shutil.copytree(tiny_sentiment_run.parent / "stopped", "within")  # in the main one
    assert Run(Path("within")).checkpoint.exists()
    for stopped in ("run", "within"):
        assert sentiment_analysis("train", "--resume", stopped).status == 0
        temperatures = [(path / "assets/temperature.json").read_text() for path in (Path(stopped), tiny_sentiment_run)]
        assert temperatures[0] == temperatures[1]
        arrays = zip(checkpoint(Run(Path(stopped))), checkpoint(Run(tiny_sentiment_run)), strict=True)
        for resumed, expected in arrays:
            np.testing.assert_array_equal(resumed, expected)


def test_a_language_model_is_used_again(sentiment_analysis, tiny_reviews, tiny_flags, tiny_sentiment_run):
    words = ["train", "--data", tiny_reviews, *tiny_flags, "--epochs", 1, "--pretrained", tiny_sentiment_run]
    answer = sentiment_analysis(*words, "--teacher", "linear", "--out", "again")
    assert answer.status == 0
    assert "there is nothing for a teacher to label" in answer.errors
    assert not Path("again/stages").exists()
    assert (
        Path("again/assets/vocabulary.json").read_text() == (tiny_sentiment_run / "assets/vocabulary.json").read_text()
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layers", "2"], "only one recurrent layer can be pre-trained"),
        (["--cell", "none"], "nothing to pre-train"),
        (["--pretrained", "nothing"], "there is no run 'nothing'"),
        (["--batch-size", "1000"], "a batch has 1000"),
        (["--text-column", "txt"], "txt"),
        (["--pooling", "lst"], "pooling"),
    ],
)
def test_bad_settings_are_refused(sentiment_analysis, tiny_reviews, tiny_flags, words, message):
    assert message in sentiment_analysis.refused("train", "--data", tiny_reviews, *tiny_flags, *words)


def test_other_classes_are_refused(sentiment_analysis, tiny_sentiment_run):
    rows = "".join(f"{number} words here,{number % 2}\n" for number in range(60))
    Path("other.csv").write_text("text,label\n" + rows)
    run = shutil.copytree(tiny_sentiment_run, "run")
    assert "knows bad, good" in sentiment_analysis.refused("evaluate", run, "--data", "other.csv")
    assert "say --explain too" in sentiment_analysis.refused("predict", run, "a", "--html", "x.html")


def test_reviews_can_be_read_as_subwords(sentiment_analysis, tiny_reviews, tiny_flags):
    words = ["--tokens", "subwords", "--vocabulary-size", 60, "--pretraining-steps", 0, "--out", "run"]
    assert sentiment_analysis("train", "--data", tiny_reviews, *tiny_flags, *words).status == 0
    answer = sentiment_analysis("predict", "run", "--explain", "--json", "the cake was lovely")
    (found,) = json.loads(answer.output)["answers"]
    assert found["label"] == "good"
    assert "".join(found["tokens"]).replace("\u2581", "") == "thecakewaslovely"
    Path("run/assets/subwords.model").write_bytes(b"broken")
    assert "subwords.model cannot be read" in sentiment_analysis.refused("predict", "run", "a")
