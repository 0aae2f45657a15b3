"""Whether one forecast is better than another, or was lucky.

Sources:
    Diebold, F. X. and Mariano, R. S. (1995), "Comparing Predictive Accuracy", Journal of Business & Economic Statistics
    13(3); Newey, W. K. and West, K. D. (1987), "A Simple, Positive Semi-definite, Heteroskedasticity and
    Autocorrelation Consistent Covariance Matrix", Econometrica 55(3); Harvey, D., Leybourne, S. and Newbold, P. (1997),
    "Testing the equality of prediction mean squared errors", International Journal of Forecasting 13(2), equation 9.
"""

from typing import Literal, NamedTuple

import numpy as np
import scipy.stats

Alternative = Literal["two-sided", "less", "greater"]


class DieboldMariano(NamedTuple):
    """Of two series of losses.

    Attributes:
        difference: Mean of the losses less the others; negative if the first forecast is better.
        statistic: The same in units of its standard deviation, corrected for small samples.
        p_value: Probability of such a statistic, or one further from 0, if there were no difference.
        dates: How many losses were compared.
    """

    difference: float
    statistic: float
    p_value: float
    dates: int


def average_by_date(losses: np.ndarray, dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss over all tickers that have an origin on a date: what happens to the market counts once.

    Args:
        losses: float [n] or [n, …].
        dates: [n], of the origins.

    Returns:
        The dates in order [dates], and float64 [dates, …].
    """
    losses = np.asarray(losses, np.float64)
    found, place, counts = np.unique(dates, return_inverse=True, return_counts=True)
    sums = np.zeros((len(found), *losses.shape[1:]))
    np.add.at(sums, place, losses)
    return found, sums / counts.reshape(-1, *[1] * (losses.ndim - 1))


def newey_west(values: np.ndarray, lag: int) -> float:
    """Long-run variance with Bartlett's weights: what the variance of the mean is, times how many there are.

    Args:
        values: float [n], in order of time.
        lag: The last lag that counts; 0 for the plain variance.

    Returns:
        γ₀ + 2 Σₖ (1 − k / (lag + 1)) γₖ, never negative; autocovariances divide by n.
    """
    values = np.asarray(values, np.float64)
    values = values - values.mean()
    covariances = [values[k:] @ values[: len(values) - k] / len(values) for k in range(min(lag, len(values) - 1) + 1)]
    weights = 1 - np.arange(len(covariances)) / (lag + 1)
    return float(max(0.0, 2 * weights @ covariances - covariances[0]))


def diebold_mariano(
    losses: np.ndarray, others: np.ndarray, horizon: int, alternative: Alternative = "two-sided"
) -> DieboldMariano:
    """Tests whether two forecasts have the same expected loss.

    Args:
        losses: float [dates], in order of time; of a panel, averaged by date.
        others: float [dates], of the forecast to compare with.
        horizon: h, rows ahead; of a mean over several, the longest. Losses are correlated up to lag h − 1.
        alternative: `less` asks whether the first is better.

    Raises:
        ValueError: The shapes do not fit, a loss is not finite, or there are no more dates than the horizon.
    """
    losses, others = np.asarray(losses, np.float64), np.asarray(others, np.float64)
    if losses.shape != others.shape or losses.ndim != 1 or not np.isfinite(losses - others).all():
        raise ValueError(f"need finite losses [dates] of both, got {losses.shape} and {others.shape}")
    difference, dates = losses - others, len(losses)
    if not 1 <= horizon < dates:
        raise ValueError(f"need more dates than the horizon, got {dates} and {horizon}")
    mean, variance = float(difference.mean()), newey_west(difference, horizon - 1)
    if variance <= np.finfo(float).eps * np.mean(difference**2):  # no difference, or the same one on every date
        return DieboldMariano(mean, 0.0, 1.0, dates) if mean == 0 else _certain(mean, dates, alternative)
    correction = (dates + 1 - 2 * horizon + horizon * (horizon - 1) / dates) / dates
    statistic = mean / np.sqrt(variance / dates) * np.sqrt(correction)
    student = scipy.stats.t(dates - 1)
    p_value = {
        "two-sided": 2 * student.sf(abs(statistic)),
        "less": student.cdf(statistic),
        "greater": student.sf(statistic),
    }[alternative]
    return DieboldMariano(mean, float(statistic), float(p_value), dates)


def _certain(mean: float, dates: int, alternative: Alternative) -> DieboldMariano:
    agrees = {"two-sided": True, "less": mean < 0, "greater": mean > 0}[alternative]
    return DieboldMariano(mean, float(np.copysign(np.inf, mean)), 0.0 if agrees else 1.0, dates)
