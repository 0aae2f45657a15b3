"""What a user would try before a network, as quantiles of cumulative log returns: walks, drift and seasons.

All take the logarithm of one ticker's prices and rows to forecast from; the forecast from a row depends on no row after
it. Those that know of volatility are in `volatility`.

Source:
    Hyndman, R. J. and Athanasopoulos, G. (2021), "Forecasting: Principles and Practice", 3rd edition, section 5.2.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

WINDOWS = (250, 500, 1000)
"""Rows: one, two and four years of trading days."""
FEWEST = 20
"""Past returns below which their quantiles say nothing."""
TOGETHER = 2_000_000
"""Numbers that are sorted together."""


def last_value(
    log_prices: np.ndarray, origins: np.ndarray, horizons: Sequence[int], levels: Sequence[float]
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


def drift(log_prices: np.ndarray, origins: np.ndarray, horizons: Sequence[int], levels: Sequence[float]) -> np.ndarray:
    """The mean return so far goes on, and is certain: a line from the first price through the last.

    Args and returns are those of `last_value`; an origin at the first row has no return so far and gets 0.
    """
    log_prices, origins = np.asarray(log_prices, np.float64), np.asarray(origins)
    mean = (log_prices[origins] - log_prices[0]) / np.maximum(origins, 1)
    return _certain(mean[:, None] * np.asarray(horizons), levels)


def seasonal_naive(
    log_prices: np.ndarray, origins: np.ndarray, horizons: Sequence[int], levels: Sequence[float], season: int
) -> np.ndarray:
    """What was a season before comes again, and is certain. It applies where there is one: to loads, not to stocks.

    Args and returns are those of `last_value`.

    Args:
        log_prices: As there.
        origins: As there.
        horizons: As there.
        levels: As there.
        season: Rows, at least 1; 1 is the last value.

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
    log_prices: np.ndarray, origins: np.ndarray, horizons: Sequence[int], levels: Sequence[float], window: int
) -> np.ndarray:
    """Quantiles of the last returns over as many rows: historical simulation.

    Args and returns are those of `last_value`.

    Args:
        log_prices: As there.
        origins: As there.
        horizons: As there.
        levels: As there.
        window: How many returns, overlapping, the last of which ends at the origin; fewer where there are not so many.

    Raises:
        ValueError: There are fewer than 20.
    """
    log_prices, origins = np.asarray(log_prices, np.float64), np.asarray(origins)
    found = np.empty((len(origins), len(horizons), len(levels)))
    for place, step in enumerate(horizons):
        returns = log_prices[step:] - log_prices[:-step]
        found[:, place] = rolling_quantiles(returns, origins - step, window, levels)
    return found


def rolling_quantiles(values: np.ndarray, ends: np.ndarray, window: int, levels: Sequence[float]) -> np.ndarray:
    """Quantiles of the values up to some positions, interpolated as `numpy.quantile` does.

    Args:
        values: float [values].
        ends: int [ends], the last position of each window.
        window: How many values; those that there are where there are fewer.
        levels: Of the quantiles.

    Returns:
        float64 [ends, levels].

    Raises:
        ValueError: A window has fewer than 20 values.
    """
    if len(ends) and min(np.min(ends) + 1, window) < FEWEST:
        raise ValueError(f"need {FEWEST} past values for quantiles, got {min(np.min(ends) + 1, window)}")
    found = np.empty((len(ends), len(levels)))
    full = np.flatnonzero(ends >= window - 1)
    if len(full):
        every = sliding_window_view(values, window)
        for some in np.array_split(full, -(-len(full) * window // TOGETHER)):
            found[some] = _quantiles_of_sorted(np.sort(every[ends[some] - window + 1], axis=1), levels)
    for row in np.flatnonzero(ends < window - 1):
        found[row] = np.quantile(values[: ends[row] + 1], levels)
    return found


def _quantiles_of_sorted(ordered: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles [n, levels] of rising rows [n, window]: several times as fast as `numpy.quantile`."""
    places = np.asarray(levels) * (ordered.shape[1] - 1)
    below = np.floor(places).astype(int)
    low, high = ordered[:, below], ordered[:, np.minimum(below + 1, ordered.shape[1] - 1)]
    return low + (places - below) * (high - low)


def _certain(forecasts: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """A forecast as all of its quantiles."""
    return np.repeat(forecasts[..., None], len(levels), axis=-1)
