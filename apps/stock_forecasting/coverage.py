"""Whether quantiles can be taken at their word: coverage and width of intervals, and where targets lie among quantiles.

Shapes and names are those of `metrics`.
"""

from collections.abc import Sequence

import numpy as np

from apps.stock_forecasting.metrics import checked

CONFIDENCES = (0.5, 0.8, 0.95)
"""Of the intervals that are reported."""


def interval(quantiles: np.ndarray, levels: Sequence[float], confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The central interval that two of the quantiles bound.

    Args:
        quantiles: float [..., Q].
        levels: [Q].
        confidence: How much it should hold, as 0.8.

    Returns:
        Lower and upper ends [...].

    Raises:
        ValueError: There are no such two.
    """
    ends = []
    for level in ((1 - confidence) / 2, (1 + confidence) / 2):
        match = np.flatnonzero(np.isclose(levels, level, rtol=0, atol=1e-6))
        if not len(match):
            raise ValueError(f"an interval of {confidence:g} needs a quantile at {level:g}, there are {list(levels)}")
        ends.append(np.asarray(quantiles)[..., match[0]])
    return ends[0], ends[1]


def covered(quantiles: np.ndarray, targets: np.ndarray, levels: Sequence[float], confidence: float) -> np.ndarray:
    """Whether targets are in the interval, ends included.

    Args and errors are those of `pinball` and `interval`.

    Returns:
        bool [n, H]; the mean is the coverage.
    """
    quantiles, targets, levels = checked(quantiles, targets, levels)
    low, high = interval(quantiles, levels, confidence)
    return (low <= targets) & (targets <= high)


def width(quantiles: np.ndarray, levels: Sequence[float], confidence: float) -> np.ndarray:
    """Mean width of the interval, float64 [H]; args and errors are those of `interval`."""
    low, high = interval(quantiles, levels, confidence)
    return np.mean(high - low, axis=0)


def coverage_by_year(covered: np.ndarray, years: np.ndarray) -> dict[int, float]:
    """Coverage in each year.

    Args:
        covered: bool [n] or [n, H].
        years: int [n], of the origins.

    Returns:
        Share covered by year, in order.
    """
    return {int(year): float(np.mean(covered[years == year])) for year in np.unique(years)}


def pit(quantiles: np.ndarray, targets: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Probability integral transform: the level at which each target lies, uniform if the forecasts are calibrated.

    Args and errors are those of `pinball`; quantiles do not cross.

    Returns:
        float64 [n, H], interpolated between quantiles. Outside them it is the middle of what is left, half the lowest
        level say; on several that are equal, the middle of their levels.

    Source:
        Diebold, F. X., Gunther, T. A. and Tay, A. S. (1998), "Evaluating Density Forecasts with Applications to
        Financial Risk Management", International Economic Review 39(4).
    """
    quantiles, targets, levels = checked(quantiles, targets, levels)
    below = (quantiles < targets[..., None]).sum(axis=-1)
    not_above = (quantiles <= targets[..., None]).sum(axis=-1)
    on_some = not_above > below
    lower, upper = (np.clip(below + offset, 0, len(levels) - 1)[..., None] for offset in (-1, 0))
    low, high = (np.take_along_axis(quantiles, index, axis=-1)[..., 0] for index in (lower, upper))
    gap = high - low
    share = np.divide(targets - low, gap, out=np.zeros_like(gap), where=gap > 0)
    between = levels[lower[..., 0]] + share * (levels[upper[..., 0]] - levels[lower[..., 0]])
    found = np.where(below == 0, levels[0] / 2, np.where(below == len(levels), (1 + levels[-1]) / 2, between))
    equal = (levels[np.minimum(below, len(levels) - 1)] + levels[np.maximum(not_above, 1) - 1]) / 2
    return np.where(on_some, equal, found)
