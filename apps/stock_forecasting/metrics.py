"""How good forecasts are: of a point, of quantiles, of a direction. Of intervals it is said in `coverage`.

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

from recur.metrics.calibration import wilson_interval

LEVELS = (0.025, *(step / 20 for step in range(1, 20)), 0.975)
"""Every 5 %, and the ends of the 95 % interval; with them the 50 and 80 % intervals."""


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
    quantiles, targets, levels = checked(quantiles, targets, levels)
    error = targets[..., None] - quantiles
    return np.maximum(levels * error, (levels - 1) * error)


def crps(quantiles: np.ndarray, targets: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Continuous ranked probability score: twice the integral of pinball loss over levels, by the trapezium rule.

    Beyond the outermost levels their quantiles are taken to hold. One quantile alone then scores the absolute error.

    Args and errors are those of `pinball`.

    Returns:
        float64 [n, H], in the unit of the targets.
    """
    quantiles, targets, levels = checked(quantiles, targets, levels)
    quantiles = np.concatenate([quantiles[..., :1], quantiles, quantiles[..., -1:]], axis=-1)
    levels = np.concatenate([[0.0], levels, [1.0]])
    error = targets[..., None] - quantiles
    return 2 * np.trapezoid(np.maximum(levels * error, (levels - 1) * error), levels, axis=-1)


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


def _column(scale: float | np.ndarray) -> np.ndarray:
    scale = np.asarray(scale, np.float64)
    return scale[:, None] if scale.ndim else scale


def _errors(forecasts: np.ndarray, targets: np.ndarray) -> np.ndarray:
    forecasts, targets = np.asarray(forecasts, np.float64), np.asarray(targets, np.float64)
    if forecasts.shape != targets.shape or forecasts.ndim != 2 or not len(forecasts):
        raise ValueError(f"need forecasts and targets [n, H], got {forecasts.shape} and {targets.shape}")
    return targets - forecasts


def checked(
    quantiles: np.ndarray, targets: np.ndarray, levels: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All three as float64 arrays; args and errors are those of `pinball`."""
    quantiles, targets, levels = (np.asarray(each, np.float64) for each in (quantiles, targets, levels))
    if targets.ndim != 2 or not len(targets) or quantiles.shape != (*targets.shape, *levels.shape):
        shapes = f"{quantiles.shape}, {targets.shape} and {levels.shape}"
        raise ValueError(f"need quantiles [n, H, Q], targets [n, H] and levels [Q], got {shapes}")
    if not (np.isfinite(quantiles).all() and np.isfinite(targets).all()):
        raise ValueError("a quantile or a target is not finite")
    if levels[0] <= 0 or levels[-1] >= 1 or (np.diff(levels) <= 0).any():
        raise ValueError(f"levels rise between 0 and 1, got {levels.tolist()}")
    return quantiles, targets, levels
