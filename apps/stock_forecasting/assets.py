"""What is fitted beside the model: the scaler of its features, and by how much its quantiles miss."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from sklearn.preprocessing import StandardScaler

from apps.stock_forecasting.batches import Series, seen_rows, windows_of
from apps.stock_forecasting.conformal import Scores
from apps.stock_forecasting.data import Origins
from apps.stock_forecasting.features import features_of
from apps.stock_forecasting.metrics import LEVELS
from recur import files

if TYPE_CHECKING:
    from apps.stock_forecasting.config import StockConfig

SCALER_ROWS = 2048
"""Of a ticker, at even distances, that the scaler sees."""


@dataclasses.dataclass(frozen=True)
class StockAssets:
    """Fitted on train, the calibration on validation.

    Attributes:
        tickers: Names, in the order of their numbers from 1.
        mean: Of each feature.
        variance: Of each feature.
        scores: What intervals lacked on validation, in returns; None before that is known, and without calibration.
    """

    tickers: tuple[str, ...]
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    scores: Scores | None = None

    def write(self, folder: Path) -> None:
        """Writes `scaler.json`."""
        fields = dataclasses.asdict(self)
        files.write_json(folder / "scaler.json", {name: list(fields[name]) for name in ("tickers", "mean", "variance")})

    @classmethod
    def read(cls, folder: Path) -> "StockAssets":
        """Reads it, and `calibration.npz`, which is written when training has ended."""
        scaler = {name: tuple(value) for name, value in files.read_json(folder / "scaler.json").items()}
        calibration = folder / "calibration.npz"
        if not calibration.exists():
            return cls(**scaler)
        with np.load(calibration) as arrays:
            return cls(**scaler, scores=Scores(arrays["sorted"], LEVELS))


def write_scores(scores: Scores, folder: Path) -> None:
    """Writes `calibration.npz`, atomically."""
    with files.atomically(folder / "calibration.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, sorted=scores.sorted)


def fit_scaler(every: Sequence[Series], origins: Origins, config: "StockConfig") -> tuple[tuple[float, ...], ...]:
    """Mean and variance of the features at train's origins.

    Args:
        every: The tickers.
        origins: Of each, train's.
        config: Features and length of a window.

    Returns:
        Two tuples of numbers, one a feature; the variance of one that never changes is 1.
    """
    scaler = StandardScaler()
    call = tf.function(lambda columns: features_of(columns, config.features)[:, -1], reduce_retracing=True)
    for series, rows in zip(every, origins, strict=True):
        if len(rows):
            some = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SCALER_ROWS)).astype(int))]
            windows = windows_of(series, some, seen_rows(config))
            scaler.partial_fit(call({name: windows[name] for name in series.columns}).numpy())
    return tuple(scaler.mean_.tolist()), tuple((scaler.scale_**2).tolist())
