"""Metrics are finite and those of scikit-learn; the comparison says what it should, in plain values, and draws."""

import json
import math

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from apps.sentiment_analysis.evaluate import compare, mistakes
from apps.sentiment_analysis.metrics import confusion, mcnemar, measure
from apps.sentiment_analysis.plots import accuracy_by_length_plot, confusion_plot, reliability_plot, word_counts
from recur.metrics.calibration import with_temperature

pytestmark = pytest.mark.slow

NAMES = ("negative", "positive")


@st.composite
def logits_and_labels(draw):
    shape = draw(st.integers(1, 30)), draw(st.integers(2, 4))
    logits = draw(arrays.arrays(np.float32, shape, elements=st.floats(-200, 200, width=32)))
    return logits, draw(arrays.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))


def overconfident(count, seed=0, sharpness=4.0):
    """Logits of two classes that say too much, and labels."""
    chooser = np.random.default_rng(seed)
    logits = chooser.normal(size=(count, 2))
    labels = (chooser.random(count) < with_temperature(logits, 1.0)[:, 1]).astype(int)
    return (logits * sharpness).astype(np.float32), labels


def comparison(count=400, **changes):
    validation_logits, validation_labels = overconfident(count, seed=1)
    logits, labels = overconfident(count, seed=2)
    chooser = np.random.default_rng(3)
    weak = with_temperature(logits + chooser.normal(size=logits.shape) * 6, 1.0)
    arguments = {
        "corpus_labels": NAMES,
        "validation_logits": validation_logits,
        "validation_labels": validation_labels,
        "test_logits": logits,
        "test_texts": [b"so many words " * (1 + i % 50) for i in range(count)],
        "test_labels": labels,
        "baselines": {"majority": np.tile([0.5, 0.5], (count, 1)), "weak": weak},
    }
    return compare(**(arguments | changes)), arguments | changes


@settings(deadline=None)
@given(logits_and_labels())
def test_metrics_are_flat_and_finite(case):
    logits, labels = case
    found = measure(with_temperature(logits, 1.0).astype(np.float32), labels)
    assert found.keys() - {"auc"} == {"accuracy", "ece", "log_loss", "f1"}
    assert ("auc" in found) == (len(np.unique(labels)) > 1)
    assert all(type(value) is float and math.isfinite(value) for value in found.values())
    assert all(0 <= value <= 1 for name, value in found.items() if name != "log_loss")


def test_metrics_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]])
    found = measure(probabilities, np.array([0, 1, 0, 1]))
    assert found["accuracy"] == 0.5
    assert found["f1"] == 0.5  # one right of two said and two meant
    assert found["auc"] == 0.5  # 0.6 and 0.2 against 0.1 and 0.7: two of four pairs in order
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.6, 0.3, 0.2]).mean())


