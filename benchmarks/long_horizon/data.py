"""ETTh1 in the literature's protocol: 12, 4 and 4 months, scaled by train, every window of a part, errors on the scale.

Source:
    Zhou, H., Zhang, S., Peng, J., Zhang, S., Li, J., Xiong, H. and Zhang, W. (2021), "Informer: Beyond Efficient
    Transformer for Long Sequence Time-Series Forecasting", AAAI, section 5, and its `data/data_loader.py`, which says
    what a month is: 30 days.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.preprocessing import StandardScaler

from recur.errors import InputError

Part = Literal["train", "validation", "test"]

MONTH = 30 * 24
"""Hours."""
BOUNDS: dict[Part, tuple[int, int]] = {
    "train": (0, 12 * MONTH),
    "validation": (12 * MONTH, 16 * MONTH),
    "test": (16 * MONTH, 20 * MONTH),
}
"""First row of each part and the first after it; what the file has after 20 months is not used."""
COLUMNS = {
    "univariate": ("OT",),
    "multivariate": ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"),
}


def read_series(path: Path, kind: str) -> np.ndarray:
    """Reads and scales the hourly series.

    Args:
        path: Of `ETTh1.csv`, plain or `.gz`.
        kind: `univariate`, the oil temperature alone, or `multivariate`, all seven.

    Returns:
        float32 [14,400, series]; mean 0 and deviation 1 in train.

    Raises:
        InputError: There is no such file, or it lacks a column or rows.
    """
    names, rows = COLUMNS[kind], BOUNDS["test"][1]
    try:
        table = pd.read_csv(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; RECUR_DATA names the folder that has ett/") from None
    if missing := [name for name in names if name not in table]:
        raise InputError(f"{path} has no column {missing[0]}; give ETTh1.csv as it is published")
    if len(table) < rows:
        raise InputError(f"{path} has {len(table):,} rows and 20 months have {rows:,}; give the whole file")
    return scaled(table[list(names)].to_numpy(np.float64)[:rows])


def scaled(values: np.ndarray) -> np.ndarray:
    """Values [rows, series] less the mean of train's, in units of the deviation of train's; float32."""
    scaler = StandardScaler().fit(values[slice(*BOUNDS["train"])])
    return scaler.transform(values).astype(np.float32)


def first_targets(part: Part, window: int, horizon: int) -> np.ndarray:
    """The first rows of all targets that lie in a part.

    Args:
        part: Validation and test look back into what comes before them, train cannot.
        window: Rows that a forecast sees.
        horizon: Rows that it is of.

    Returns:
        int32 [windows].

    Example:
        >>> len(first_targets("test", 336, 720))
        2161
    """
    begin, end = BOUNDS[part]
    return np.arange(max(begin, window), end - horizon + 1, dtype=np.int32)


def targets_of(values: np.ndarray, firsts: np.ndarray, horizon: int) -> np.ndarray:
    """What is to be forecast, [windows, series, horizon], of values [rows, series]."""
    return sliding_window_view(values, horizon, axis=0)[firsts]


def last_value(values: np.ndarray, firsts: np.ndarray, horizon: int) -> np.ndarray:
    """The last value stays, [windows, series, horizon]."""
    return np.repeat(values[firsts - 1][..., None], horizon, axis=-1)


def seasonal_naive(values: np.ndarray, firsts: np.ndarray, horizon: int, season: int = 24) -> np.ndarray:
    """The last day comes again and again, [windows, series, horizon].

    Args:
        values: float [rows, series].
        firsts: int [windows], at least `season`.
        horizon: Rows ahead.
        season: Rows.
    """
    rows = firsts[:, None] - season + np.arange(horizon) % season
    return values[rows].transpose(0, 2, 1)


def errors(forecasts: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Mean squared and mean absolute error over windows, series and rows ahead, in train's deviations.

    Raises:
        ValueError: The shapes differ.
    """
    if forecasts.shape != targets.shape:
        raise ValueError(f"need forecasts of the targets' shape, got {forecasts.shape} and {targets.shape}")
    differences = np.asarray(forecasts, np.float64) - targets
    return {"mse": float(np.mean(differences**2)), "mae": float(np.mean(np.abs(differences)))}
