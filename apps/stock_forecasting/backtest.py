"""Forecasts of the model and of its baselines from every origin of a part, with what came after."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
import tqdm

from apps.stock_forecasting import baselines, volatility
from apps.stock_forecasting.batches import EVALUATION_BATCH, all_series, windows_of
from apps.stock_forecasting.config import reported_horizons
from apps.stock_forecasting.data import Corpus, Origins
from apps.stock_forecasting.metrics import LEVELS
from apps.stock_forecasting.model import PERCENT
from apps.stock_forecasting.serving import StockForecaster
from apps.stock_forecasting.targets import targets

if TYPE_CHECKING:
    from apps.stock_forecasting.config import StockConfig

Baseline = Callable[[np.ndarray, np.ndarray, Sequence[int]], np.ndarray]
"""From log prices [rows], origins [n] and H rows ahead to quantiles of log returns [n, H, Q]."""

BASELINES: Mapping[str, Baseline] = {
    "last_value": lambda prices, rows, horizons: baselines.last_value(prices, rows, horizons, LEVELS),
    "drift": lambda prices, rows, horizons: baselines.drift(prices, rows, horizons, LEVELS),
    **{
        f"random_walk_{window}": lambda prices, rows, horizons, window=window: baselines.random_walk(
            prices, rows, horizons, LEVELS, window
        )
        for window in baselines.WINDOWS
    },
    **{
        f"ewma_{residuals}": lambda prices, rows, horizons, residuals=residuals: volatility.ewma(
            prices, rows, horizons, LEVELS, residuals
        )
        for residuals in ("normal", "empirical")
    },
    **{
        f"garch_{residuals}": lambda prices, rows, horizons, residuals=residuals: volatility.garch(
            prices, rows, horizons, LEVELS, int(rows[0]), residuals
        )
        for residuals in ("normal", "empirical")
    },
}
"""GARCH is fitted on all rows up to the first origin of the part, validation's included."""


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What came after the origins of a part; of the n origins those of a ticker follow one another.

    Attributes:
        horizons: [H], rows ahead that are looked at.
        tickers: int64 [n], places in the panel.
        dates: [n], datetime64 or int64: of the origins.
        known: [n, H], of the targets.
        returns: float64 [n, H], cumulative log returns.
    """

    horizons: tuple[int, ...]
    tickers: np.ndarray
    dates: np.ndarray
    known: np.ndarray
    returns: np.ndarray


def outcomes(corpus: Corpus, origins: Origins, horizon: int) -> Outcomes:
    """Gathers them over the panel."""
    horizons = reported_horizons(horizon)
    steps = np.array(horizons)
    found: list[tuple[np.ndarray, ...]] = []
    for number, (prices, rows) in enumerate(zip(corpus.panel, origins, strict=True)):
        times = prices.table.index.to_numpy()
        returns = targets(prices.log_close, rows, horizon)[:, steps - 1] if len(rows) else np.empty((0, len(steps)))
        found.append((np.full(len(rows), number), times[rows], times[rows[:, None] + steps], returns))
    return Outcomes(horizons, *(np.concatenate(each) for each in zip(*found, strict=True)))


def forecast_all(module: StockForecaster, corpus: Corpus, origins: Origins, config: "StockConfig") -> np.ndarray:
    """The model's quantiles of log returns, not calibrated, in the graph that is served.

    Returns:
        float64 [n, horizon, Q], at every row ahead; `at_reported` takes those that are reported.
    """
    found = []
    call = tf.function(module.raw_returns, reduce_retracing=True)  # operation by operation it takes five times as long
    with _bar(sum(map(len, origins)), "forecasting") as bar:
        for series, rows in zip(all_series(corpus, config), origins, strict=True):
            for begin in range(0, len(rows), EVALUATION_BATCH):
                windows = windows_of(series, rows[begin : begin + EVALUATION_BATCH], config.window)
                found.append(call(windows).numpy())
                bar.update(len(found[-1]))
    return np.concatenate(found).astype(np.float64) / PERCENT


def at_reported(quantiles: np.ndarray) -> np.ndarray:
    """Of quantiles at every row ahead [n, horizon, Q] those at the horizons that are reported."""
    return quantiles[:, np.array(reported_horizons(quantiles.shape[1])) - 1]


def baseline_forecasts(corpus: Corpus, origins: Origins, horizon: int, season: int = 0) -> dict[str, np.ndarray]:
    """The baselines' quantiles of log returns, float64 [n, H, Q] at the horizons that are reported.

    One that cannot be had, because there are too few rows to fit it on, is left out; so is the seasonal naive one
    without a season.
    """
    every = dict(BASELINES)
    if season:
        every["seasonal_naive"] = lambda prices, rows, horizons: baselines.seasonal_naive(
            prices, rows, horizons, LEVELS, season
        )
    found: dict[str, np.ndarray] = {}
    with _bar(len(every) * len(corpus.panel), "baselines") as bar:
        for name, forecast in every.items():
            parts = []
            for prices, rows in zip(corpus.panel, origins, strict=True):
                bar.update()
                if len(rows):
                    parts.append(_forecast(forecast, prices.log_close, rows, reported_horizons(horizon)))
            if all(part is not None for part in parts):
                found[name] = np.concatenate(parts)
    return found


def _forecast(
    forecast: Baseline, log_prices: np.ndarray, rows: np.ndarray, horizons: Sequence[int]
) -> np.ndarray | None:
    try:
        return forecast(log_prices, rows, horizons)
    except ValueError:  # too few rows
        return None


def _bar(total: int, what: str) -> tqdm.tqdm:
    return tqdm.tqdm(total=total, desc=what, file=sys.stderr, delay=2, leave=False, disable=None)
