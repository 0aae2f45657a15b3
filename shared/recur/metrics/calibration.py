"""Whether a probability can be taken at its word, and how sure a measured proportion is.

A classifier is calibrated if, of the answers that it gives with probability p, the share p is right. The confidence of
an answer is the highest probability of its row. Temperature scaling mends it.

Source:
    Guo, C., Pleiss, G., Sun, Y. and Weinberger, K. Q. (2017), "On Calibration of Modern Neural Networks", ICML:
    expected calibration error in equation 3, temperature scaling in equation 9.

Example:
    >>> import numpy as np
    >>> logits, labels = np.array([[0.0, 4.0]] * 10), np.array([1] * 8 + [0] * 2)  # 80 % right
    >>> temperature = fit_temperature(logits, labels)
    >>> for probabilities in (with_temperature(logits, 1.0), with_temperature(logits, temperature)):
    ...     print(round(float(expected_calibration_error(probabilities, labels)), 3))
    0.182
    0.0
"""

from typing import NamedTuple

import numpy as np
import scipy.special

BINS = 15
# Where a network errs nowhere on validation, ever lower temperatures fit better; these keep it and its opposite finite.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0


class Reliability(NamedTuple):
    """The table behind a reliability plot, a row a bin of confidence. Empty bins have NaN in the means.

    Attributes:
        edges: float64 [bins + 1]. A bin holds its upper edge and not its lower one.
        counts: int64 [bins], answers in the bin.
        confidence: float64 [bins], their mean confidence.
        accuracy: float64 [bins], the share of them that is right.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS, equal_mass: bool = False
) -> Reliability:
    """Sorts answers into bins by their confidence, and counts how many are right.

    Args:
        probabilities: float [n, classes].
        labels: int [n].
        bins: How many.
        equal_mass: Whether the bins hold as many answers each, rather than having the same width. Equal confidences
            stay together, so that bins may then be fewer.

    Raises:
        ValueError: The shapes do not fit, there is no row, a number is not finite, a label is not a class, or a
            probability is outside [0, 1].
    """
    probabilities, labels = checked(probabilities, labels)
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-5:
        raise ValueError("probabilities must be in [0, 1]; pass logits through with_temperature first")
    confidence = np.minimum(probabilities.max(axis=1), 1.0)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    if equal_mass:
        inner = np.quantile(confidence, edges[1:-1], method="inverted_cdf")
        edges = np.unique(np.concatenate([[0.0], inner, [1.0]]))
    bin_of = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(bin_of, minlength=len(edges) - 1)
    divisor = np.where(counts, counts, np.nan)
    sums = (np.bincount(bin_of, weights=values, minlength=len(counts)) for values in (confidence, right))
    return Reliability(edges, counts, *(total / divisor for total in sums))


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS, equal_mass: bool = False
) -> float:
    """Mean distance between accuracy and mean confidence over the bins, weighted by their counts, in [0, 1].

    Args and errors are those of `reliability`.
    """
    table = reliability(probabilities, labels, bins, equal_mass)
    gaps = np.nan_to_num(np.abs(table.accuracy - table.confidence))
    return float(np.average(gaps, weights=table.counts))


def with_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax of logits divided by a temperature; the order of the classes stays.

    Args:
        logits: float [n, classes].
        temperature: Positive; above 1 makes the probabilities more even.

    Returns:
        float64 [n, classes].

    Raises:
        ValueError: The temperature is not positive and finite.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"a temperature is positive and finite, got {temperature}")
    return scipy.special.softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the lowest log loss. Fit it on validation: on train the network looks too good.

    The log loss is convex in the inverse temperature, so a search along one line finds it.

    Args:
        logits: float [n, classes].
        labels: int [n].

    Returns:
        Between 0.05 and 20.

    Raises:
        ValueError: As `reliability`.
    """
    logits, labels = checked(logits, labels)
    logits = logits - logits.max(axis=1, keepdims=True)  # large ones do not lose digits to what all classes share
    of_label = logits[np.arange(len(labels)), labels]

    def log_loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        return float(np.mean(scipy.special.logsumexp(inverse * logits, axis=1) - inverse * of_label))

    bounds = (np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE))
    import scipy.optimize  # half a second, for which an answer need not wait

    optimum = scipy.optimize.minimize_scalar(log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    best = min((optimum.x, *bounds, 0.0), key=log_loss)  # the search stops short of the bounds, and may of 1
    return float(np.exp(best))


def checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of classes and the labels they are measured against.

    Args:
        scores: float [n, classes], logits or probabilities, at least one row and two classes.
        labels: int [n], in [0, classes).

    Returns:
        Both as arrays, the scores float64.

    Raises:
        ValueError: The shapes do not fit, there is no row, a number is not finite or a label is not a class.
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or scores.shape[1] < 2 or not len(labels):
        raise ValueError(f"need scores [n, classes] and labels [n], got {scores.shape} and {labels.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"labels must be integers in [0, {scores.shape[1]}), got {labels.min()} to {labels.max()}")
    return scores, labels


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion, an accuracy say, from a count. Unlike the normal one it stays within 0 and 1.

    Args:
        correct: How many were right.
        total: Of how many, at least 1.
        confidence: How often such an interval holds the true proportion.

    Returns:
        Its lower and its upper end.

    Raises:
        ValueError: `correct` is not between 0 and `total`, or `total` is not positive.

    Source:
        Wilson, E. B. (1927), "Probable inference, the law of succession, and statistical inference", JASA 22.

    Example:
        >>> low, high = wilson_interval(90, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)
    """
    if not 0 <= correct <= total or total < 1:
        raise ValueError(f"need a count between 0 and a positive total, got {correct} of {total}")
    import scipy.stats  # the same

    low, high = scipy.stats.binomtest(int(correct), int(total)).proportion_ci(confidence, method="wilson")
    return float(low), float(high)
