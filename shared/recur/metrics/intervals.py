"""How sure a measured proportion is."""

import scipy.stats


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
    low, high = scipy.stats.binomtest(int(correct), int(total)).proportion_ci(confidence, method="wilson")
    return float(low), float(high)
