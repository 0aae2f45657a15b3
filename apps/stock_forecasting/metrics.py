"""How good forecasts are: of a point, of quantiles, of a direction, of intervals; whether they are calibrated.

Forecasts and targets are of the same ones: [n] origins, H horizons, Q quantiles whose levels rise. What is returned has
one number a horizon, unless it says otherwise.

Sources:
    Koenker, R. and Bassett, G. (1978), "Regression Quantiles", Econometrica 46(1): pinball loss; Gneiting, T. and
    Raftery, A. E. (2007), "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 102, equation 20: CRPS;
    Laio, F. and Tamea, S. (2007), "Verification tools for probabilistic forecasts of continuous hydrological
    variables", HESS 11: as an integral over levels; Hyndman, R. J. and Koehler, A. B. (2006), "Another look at measures
    of forecast accuracy", International Journal of Forecasting 22(4): MASE and RMSSE.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from apps.stock_forecasting.config import interval_ends
from recur.metrics.calibration import wilson_interval


class Direction(NamedTuple):
    """How often a forecast goes up where the price does, and down where it does.

    Attributes:
        accuracy: Share of forecasts whose sign is right; NaN without any.
        low: Lower end of its 95 % interval.
        high: Upper end.
        forecasts: How many were counted: those of 0, and returns of 0, have no sign.
    """

    accuracy: float
    low: float
    high: float
    forecasts: int


def pinball(quantiles: np.ndarray, targets: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Pinball loss of each quantile: (τ − [y < q]) (y − q).

    Args:
        quantiles: float [n, H, Q].
        targets: float [n, H].
        levels: [Q], τ.

    Returns:
        float64 [n, H, Q]; at τ = 0.5 half the absolute error.

    Raises:
        ValueError: The shapes do not fit, or a number is not finite.
    """
    quantiles, targets, tau = _checked(quantiles, targets, levels)
    error = targets[..., None] - quantiles
    return np.maximum(tau * error, (tau - 1) * error)


