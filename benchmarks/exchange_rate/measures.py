"""What forecasts of exchange rates come to in both protocols, on validation and on test."""

from typing import Any

import numpy as np

from apps.stock_forecasting.backtest import MIDDLE, collapsed
from apps.stock_forecasting.config import LEVELS
from apps.stock_forecasting.data import Corpus
from apps.stock_forecasting.significance import diebold_mariano
from benchmarks.exchange_rate.forecasts import (
    baseline_medians,
    baseline_quantiles,
    calibrated,
    mirrored_mean,
    model_forecasts,
)
from benchmarks.exchange_rate.protocols import (
    HORIZONS,
    WINDOW,
    WINDOWS,
    origins,
    relative_squared_error,
    rolling_loss,
    rolling_origins,
    split,
)
from recur.training.task import Trained

LAST, SURE = "last_value", 0.05
CAUTIOUS = "this model where validation establishes a gain, else the last value"
MODEL, ALONE, UNCALIBRATED = "this model", "this model, rates alone", "this model, not calibrated"


def measure(trained: Trained, corpus: Corpus) -> dict[str, Any]:
    """Both protocols on both parts.

    Args:
        trained: The model.
        corpus: Rates and inverses.

    Returns:
        `rse` by part, forecaster and horizon, `crps` by part and forecaster (validation's of what is calibrated is
        measured where it was calibrated); `p_values` by part and horizon, of Diebold and Mariano for the squared errors
        beside the last value's, averaged by row; `established`, the horizons at which validation prefers the model to
        the last value with p below 0.05; of test, whether the medians are `collapsed` and their largest `distance` from
        the last value.
    """
    rates = [prices.table["close"].to_numpy() for prices in corpus.panel[: len(corpus.panel) // 2]]
    values = np.stack(rates, axis=1)
    parts = split(len(values))
    spans = {"validation": (parts.validation, parts.test), "test": (parts.test, parts.rows)}
    report: dict[str, Any] = {"rse": {}, "crps": {}, "p_values": {}}
    for part, (begin, end) in spans.items():
        rows = np.arange(begin - max(HORIZONS), end - min(HORIZONS))
        every = model_forecasts(trained, corpus, rows)
        own, alone = mirrored_mean(every), every[: len(rates)]
        medians = {MODEL: own[..., [MIDDLE]], ALONE: alone[..., [MIDDLE]]}
        medians |= baseline_medians(np.log(values), rows, max(HORIZONS))
        scores: dict[str, list[float]] = {}
        squares: dict[str, list[np.ndarray]] = {}
        for name, median in medians.items():
            for horizon in HORIZONS:
                forecasts = point_forecasts(median, values, rows, origins(begin, end, horizon), horizon)
                scores.setdefault(name, []).append(relative_squared_error(forecasts, values[begin:end]))
                squares.setdefault(name, []).append(((forecasts - values[begin:end]) ** 2).mean(axis=1))
        report["rse"][part] = scores
        windows = WINDOWS if part == "test" else (end - begin - 1) // WINDOW
        windows_from = rolling_origins(begin + 1, windows)
        raw = every[:, np.searchsorted(rows, windows_from)]
        moved = calibrated(trained, raw)
        quantiles = {MODEL: mirrored_mean(moved), UNCALIBRATED: mirrored_mean(raw), ALONE: moved[: len(rates)]}
        quantiles |= baseline_quantiles(np.log(values), windows_from)
        report["crps"][part] = {name: rolling(forecast, values, windows_from) for name, forecast in quantiles.items()}
        own = own[:, :, np.array(HORIZONS) - 1].reshape(-1, len(HORIZONS), own.shape[-1])
        report["distance"] = float(np.abs(np.expm1(own[..., MIDDLE])).max())
        report["collapsed"] = collapsed(own)
        report["p_values"][part] = [
            diebold_mariano(mine, theirs, horizon).p_value
            for mine, theirs, horizon in zip(squares[MODEL], squares[LAST], HORIZONS, strict=True)
        ]
    chosen = established(report["rse"]["validation"], report["p_values"]["validation"])
    report["established"] = [horizon for horizon, ours in zip(HORIZONS, chosen, strict=True) if ours]
    for scores in report["rse"].values():
        pairs = zip(scores[MODEL], scores[LAST], chosen, strict=True)
        scores[CAUTIOUS] = [mine if ours else last for mine, last, ours in pairs]
    return report


def established(scores: dict[str, list[float]], p_values: list[float]) -> list[bool]:
    """Whether the model is surely better than the last value, by horizon.

    Args:
        scores: RSE by forecaster and horizon.
        p_values: By horizon, two-sided.
    """
    return [
        mine < last and p_value < SURE
        for mine, last, p_value in zip(scores[MODEL], scores[LAST], p_values, strict=True)
    ]


def point_forecasts(
    returns: np.ndarray, values: np.ndarray, rows: np.ndarray, wanted: np.ndarray, horizon: int
) -> np.ndarray:
    """Forecasts as values, [wanted, currencies].

    Args:
        returns: float [currencies, n, H, 1], log returns that are forecast.
        values: float [times, currencies].
        rows: int [n], that they are forecast from; they rise.
        wanted: Some of them.
        horizon: Rows ahead.
    """
    forecasts = returns[:, np.searchsorted(rows, wanted), horizon - 1, 0]
    return values[wanted] * np.exp(forecasts.T)


def rolling(quantiles: np.ndarray, values: np.ndarray, rows: np.ndarray) -> float:
    """GluonTS's loss of the windows after some rows.

    Args:
        quantiles: float [currencies, n, 30, Q], of log returns at the application's levels.
        values: float [times, currencies].
        rows: int [n].
    """
    targets = values[rows[:, None] + np.arange(1, WINDOW + 1)].transpose(2, 0, 1).reshape(-1, WINDOW)
    return rolling_loss(quantiles.reshape(-1, *quantiles.shape[2:]), LEVELS, values[rows].T.ravel(), targets)
