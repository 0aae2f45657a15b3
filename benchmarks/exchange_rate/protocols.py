"""Two protocols on the same file of exchange rates: which rows are forecast, and what the errors come to.

Sources:
    Lai, G., Chang, W.-C., Yang, Y. and Liu, H. (2018), "Modeling Long- and Short-Term Temporal Patterns with Deep
    Neural Networks", SIGIR, section 4, and LSTNet's `utils.py` and `main.py`; GluonTS, `dataset/repository/_lstnet.py`
    and `evaluation/_base.py`, for the data set that it calls `exchange_rate_nips`.
"""

import dataclasses

import numpy as np

from apps.stock_forecasting.metrics import weighted_quantile_loss

HORIZONS = (3, 6, 12, 24)
"""Rows ahead, LSTNet's."""
TRAIN, VALIDATION = 0.6, 0.2
"""LSTNet's shares of the rows; the rest is test."""
WINDOWS, WINDOW = 5, 30
"""GluonTS's: how many windows follow one another, and rows of each."""
LEVELS = tuple(step / 10 for step in range(1, 10))
"""GluonTS's."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Where parts begin; the first row is 0.

    Attributes:
        validation: Its first row.
        test: Its first row.
        rows: Of the file.
    """

    validation: int
    test: int
    rows: int


def split(rows: int) -> Split:
    """LSTNet's.

    Example:
        >>> split(7588)
        Split(validation=4552, test=6070, rows=7588)
    """
    return Split(int(TRAIN * rows), int((TRAIN + VALIDATION) * rows), rows)


def origins(begin: int, end: int, horizon: int) -> np.ndarray:
    """The rows from which all rows of a part are forecast, the last of which may lie before the part.

    Args:
        begin: First row of the part.
        end: The first after it.
        horizon: Rows ahead.

    Returns:
        int64 [end − begin].
    """
    return np.arange(begin, end) - horizon


def rolling_origins(first: int, windows: int = WINDOWS, length: int = WINDOW) -> np.ndarray:
    """The rows from which windows that follow one another are forecast, the first of which begins at a row.

    GluonTS's train ends with row ⌊0.8 · rows⌋, one further than LSTNet's, so the first window begins at the next.

    Example:
        >>> rolling_origins(split(7588).test + 1).tolist()
        [6070, 6100, 6130, 6160, 6190]
    """
    return first - 1 + length * np.arange(windows)


def relative_squared_error(forecasts: np.ndarray, targets: np.ndarray) -> float:
    """LSTNet's RSE: pooled over series in the unit of the file, divided by the deviation of all targets from one mean.

    LSTNet divides columns by their largest value to learn and multiplies errors and targets by it to measure. Its
    deviation is `torch.std`, which divides by one number less than there are, times the root of (rows − 1) / rows.

    Args:
        forecasts: float [rows, series].
        targets: float [rows, series].

    Returns:
        0 for targets, about 1 for their mean.

    Raises:
        ValueError: Shapes differ, or there are less than two rows.
    """
    forecasts, targets = np.asarray(forecasts, np.float64), np.asarray(targets, np.float64)
    if forecasts.shape != targets.shape or targets.ndim != 2 or len(targets) < 2:
        raise ValueError(f"need forecasts and targets [rows, series], got {forecasts.shape} and {targets.shape}")
    rows = len(targets)
    deviation = targets.std(ddof=1) * np.sqrt((rows - 1) / rows)
    return float(np.sqrt(np.mean((forecasts - targets) ** 2)) / deviation)


def rolling_loss(quantiles: np.ndarray, levels: tuple[float, ...], last: np.ndarray, targets: np.ndarray) -> float:
    """GluonTS's `mean_wQuantileLoss`, which tables call CRPS.

    Args:
        quantiles: float [n, H, Q], of log returns.
        levels: [Q], among which are GluonTS's nine.
        last: float [n], the values that returns are from.
        targets: float [n, H], the values that came.

    Raises:
        ValueError: A level is missing, or shapes do not fit.
    """
    chosen = [int(np.argmin(np.abs(np.array(levels) - level))) for level in LEVELS]
    if not np.allclose([levels[place] for place in chosen], LEVELS):
        raise ValueError(f"need quantiles at {LEVELS}, got {levels}")
    values = np.asarray(last)[:, None, None] * np.exp(np.asarray(quantiles)[..., chosen])
    return weighted_quantile_loss(values, targets, LEVELS)