def crps(quantiles: np.ndarray, targets: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Continuous ranked probability score: twice the integral of pinball loss over levels, by the trapezium rule.

    Beyond the outermost levels their quantiles are taken to hold. One quantile alone then scores the absolute error.

    Args and errors are those of `pinball`.

    Returns:
        float64 [n, H], in the unit of the targets.
    """
    quantiles, targets, tau = _checked(quantiles, targets, levels)
    quantiles = np.concatenate([quantiles[..., :1], quantiles, quantiles[..., -1:]], axis=-1)
    tau = np.concatenate([[0.0], tau, [1.0]])
    error = targets[..., None] - quantiles
    return 2 * np.trapezoid(np.maximum(tau * error, (tau - 1) * error), tau, axis=-1)


def weighted_quantile_loss(quantiles: np.ndarray, targets: np.ndarray, levels: Sequence[float]) -> float:
    """What GluonTS calls mean weighted quantile loss, and tables of DeepAR and its like call CRPS.

    Args and errors are those of `pinball`; the targets are values, not returns.

    Returns:
        Twice the summed pinball loss over the summed absolute targets, the mean over levels.
    """
    losses = pinball(quantiles, targets, levels)
    return float(2 * losses.sum(axis=(0, 1)).mean() / np.abs(targets).sum())


def naive_scale(values: np.ndarray, season: int = 1) -> tuple[float, float]:
    """Errors of the (seasonal) naive forecast one step ahead within a history: what MASE and RMSSE divide by.

    Args:
        values: float [rows], train's; the unit is that of the forecasts.
        season: Rows.

    Returns:
        Mean absolute and root mean squared error.

    Raises:
        ValueError: There is no difference, or all are 0.
    """
    steps = np.asarray(values, np.float64)[season:] - np.asarray(values, np.float64)[:-season]
    if not len(steps) or not np.abs(steps).max() > 0:
        raise ValueError(f"need values that differ from those {season} rows before to scale errors by")
    return float(np.abs(steps).mean()), float(np.sqrt(np.mean(steps**2)))


def mase(forecasts: np.ndarray, targets: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Mean absolute scaled error.

    Args:
        forecasts: float [n, H], medians.
        targets: float [n, H].
        scale: The first of `naive_scale`; of a panel [n], that of the ticker of each origin.

    Returns:
        float64 [H]; 1 is the error of a naive forecast one row ahead, whatever the horizon.
    """
    return np.mean(np.abs(_errors(forecasts, targets)) / _column(scale), axis=0)


def rmsse(forecasts: np.ndarray, targets: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Root mean squared scaled error.

    Args and returns are those of `mase`, but for the scale, the second of `naive_scale`.
    """
    return np.sqrt(np.mean((_errors(forecasts, targets) / _column(scale)) ** 2, axis=0))


def direction(forecasts: np.ndarray, targets: np.ndarray, repeats: float = 1.0) -> Direction:
    """Directional accuracy, all together.

    Args:
        forecasts: float [n], medians of cumulative returns.
        targets: float [n].
        repeats: How many of the returns stand for one that is independent: at least the horizon where origins follow
            one another, since their returns overlap. The interval is Wilson's for as many fewer.
    """
    forecasts, targets = np.ravel(forecasts), np.ravel(targets)
    signed = (forecasts != 0) & (targets != 0)
    total, right = int(signed.sum()), int((np.sign(forecasts) == np.sign(targets))[signed].sum())
    if not total:
        return Direction(float("nan"), 0.0, 1.0, 0)
    independent = max(1, round(total / repeats))
    low, high = wilson_interval(round(independent * right / total), independent)
    return Direction(right / total, low, high, total)


def skill(losses: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1 − mean loss / mean loss of another forecast, over the first axis; 0.03 is 3 % less."""
    return 1 - np.mean(losses, axis=0) / np.mean(others, axis=0)


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
    low, high = interval_ends(levels, confidence)
    return np.asarray(quantiles)[..., low], np.asarray(quantiles)[..., high]


def covered(quantiles: np.ndarray, targets: np.ndarray, levels: Sequence[float], confidence: float) -> np.ndarray:
    """Whether targets are in the interval, ends included.

    Args and errors are those of `pinball` and `interval`.

    Returns:
        bool [n, H]; the mean is the coverage.
    """
    quantiles, targets, _ = _checked(quantiles, targets, levels)
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
    quantiles, targets, tau = _checked(quantiles, targets, levels)
    below = (quantiles < targets[..., None]).sum(axis=-1)
    not_above = (quantiles <= targets[..., None]).sum(axis=-1)
    on_some = not_above > below
    lower, upper = (np.clip(below + offset, 0, len(tau) - 1)[..., None] for offset in (-1, 0))
    low, high = (np.take_along_axis(quantiles, index, axis=-1)[..., 0] for index in (lower, upper))
    gap = high - low
    share = np.divide(targets - low, gap, out=np.zeros_like(gap), where=gap > 0)
    between = tau[lower[..., 0]] + share * (tau[upper[..., 0]] - tau[lower[..., 0]])
    inside = np.where(below == 0, tau[0] / 2, np.where(below == len(tau), (1 + tau[-1]) / 2, between))
    equal = (tau[np.minimum(below, len(tau) - 1)] + tau[np.maximum(not_above, 1) - 1]) / 2
    return np.where(on_some, equal, inside)


def _column(scale: float | np.ndarray) -> np.ndarray:
    scale = np.asarray(scale, np.float64)
    return scale[:, None] if scale.ndim else scale


def _errors(forecasts: np.ndarray, targets: np.ndarray) -> np.ndarray:
    forecasts, targets = np.asarray(forecasts, np.float64), np.asarray(targets, np.float64)
    if forecasts.shape != targets.shape or forecasts.ndim != 2 or not len(forecasts):
        raise ValueError(f"need forecasts and targets [n, H], got {forecasts.shape} and {targets.shape}")
    return targets - forecasts


def _checked(quantiles: ArrayLike, targets: ArrayLike, levels: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All three as float64 arrays; args and errors are those of `pinball`."""
    q, y, tau = (np.asarray(numbers, np.float64) for numbers in (quantiles, targets, levels))
    if y.ndim != 2 or not len(y) or q.shape != (*y.shape, *tau.shape):
        shapes = f"{q.shape}, {y.shape} and {tau.shape}"
        raise ValueError(f"need quantiles [n, H, Q], targets [n, H] and levels [Q], got {shapes}")
    if not (np.isfinite(q).all() and np.isfinite(y).all()):
        raise ValueError("a quantile or a target is not finite")
    if tau[0] <= 0 or tau[-1] >= 1 or (np.diff(tau) <= 0).any():
        raise ValueError(f"levels rise between 0 and 1, got {tau.tolist()}")
    return q, y, tau
