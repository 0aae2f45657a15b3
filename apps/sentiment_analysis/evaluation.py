"""How well reviews are classified, how far the probabilities can be trusted, and if a linear model does as well."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats
import sklearn.metrics

from apps.sentiment_analysis.baselines import readable
from recur.metrics.calibration import (
    checked,
    expected_calibration_error,
    fit_temperature,
    wilson_interval,
    with_temperature,
)

MISTAKES, SHOWN = 20, 200


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The model beside its baselines, on the same reviews."""

    metrics: dict[str, float]
    """Of the model, its temperature fitted on validation."""
    baselines: dict[str, dict[str, float]]
    """The same of each baseline."""
    details: dict[str, Any]
    """All else: nothing but what JSON can say."""
    probabilities: np.ndarray
    """Of the model, after scaling: float64 [n, classes]."""
    best_baseline: str | None
    """The one with the highest accuracy."""


def measure(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of a classifier, all finite.

    Args:
        probabilities: float [n, classes], whose rows add up to one.
        labels: int [n].

    Returns:
        `accuracy`; `ece`, the expected calibration error in 15 bins of equal width; `log_loss` in nats, where a
        probability of 0 counts as 2.2e-16; `auc`, the area under the ROC curve, with more than two classes the mean of
        each against the rest, left out where the labels show a single class; `f1`, of the positive class, with more
        than two the mean over the classes that are said or meant.

    Raises:
        ValueError: The shapes do not fit, there is no row, a number is not finite, a label is not a class, or a row
            does not add up to one.
    """
    probabilities, labels = checked(probabilities, labels)
    classes = np.arange(probabilities.shape[1])
    sums = probabilities.sum(axis=1, keepdims=True)
    if not np.allclose(sums, 1.0, atol=1e-3):
        raise ValueError("the probabilities of a row must add up to one")
    probabilities = probabilities / sums  # float32 misses one by more than scikit-learn likes
    predicted = probabilities.argmax(axis=1)
    average = {"average": "binary", "pos_label": 1} if len(classes) == 2 else {"average": "macro"}
    found = {
        "accuracy": sklearn.metrics.accuracy_score(labels, predicted),
        "ece": expected_calibration_error(probabilities, labels),
        "log_loss": sklearn.metrics.log_loss(labels, probabilities, labels=classes),
        "f1": sklearn.metrics.f1_score(labels, predicted, zero_division=0.0, **average),
    }
    ranked = classes[1:] if len(classes) == 2 else np.unique(labels)
    if len(np.unique(labels)) > 1:
        areas = [sklearn.metrics.roc_auc_score(labels == each, probabilities[:, each]) for each in ranked]
        found["auc"] = np.mean(areas)
    return {name: float(value) for name, value in found.items()}


def compare(
    corpus_labels: Sequence[str],
    validation_logits: np.ndarray,
    validation_labels: np.ndarray,
    test_logits: np.ndarray,
    test_texts: Sequence[bytes],
    test_labels: np.ndarray,
    baselines: Mapping[str, np.ndarray],
) -> Comparison:
    """Measures the model, after temperature scaling fitted on validation, beside its baselines.

    Temperature scaling moves no answer, so accuracy is what it was before. The probabilities of the baselines are taken
    as they are: for a fair comparison of `ece` and `log_loss`, `baselines.calibrated` scales them alike.

    Args:
        corpus_labels: Names of the classes.
        validation_logits: float [validation, classes].
        validation_labels: int [validation].
        test_logits: float [n, classes].
        test_texts: Raw reviews, n of them.
        test_labels: int [n].
        baselines: By name, float [n, classes], probabilities on test.

    Raises:
        ValueError: As `measure`, or there is not one text a label or one name a class.
    """
    test_logits, test_labels = checked(test_logits, test_labels)
    if len(test_texts) != len(test_labels) or len(corpus_labels) != test_logits.shape[1]:
        raise ValueError(
            f"{len(test_texts)} texts and {len(corpus_labels)} names do not fit logits of shape {test_logits.shape}"
        )
    temperature = fit_temperature(validation_logits, validation_labels)
    unscaled = measure(with_temperature(test_logits, 1.0), test_labels)
    probabilities = with_temperature(test_logits, temperature)
    right = probabilities.argmax(axis=1) == test_labels
    measured = {name: measure(each, test_labels) for name, each in baselines.items()}
    best = max(measured, key=lambda name: measured[name]["accuracy"], default=None)
    details = {
        "labels": list(corpus_labels),
        "accuracy_95": list(wilson_interval(right.sum(), len(right))),
        "temperature": temperature,
        "ece_before_scaling": unscaled["ece"],
        "log_loss_before_scaling": unscaled["log_loss"],
        "confusion": confusion(probabilities, test_labels).tolist(),
        "mistakes": mistakes(corpus_labels, probabilities, test_texts, test_labels),
    }
    if best is not None:
        test = mcnemar(right, np.asarray(baselines[best]).argmax(axis=1) == test_labels)
        details["mcnemar"] = {"baseline": best, **test}
    return Comparison(measure(probabilities, test_labels), measured, details, probabilities, best)


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How often each class (row) was taken for each class (column): int [classes, classes]."""
    classes = np.arange(probabilities.shape[1])
    return sklearn.metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=classes)


def mcnemar(model: np.ndarray, baseline: np.ndarray) -> dict[str, float]:
    """Exact test of whether two classifiers differ, on the reviews of which one is right and the other wrong.

    Args:
        model: bool [n], where the model is right.
        baseline: bool [n], where the baseline is.

    Returns:
        `model_only` and `baseline_only`, how many the one alone has right, and `p_value`: how probable a difference at
        least as large is if both are as good.

    Source:
        McNemar, Q. (1947), "Note on the sampling error of the difference between correlated proportions or
        percentages", Psychometrika 12; in its exact, binomial form.

    Example:
        >>> mcnemar(np.array([True] * 5 + [False]), np.array([False] * 5 + [True]))
        {'model_only': 5, 'baseline_only': 1, 'p_value': 0.21875}
    """
    model_only, baseline_only = int((model & ~baseline).sum()), int((baseline & ~model).sum())
    differing = model_only + baseline_only
    p_value = scipy.stats.binomtest(model_only, differing).pvalue if differing else 1.0
    return {"model_only": model_only, "baseline_only": baseline_only, "p_value": float(p_value)}


def mistakes(
    corpus_labels: Sequence[str], probabilities: np.ndarray, texts: Sequence[bytes], labels: np.ndarray
) -> list[dict[str, Any]]:
    """The twenty wrong answers with the highest probability, most confident first.

    Returns:
        Of each `text`, its first 200 characters; `label`, what it is; `predicted`, what the model says; `probability`,
        of what it says.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    return [
        {
            "text": _shortened(texts[row]),
            "label": corpus_labels[labels[row]],
            "predicted": corpus_labels[predicted[row]],
            "probability": float(confidence[row]),
        }
        for row in worst
    ]


def _shortened(text: bytes) -> str:
    words = " ".join(readable(text).split())
    return words if len(words) <= SHOWN else words[: SHOWN - 1] + "…"
