"""Accuracy, calibration, and whether one classifier is better than another."""

import numpy as np
import scipy.stats
import sklearn.metrics

from recur.metrics.calibration import checked, expected_calibration_error


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
    measured = {
        "accuracy": sklearn.metrics.accuracy_score(labels, predicted),
        "ece": expected_calibration_error(probabilities, labels),
        "log_loss": sklearn.metrics.log_loss(labels, probabilities, labels=classes),
        "f1": sklearn.metrics.f1_score(labels, predicted, zero_division=0.0, **average),
    }
    ranked = classes[1:] if len(classes) == 2 else np.unique(labels)
    if len(np.unique(labels)) > 1:
        areas = [sklearn.metrics.roc_auc_score(labels == one, probabilities[:, one]) for one in ranked]
        measured["auc"] = np.mean(areas)
    return {name: float(value) for name, value in measured.items()}


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
