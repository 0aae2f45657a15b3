"""Forecasts from every origin of a part, what came after, and how good they were."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from apps.stock_forecasting import metrics
from apps.stock_forecasting.batches import EVALUATION_BATCH, all_series, targets, windows_of
from apps.stock_forecasting.config import CONFIDENCES, LEVELS, StockConfig, reported_horizons
from apps.stock_forecasting.data import Corpus, Origins
from apps.stock_forecasting.model import PERCENT
from apps.stock_forecasting.serving import StockForecaster

COLLAPSED = 1e-4
"""Largest distance of a median from the last price, as a share of it, at which a forecast is a copy of that price."""
MIDDLE = len(LEVELS) // 2


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


def outcomes_of(corpus: Corpus, origins: Origins, horizon: int) -> Outcomes:
    """Gathers them over the panel."""
    horizons = reported_horizons(horizon)
    steps = np.array(horizons)
    of_tickers: list[tuple[np.ndarray, ...]] = []
    for number, (prices, rows) in enumerate(zip(corpus.panel, origins, strict=True)):
        times = prices.table.index.to_numpy()
        returns = targets(prices.log_close, rows, horizon)[:, steps - 1] if len(rows) else np.empty((0, len(steps)))
        of_tickers.append((np.full(len(rows), number), times[rows], times[rows[:, None] + steps], returns))
    return Outcomes(horizons, *map(np.concatenate, zip(*of_tickers, strict=True)))


def forecast_all(module: StockForecaster, corpus: Corpus, origins: Origins, config: StockConfig) -> np.ndarray:
    """The model's quantiles of log returns, not calibrated, in the graph that is served.

    Returns:
        float64 [n, horizon, Q], at every row ahead; `at_reported` takes those that are reported.
    """
    quantiles = []
    call = tf.function(module.raw_returns, reduce_retracing=True)  # operation by operation it takes five times as long
    total = sum(map(len, origins))
    with tqdm.tqdm(total=total, desc="forecasting", file=sys.stderr, delay=2, leave=False, disable=None) as bar:
        for series, rows in zip(all_series(corpus, config), origins, strict=True):
            for begin in range(0, len(rows), EVALUATION_BATCH):
                windows = windows_of(series, rows[begin : begin + EVALUATION_BATCH], config.window)
                quantiles.append(call(windows).numpy())
                bar.update(len(quantiles[-1]))
    return np.concatenate(quantiles).astype(np.float64) / PERCENT


def at_reported(quantiles: np.ndarray) -> np.ndarray:
    """Of quantiles at every row ahead [n, horizon, Q] those at the horizons that are reported."""
    return quantiles[:, np.array(reported_horizons(quantiles.shape[1])) - 1]


def scores(quantiles: np.ndarray, outcomes: Outcomes, scales: np.ndarray) -> dict[str, float]:
    """The flat metrics of one forecaster, means over origins and horizons.

    Args:
        quantiles: float [n, H, Q], of log returns.
        outcomes: What came after.
        scales: float [panel, 2], mean absolute and root mean squared return of a row in train, of each ticker.

    Returns:
        `pinball` and `crps` of log returns in percent; `mase` and `rmsse` of the median, in units of train's returns
        of one row; shares `direction` and `coverage_N`; `width_80` in percent.
    """
    median, returns, scale = quantiles[..., MIDDLE], outcomes.returns, scales[outcomes.tickers]
    direction = metrics.direction(median, returns)
    return {
        "pinball": 100 * float(losses(quantiles, outcomes).mean()),
        "crps": 100 * float(metrics.crps(quantiles, returns, LEVELS).mean()),
        "mase": float(metrics.mase(median, returns, scale[:, 0]).mean()),
        "rmsse": float(metrics.rmsse(median, returns, scale[:, 1]).mean()),
        **({"direction": direction.accuracy} if direction.forecasts else {}),
        **{
            f"coverage_{100 * confidence:.0f}": float(metrics.covered(quantiles, returns, LEVELS, confidence).mean())
            for confidence in CONFIDENCES
        },
        "width_80": 100 * float(metrics.width(quantiles, LEVELS, 0.8).mean()),
    }


def by_horizon(quantiles: np.ndarray, outcomes: Outcomes, scales: np.ndarray) -> dict[str, dict[str, Any]]:
    """The same for each horizon, with the interval of the directional accuracy."""
    table = {}
    for place, horizon in enumerate(outcomes.horizons):
        part = Outcomes(
            (horizon,), outcomes.tickers, outcomes.dates, outcomes.known[:, [place]], outcomes.returns[:, [place]]
        )
        own = quantiles[:, [place]]
        repeats = horizon * len(np.unique(outcomes.tickers))  # of one date all tickers may say the same
        direction = metrics.direction(own[..., MIDDLE], part.returns, repeats)
        table[str(horizon)] = scores(own, part, scales) | {
            "direction_low": direction.low,
            "direction_high": direction.high,
            "share_of_rises": float((part.returns > 0).mean()),
        }
    return table


def losses(quantiles: np.ndarray, outcomes: Outcomes) -> np.ndarray:
    """Pinball losses of log returns, float64 [n, H], the mean over levels."""
    return metrics.pinball(quantiles, outcomes.returns, LEVELS).mean(axis=-1)


def train_scales(log_closes: Sequence[np.ndarray], last_rows: Sequence[int]) -> np.ndarray:
    """What errors are divided by: float64 [panel, 2], of the returns of one row up to the last that train knows."""
    return np.array(
        [metrics.naive_scale(prices[: last + 1]) for prices, last in zip(log_closes, last_rows, strict=True)]
    )


def collapsed(quantiles: np.ndarray) -> bool:
    """Whether the medians, of log returns [n, H, Q], are nowhere further from the last price than a ten-thousandth."""
    return bool(np.abs(np.expm1(quantiles[..., MIDDLE])).max() <= COLLAPSED)
