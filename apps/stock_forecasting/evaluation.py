"""Scores of forecasts, and how sure it is that one is better than another."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from apps.stock_forecasting import coverage, metrics
from apps.stock_forecasting.backtest import Outcomes
from apps.stock_forecasting.metrics import LEVELS
from apps.stock_forecasting.significance import average_by_date, diebold_mariano, newey_west

FAMILIES = {"random_walk": "random_walk_", "ewma": "ewma_", "garch": "garch_"}
"""Baselines of which there are several kinds; the model is held against the best of each, chosen on the same part."""
COLLAPSED = 1e-4
"""Largest distance of a median from the last price, as a share of it, at which a forecast is a copy of that price."""
MIDDLE = len(LEVELS) // 2


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


def scores(quantiles: np.ndarray, found: Outcomes, scales: np.ndarray) -> dict[str, float]:
    """The flat metrics of one forecaster, means over origins and horizons.

    Args:
        quantiles: float [n, H, Q], of log returns.
        found: What came after.
        scales: float [panel, 2], mean absolute and root mean squared return of a row in train, of each ticker.

    Returns:
        `pinball` and `crps` of log returns in percent; `mase` and `rmsse` of the median, in units of train's returns
        of one row; shares `direction` and `coverage_N`; `width_80` in percent.
    """
    median, returns, scale = quantiles[..., MIDDLE], found.returns, scales[found.tickers]
    direction = metrics.direction(median, returns)
    return {
        "pinball": 100 * float(losses(quantiles, found).mean()),
        "crps": 100 * float(metrics.crps(quantiles, returns, LEVELS).mean()),
        "mase": float(metrics.mase(median, returns, scale[:, 0]).mean()),
        "rmsse": float(metrics.rmsse(median, returns, scale[:, 1]).mean()),
        **({"direction": direction.accuracy} if direction.forecasts else {}),
        **{
            f"coverage_{100 * each:.0f}": float(coverage.covered(quantiles, returns, LEVELS, each).mean())
            for each in coverage.CONFIDENCES
        },
        "width_80": 100 * float(coverage.width(quantiles, LEVELS, 0.8).mean()),
    }


def by_horizon(quantiles: np.ndarray, found: Outcomes, scales: np.ndarray) -> dict[str, dict[str, Any]]:
    """The same for each horizon, with the interval of the directional accuracy."""
    table = {}
    for place, horizon in enumerate(found.horizons):
        part = Outcomes((horizon,), found.tickers, found.dates, found.known[:, [place]], found.returns[:, [place]])
        own = quantiles[:, [place]]
        repeats = horizon * len(np.unique(found.tickers))  # of one date all tickers may say the same
        direction = metrics.direction(own[..., MIDDLE], part.returns, repeats)
        table[str(horizon)] = scores(own, part, scales) | {
            "direction_low": direction.low,
            "direction_high": direction.high,
            "share_of_rises": float((part.returns > 0).mean()),
        }
    return table


def losses(quantiles: np.ndarray, found: Outcomes) -> np.ndarray:
    """Pinball losses of log returns, float64 [n, H], the mean over levels."""
    return metrics.pinball(quantiles, found.returns, LEVELS).mean(axis=-1)


def compare(own: np.ndarray, others: np.ndarray, found: Outcomes) -> dict[str, Comparison]:
    """Skill against a baseline, for each horizon and, as `mean`, for all together.

    Args:
        own: float [n, H], losses of the model.
        others: The same of the baseline.
        found: Dates and horizons.

    Returns:
        By horizon. Losses are averaged over tickers by date, since what happens to the market happens once; the
        statistic takes correlations up to lag h − 1 into account, of the mean those of the longest horizon.
    """
    _, mine = average_by_date(own, found.dates)
    _, theirs = average_by_date(others, found.dates)
    found_by_horizon = {
        str(horizon): _compared(mine[:, place], theirs[:, place], horizon)
        for place, horizon in enumerate(found.horizons)
    }
    return found_by_horizon | {"mean": _compared(mine.mean(axis=1), theirs.mean(axis=1), max(found.horizons))}


def _compared(mine: np.ndarray, theirs: np.ndarray, horizon: int) -> Comparison:
    skill = float(metrics.skill(mine, theirs))
    if not 1 <= horizon < len(mine):
        return Comparison(skill, -np.inf, np.inf, 1.0)
    test = diebold_mariano(mine, theirs, horizon)
    error = np.sqrt(newey_west(mine - theirs, horizon - 1) / len(mine)) / theirs.mean()
    reach = float(scipy.stats.norm.ppf(0.975) * error)
    return Comparison(skill, skill - reach, skill + reach, test.p_value)


def best_of_families(of_baselines: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The name of each baseline that is reported, and of which kind it is: of several kinds the one that loses least.

    Args:
        of_baselines: Losses [n, H] by name.
    """
    chosen = {}
    for name in of_baselines:
        family = next((short for short, prefix in FAMILIES.items() if name.startswith(prefix)), name)
        if family not in chosen or of_baselines[name].mean() < of_baselines[chosen[family]].mean():
            chosen[family] = name
    return chosen


def train_scales(log_closes: Sequence[np.ndarray], last_rows: Sequence[int]) -> np.ndarray:
    """What errors are divided by: float64 [panel, 2], of the returns of one row up to the last that train knows."""
    return np.array(
        [metrics.naive_scale(prices[: last + 1]) for prices, last in zip(log_closes, last_rows, strict=True)]
    )


def collapsed(quantiles: np.ndarray) -> bool:
    """Whether the medians, of log returns [n, H, Q], are nowhere further from the last price than a ten-thousandth."""
    return bool(np.abs(np.expm1(quantiles[..., MIDDLE])).max() <= COLLAPSED)
