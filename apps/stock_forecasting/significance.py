"""Whether one forecast is better than another, or was lucky; and how that is said.

Sources:
    Diebold, F. X. and Mariano, R. S. (1995), "Comparing Predictive Accuracy", Journal of Business & Economic Statistics
    13(3); Newey, W. K. and West, K. D. (1987), "A Simple, Positive Semi-definite, Heteroskedasticity and
    Autocorrelation Consistent Covariance Matrix", Econometrica 55(3); Harvey, D., Leybourne, S. and Newbold, P. (1997),
    "Testing the equality of prediction mean squared errors", International Journal of Forecasting 13(2), equation 9.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import scipy.stats

from apps.stock_forecasting import metrics

Alternative = Literal["two-sided", "less", "greater"]
NAMES = {
    "last_value": "the last value",
    "drift": "drift",
    "seasonal_naive": "the value a season before",
    "random_walk": "the random walk with past quantiles",
    "ewma": "EWMA volatility",
    "garch": "GARCH(1,1)",
}
SURE = 0.05
WARNING = "Past losses promise nothing for those to come; this is no trading advice."


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


class Comparison(NamedTuple):
    """Of the model with a baseline.

    Attributes:
        skill: 1 − loss / its loss.
        low: Lower end of the 95 % interval of the skill.
        high: Upper end.
        p_value: Two-sided, of Diebold and Mariano.
    """

    skill: float
    low: float
    high: float
    p_value: float


def average_by_date(losses: np.ndarray, dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss over all tickers that have an origin on a date: what happens to the market counts once.

    Args:
        losses: float [n] or [n, …].
        dates: [n], of the origins.

    Returns:
        The dates in order [dates], and float64 [dates, …].
    """
    losses = np.asarray(losses, np.float64)
    calendar, place, counts = np.unique(dates, return_inverse=True, return_counts=True)
    sums = np.zeros((len(calendar), *losses.shape[1:]))
    np.add.at(sums, place, losses)
    return calendar, sums / counts.reshape(-1, *[1] * (losses.ndim - 1))


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


def compare(
    losses: np.ndarray, others: np.ndarray, dates: np.ndarray, horizons: Sequence[int]
) -> dict[str, Comparison]:
    """Skill against a baseline, for each horizon and, as `mean`, for all together.

    Args:
        losses: float [n, H], of the model.
        others: The same of the baseline.
        dates: [n], of the origins.
        horizons: [H], rows ahead.

    Returns:
        By horizon. Losses are averaged over tickers by date, since what happens to the market happens once; the
        statistic takes correlations up to lag h − 1 into account, of the mean those of the longest horizon.
    """
    (_, mine), (_, theirs) = average_by_date(losses, dates), average_by_date(others, dates)
    by_horizon = {
        str(horizon): _compared(mine[:, place], theirs[:, place], horizon) for place, horizon in enumerate(horizons)
    }
    return by_horizon | {"mean": _compared(mine.mean(axis=1), theirs.mean(axis=1), max(horizons))}


def _compared(mine: np.ndarray, theirs: np.ndarray, horizon: int) -> Comparison:
    skill = float(metrics.skill(mine, theirs))
    if not 1 <= horizon < len(mine):
        return Comparison(skill, -np.inf, np.inf, 1.0)
    test = diebold_mariano(mine, theirs, horizon)
    error = np.sqrt(newey_west(mine - theirs, horizon - 1) / len(mine)) / theirs.mean()
    reach = float(scipy.stats.norm.ppf(0.975) * error)
    return Comparison(skill, skill - reach, skill + reach, test.p_value)


def verdict(against: Mapping[str, Comparison], coverage_80: float, collapsed: bool) -> str:
    """A few sentences: what was beaten, how surely, what was not.

    Args:
        against: Of each baseline, over all horizons.
        coverage_80: Share of the targets in the 80 % intervals.
        collapsed: Whether the medians are copies of the last price.

    Example:
        >>> print(verdict({"drift": Comparison(0.02, 0.01, 0.03, 0.001)}, 0.8, False))
        Pinball loss is 2.0 % below that of drift (p = 0.001). The 80 % intervals held 80.0 % of what came. Past losses promise nothing for those to come; this is no trading advice.
    """  # noqa: E501
    groups: dict[str, list[str]] = {"below": [], "above": [], "open": []}
    for name, comparison in against.items():
        kind = "open" if comparison.p_value >= SURE else "below" if comparison.skill > 0 else "above"
        p_value = "p < 0.001" if comparison.p_value < 0.001 else f"p = {comparison.p_value:.3f}"
        sign = (
            f"{100 * comparison.skill:+.1f} %, "
            if kind == "open"
            else f"{100 * abs(comparison.skill):.1f} % {kind} that of "
        )
        named = NAMES.get(name, name)
        groups[kind].append(f"{named} ({sign}{p_value})" if kind == "open" else f"{sign}{named} ({p_value})")
    sentences = [f"Pinball loss is {_listed(groups[kind])}." for kind in ("below", "above") if groups[kind]]
    if groups["open"]:
        sentences.append(f"No difference is established from {_listed(groups['open'])}.")
    if not groups["below"]:
        sentences.insert(0, "There is no skill here that a user could rely on.")
    if collapsed:
        sentences.append("The medians are copies of the last price.")
    sentences.append(f"The 80 % intervals held {100 * coverage_80:.1f} % of what came.")
    return " ".join([*sentences, WARNING])


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
