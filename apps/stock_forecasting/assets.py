"""What is fitted beside the model: the scaler of its features, and by how much its quantiles miss."""

import dataclasses
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf

from apps.stock_forecasting.batches import all_series, seen_rows, windows_of
from apps.stock_forecasting.config import LEVELS, StockConfig
from apps.stock_forecasting.conformal import Scores
from apps.stock_forecasting.data import Corpus
from apps.stock_forecasting.features import features_of
from recur import files

SCALER, CALIBRATION = "scaler.json", "calibration.npz"
SCALER_ROWS = 2048
"""Of a ticker, at even distances, that the scaler sees."""


@dataclasses.dataclass(frozen=True)
class StockAssets:
    """Fitted on train, the calibration on validation.

    Attributes:
        tickers: Names, in the order of their numbers from 1.
        mean: Of each feature.
        variance: Of each feature; 1 of one that never changes.
        scores: What intervals lacked on validation, in returns; None before that is known, and without calibration.
    """

    tickers: tuple[str, ...]
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    scores: Scores | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads `scaler.json`, and `calibration.npz` where there is one."""
        scaler: dict[str, Any] = {name: tuple(value) for name, value in files.read_json(folder / SCALER).items()}
        if not (folder / CALIBRATION).exists():
            return cls(**scaler)
        with np.load(folder / CALIBRATION) as arrays:
            return cls(**scaler, scores=Scores(arrays["sorted"], LEVELS))

    def write(self, folder: Path) -> None:
        """Writes them."""
        scaler = {name: list(getattr(self, name)) for name in ("tickers", "mean", "variance")}
        files.write_json(folder / SCALER, scaler)
        if self.scores is not None:
            with files.atomically(folder / CALIBRATION) as temporary, temporary.open("wb") as file:
                np.savez(file, sorted=self.scores.sorted)

    @classmethod
    def fit(cls, corpus: Corpus, config: StockConfig) -> Self:
        """The tickers, and mean and variance of the features at train's origins."""
        from sklearn.preprocessing import StandardScaler  # an answer need not wait for it

        scaler = StandardScaler()
        call = tf.function(lambda columns: features_of(columns, config.features)[:, -1], reduce_retracing=True)
        for series, rows in zip(all_series(corpus, config), corpus.train, strict=True):
            if len(rows):
                some = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SCALER_ROWS)).astype(int))]
                windows = windows_of(series, some, seen_rows(config))
                scaler.partial_fit(call({name: windows[name] for name in series.columns}).numpy())
        names = tuple(prices.name for prices in corpus.panel)
        return cls(names, tuple(scaler.mean_.tolist()), tuple((scaler.scale_**2).tolist()))
