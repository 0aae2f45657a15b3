"""What a user would try before a network, as quantiles of cumulative log returns: walks, drift, seasons, volatility.

All take the logarithm of one ticker's prices and rows to forecast from; the forecast from a row depends on no row after
it. Those that know of volatility are of `volatility`.

Source:
    Hyndman, R. J. and Athanasopoulos, G. (2021), "Forecasting: Principles and Practice", 3rd edition, section 5.2.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import tqdm

from apps.stock_forecasting.config import LEVELS, reported_horizons
from apps.stock_forecasting.data import Corpus, Origins
from apps.stock_forecasting.volatility import Residuals, ewma, garch, rolling_quantiles

WINDOWS = (250, 500, 1000)
"""Rows: one, two and four years of trading days."""
RESIDUALS: Sequence[Residuals] = ("normal", "empirical")
"""The kinds that each model of volatility is tried with."""


def last_value(
    log_prices: np.ndarray, origins: np.ndarray, horizons: Sequence[int], levels: Sequence[float] = LEVELS
) -> np.ndarray:
    """The last price stays, and is certain.

    Args:
        log_prices: float [rows], natural logarithms.
        origins: int [origins], rows to forecast from.
        horizons: H numbers of rows ahead.
        levels: Of the quantiles, rising, in (0, 1).

    Returns:
        float64 [origins, H, levels], quantiles of the log return from the origin's row to those H after it.
    """
    return np.zeros((len(origins), len(horizons), len(levels)))


def drift(
    log_prices: np.ndarray, origins: np.ndarray, horizons: Sequence[int], levels: Sequence[float] = LEVELS
) -> np.ndarray:
    """The mean return so far goes on, and is certain: a line from the first price through the last.

    Args and returns are those of `last_value`; an origin at the first row has no return so far and gets 0.
    """
    log_prices, origins = np.asarray(log_prices, np.float64), np.asarray(origins)
    mean = (log_prices[origins] - log_prices[0]) / np.maximum(origins, 1)
    return _certain(mean[:, None] * np.asarray(horizons), levels)


def seasonal_naive(
    log_prices: np.ndarray,
    origins: np.ndarray,
    horizons: Sequence[int],
    levels: Sequence[float] = LEVELS,
    season: int = 1,
) -> np.ndarray:
    """What was a season before comes again, and is certain. It applies where there is one: to loads, not to stocks.

    Args and returns are those of `last_value`; a season is so many rows, at least 1, and 1 is the last value.

    Raises:
        ValueError: An origin has no whole season up to it.
    """
    log_prices, origins = np.asarray(log_prices, np.float64), np.asarray(origins)
    if season < 1 or (len(origins) and origins.min() < season - 1):
        raise ValueError(f"need a season of {season} rows up to every origin")
    steps = np.asarray(horizons)
    before = origins[:, None] + steps - season * -(-steps // season)
    return _certain(log_prices[before] - log_prices[origins, None], levels)


def random_walk(
    log_prices: np.ndarray,
    origins: np.ndarray,
    horizons: Sequence[int],
    levels: Sequence[float] = LEVELS,
    window: int = WINDOWS[0],
) -> np.ndarray:
    """Quantiles of the last returns over as many rows: historical simulation.

    Args and returns are those of `last_value`; a window is so many returns, overlapping, the last of which ends at the
    origin, or fewer where there are not so many.

    Raises:
        ValueError: There are fewer than 20.
    """
    log_prices, origins = np.asarray(log_prices, np.float64), np.asarray(origins)
    quantiles = np.empty((len(origins), len(horizons), len(levels)))
    for place, step in enumerate(horizons):
        returns = log_prices[step:] - log_prices[:-step]
        quantiles[:, place] = rolling_quantiles(returns, origins - step, window, levels)
    return quantiles


def _certain(forecasts: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """A forecast as all of its quantiles."""
    return np.repeat(forecasts[..., None], len(levels), axis=-1)


Baseline = Callable[[np.ndarray, np.ndarray, Sequence[int]], np.ndarray]
"""From log prices [rows], origins [n] and H rows ahead to quantiles of log returns [n, H, Q]."""

BASELINES: Mapping[str, Baseline] = {
    "last_value": last_value,
    "drift": drift,
    **{f"random_walk_{window}": partial(random_walk, window=window) for window in WINDOWS},
    **{f"ewma_{residuals}": partial(ewma, residuals=residuals) for residuals in RESIDUALS},
    **{f"garch_{residuals}": partial(garch, residuals=residuals) for residuals in RESIDUALS},
}
"""GARCH is fitted on all rows up to the first origin of the part, validation's included."""


def baseline_forecasts(corpus: Corpus, origins: Origins, horizon: int, season: int = 0) -> dict[str, np.ndarray]:
    """The baselines' quantiles of log returns, float64 [n, H, Q] at the horizons that are reported.

    One that cannot be had, because there are too few rows to fit it on, is left out; so is the seasonal naive one
    without a season.
    """
    known, horizons = dict(BASELINES), reported_horizons(horizon)
    if season:
        known["seasonal_naive"] = partial(seasonal_naive, season=season)
    forecasts: dict[str, np.ndarray] = {}
    total = len(known) * len(corpus.panel)
    with tqdm.tqdm(total=total, desc="baselines", file=sys.stderr, delay=2, leave=False, disable=None) as bar:
        for name, forecast in known.items():
            parts = []
            try:
                for prices, rows in zip(corpus.panel, origins, strict=True):
                    parts += [forecast(prices.log_close, rows, horizons)] if len(rows) else []
                    bar.update()
            except ValueError:  # too few rows
                continue
            forecasts[name] = np.concatenate(parts)
    return forecasts
