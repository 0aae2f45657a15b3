"""Forecasts of exchange rates by stock forecasting and by its baselines, from the same rows.

A rate has no natural direction: dollars for a pound say what pounds for a dollar say, and the sign of every return is a
convention. So the application is given each rate and its inverse as two series, and a forecast is the mean of what it
says of the rate and of what it says, mirrored, of the inverse: it then has no drift but what the window shows.
"""

import sys
from pathlib import Path

import numpy as np
import tqdm

from apps.stock_forecasting import baselines
from apps.stock_forecasting.backtest import forecast_all
from apps.stock_forecasting.baselines import BASELINES
from apps.stock_forecasting.data import Corpus
from apps.stock_forecasting.model import PERCENT
from apps.stock_forecasting.serving import StockForecaster
from benchmarks.exchange_rate.protocols import WINDOW
from recur.training.task import Trained


def write_both_ways(rates: np.ndarray, path: Path) -> None:
    """Writes rates [times, currencies] and then their inverses as a matrix that the application reads."""
    np.savetxt(path, np.hstack([rates, 1 / rates]), delimiter=",", fmt="%.9g")


def mirrored_mean(quantiles: np.ndarray) -> np.ndarray:
    """The mean of what is said of rates and of their inverses.

    Args:
        quantiles: float [2 · currencies, …, Q], of log returns at symmetric levels: of rates, then of their inverses.

    Returns:
        float [currencies, …, Q]. The return of an inverse is that of the rate with the other sign, so its quantile at
        1 − τ is that of the rate at τ.
    """
    rates, inverses = np.split(quantiles, 2)
    return (rates - inverses[..., ::-1]) / 2


def model_forecasts(trained: Trained, corpus: Corpus, rows: np.ndarray) -> np.ndarray:
    """The model's quantiles of log returns from some rows, the same of all currencies, not calibrated.

    Args:
        trained: The model.
        corpus: Rates and inverses.
        rows: int [n].

    Returns:
        float64 [2 · currencies, n, H, Q], for `mirrored_mean`; the first half are those of the rates alone.
    """
    module = StockForecaster(trained)
    quantiles = forecast_all(module, corpus, tuple(rows for _ in corpus.panel), trained.config)
    return quantiles.reshape(len(corpus.panel), len(rows), *quantiles.shape[1:])


def calibrated(trained: Trained, quantiles: np.ndarray) -> np.ndarray:
    """Quantiles of log returns [..., H, Q], moved by what the model's missed on validation."""
    module = StockForecaster(trained)
    return module.calibrated((PERCENT * quantiles).astype(np.float32)).numpy().astype(np.float64) / PERCENT


def baseline_medians(log_rates: np.ndarray, rows: np.ndarray, horizon: int) -> dict[str, np.ndarray]:
    """Point forecasts of log returns, [currencies, n, H, 1] by name, of baselines that forecast one.

    Args:
        log_rates: float [times, currencies].
        rows: int [n].
        horizon: H.
    """
    ways = {
        "last_value": baselines.last_value,
        "drift": baselines.drift,
        **{
            f"random_walk_{window}": lambda *args, window=window: baselines.random_walk(*args, window)
            for window in baselines.WINDOWS
        },
    }
    medians = {}
    with tqdm.tqdm(total=len(ways), desc="baselines", file=sys.stderr, delay=2, leave=False, disable=None) as bar:
        for name, forecast in ways.items():
            medians[name] = np.stack([forecast(rate, rows, range(1, horizon + 1), (0.5,)) for rate in log_rates.T])
            bar.update()
    return medians


def baseline_quantiles(log_rates: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Quantiles of log returns over GluonTS's windows, [currencies, n, 30, Q] by name, of the application's baselines.

    Args:
        log_rates: float [times, currencies].
        rows: int [n].
    """
    return {
        name: np.stack([forecast(rate, rows, range(1, WINDOW + 1)) for rate in log_rates.T])
        for name, forecast in BASELINES.items()
    }