def test_more_classes_are_averaged_as_scikit_learn_does():
    chooser = np.random.default_rng(0)
    probabilities, labels = chooser.dirichlet(np.ones(4), 200), chooser.integers(4, size=200)
    found = measure(probabilities, labels)
    assert found["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(labels, probabilities, multi_class="ovr"))
    assert found["f1"] == pytest.approx(sklearn.metrics.f1_score(labels, probabilities.argmax(axis=1), average="macro"))


def test_a_class_that_test_lacks_is_left_out_of_the_area():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    assert measure(probabilities, np.array([0, 1, 0]))["auc"] == 1.0


def test_a_probability_of_zero_is_a_finite_loss():
    assert measure(np.array([[1.0, 0.0]]), np.array([1]))["log_loss"] == pytest.approx(36.04, abs=0.1)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.6]], [0], "add up to one"),
        ([[np.nan, 0.6]], [0], "finite"),
        ([[0.5, 0.5]], [2], "labels"),
        ([[0.5, 0.5]], [0, 1], "labels"),
        (np.zeros((0, 2)), np.zeros(0, int), "labels"),
        ([[1.5, -0.5]], [0], r"\[0, 1\]"),
    ],
)
def test_what_cannot_be_measured_is_refused(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        measure(np.array(probabilities), np.array(labels))


def test_the_comparison_is_what_its_parts_say():
    found, given_ = comparison()
    right = given_["test_logits"].argmax(axis=1) == given_["test_labels"]
    details = found.details
    assert found.metrics["accuracy"] == right.mean()
    low, high = details["accuracy_95"]
    assert low < right.mean() < high
    assert details["temperature"] == pytest.approx(4.0, rel=0.3)
    assert found.metrics["ece"] < details["ece_before_scaling"] - 0.1
    assert found.metrics["log_loss"] < details["log_loss_before_scaling"]
    assert np.sum(details["confusion"]) == len(right)
    assert np.trace(details["confusion"]) == right.sum()
    assert found.baselines.keys() == {"majority", "weak"}
    assert details["mcnemar"]["baseline"] == "weak"
    assert details["mcnemar"]["p_value"] < 0.05
    gained = details["mcnemar"]["model_only"] - details["mcnemar"]["baseline_only"]
    assert gained == pytest.approx((found.metrics["accuracy"] - found.baselines["weak"]["accuracy"]) * len(right))


def test_details_can_be_written_as_json():
    found, _ = comparison()
    written = json.dumps([found.metrics, found.baselines, found.details], allow_nan=False)
    assert json.loads(written) == [found.metrics, found.baselines, found.details]


def test_without_baselines_there_is_no_test_against_them():
    found, _ = comparison(baselines={})
    assert found.baselines == {}
    assert "mcnemar" not in found.details


@pytest.mark.parametrize("changes", [{"test_texts": [b"one"]}, {"corpus_labels": ("a", "b", "c")}])
def test_parts_that_do_not_fit_are_refused(changes):
    with pytest.raises(ValueError, match="do not fit"):
        comparison(**changes)


def test_mistakes_are_the_most_confident_wrong_answers():
    positive = np.array([0.9, 0.99, 0.2, 0.7, 0.05])
    probabilities = np.column_stack([1 - positive, positive])
    texts = [b"a", b"long " * 100, b"c", b"caf\xe9<br />bar", b"\x00"]
    found = mistakes(NAMES, probabilities, texts, np.array([1, 0, 0, 0, 1]))
    assert [each["probability"] for each in found] == pytest.approx([0.99, 0.95, 0.7])
    assert [each["predicted"] for each in found] == ["positive", "negative", "positive"]
    assert [each["label"] for each in found] == ["negative", "positive", "negative"]
    assert found[0]["text"] == ("long " * 40)[:199] + "…"
    assert found[2]["text"] == "caf\ufffd bar"


def test_at_most_twenty_mistakes_of_at_most_two_hundred_characters():
    found, _ = comparison()
    probabilities = [each["probability"] for each in found.details["mistakes"]]
    assert len(probabilities) == 20
    assert probabilities == sorted(probabilities, reverse=True)
    assert max(len(each["text"]) for each in found.details["mistakes"]) <= 200
    assert mistakes(NAMES, np.eye(2), [b"a", b"b"], np.array([0, 1])) == []


def test_mcnemar_looks_only_where_the_two_differ():
    both, model, neither = np.array([True] * 50), np.array([True] * 8), np.array([False] * 2)
    found = mcnemar(np.concatenate([both, model, neither]), np.concatenate([both, ~model, ~neither]))
    assert (found["model_only"], found["baseline_only"]) == (8, 2)
    assert found["p_value"] == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar(both, both) == {"model_only": 0, "baseline_only": 0, "p_value": 1.0}


def test_the_pictures_are_drawn(tmp_path):
    found, given_ = comparison()
    before, after = (with_temperature(given_["test_logits"], by) for by in (1.0, found.details["temperature"]))
    right = after.argmax(axis=1) == given_["test_labels"]
    words = word_counts(given_["test_texts"])
    assert words[1] == 6
    paths = [
        reliability_plot(before, after, given_["test_labels"], tmp_path / "reliability.png"),
        confusion_plot(confusion(before, given_["test_labels"]), ["$5", "not"], tmp_path / "confusion.png"),
        accuracy_by_length_plot(words, {"$model$": right, "weak": ~right}, tmp_path / "accuracy_by_length.png"),
    ]
    assert all(imread(path).shape[0] > 200 for path in paths)


@pytest.mark.parametrize("words", [[0], [3, 3, 3], [0, 0, 100_000]])
def test_few_or_equal_lengths_are_drawn_too(tmp_path, words):
    right = np.ones(len(words), bool)
    assert accuracy_by_length_plot(np.array(words), {"model": right}, tmp_path / "lengths.png").exists()
    one = np.tile([0.0, 1.0], (len(words), 1))
    assert reliability_plot(one, one, right.astype(int), tmp_path / "reliability.png").exists()
