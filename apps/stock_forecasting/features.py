"""What is known at a row of a ticker's table, from that row and those before it; what comes after it.

Every feature looks back over finitely many rows: computed from the last `warm_up(spans) + n` rows of a table it is, in
the last n, what it is in the whole. So a served window of prices is enough, and nothing to come can be in it.

Sources:
    Parkinson, M. (1980), "The Extreme Value Method for Estimating the Variance of the Rate of Return", Journal of
    Business 53(1): the range; Andersen, T. G., Bollerslev, T., Diebold, F. X. and Labys, P. (2003), "Modeling and
    Forecasting Realized Volatility", Econometrica 71(2): its logarithm is nearly normal; Corsi, F. (2009), "A Simple
    Approximate Long-Memory Model of Realized Volatility", Journal of Financial Econometrics 7(2): several spans.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.preprocessing import StandardScaler

SPANS = (5, 20, 60)
"""Rows: a week, a month and a quarter of trading days."""
VOLUME_SPAN = 20
FLOOR = 1e-4
"""The least volatility of a row: prices rounded to a tick can stand still for days, and the logarithm must not."""


class Scaler(NamedTuple):
    """Makes the features of train have mean 0 and variance 1.

    Attributes:
        mean: float64 [features].
        scale: float64 [features], standard deviations; 1 for a feature that never changes.
    """

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scales features.

        Args:
            features: float [..., features].

        Returns:
            The same shape.
        """
        return (features - self.mean) / self.scale


def warm_up(spans: Sequence[int] = SPANS, volume: bool = False) -> int:
    """How many rows at the beginning of a table have no features.

    Args:
        spans: As `features_of` has them.
        volume: Whether the table has a volume.
    """
    return max(*spans, VOLUME_SPAN if volume else 1, 1)


def features_of(table: pd.DataFrame, spans: Sequence[int] = SPANS, calendar: bool = True) -> pd.DataFrame:
    """The features at every row.

    Args:
        table: As `Prices` has it; columns that it lacks give no features.
        spans: Rows over which volatility is taken; each at least 1.
        calendar: Whether to say the day of the week and of the year, and how long ago the row before was; only where
            rows have dates.

    Returns:
        float64 [rows, features], a named column each, NaN in the first `warm_up` rows and finite in all others:
        `return`, from the row before, as a logarithm; `volatility_N`, the logarithm of the root mean square of the last
        N returns; with high and low `range` and `range_N`, the same of Parkinson's estimate, where the absolute return
        stands in for what is missing; with volume `volume`, the logarithm of one plus it, less the mean of that over
        the last 20 rows.
    """
    log_close = np.log(table["close"].to_numpy())
    returns = np.diff(log_close, prepend=np.nan)
    found = {"return": returns}
    for span in spans:
        found[f"volatility_{span}"] = _log_root(_mean_of_last(returns**2, span))
    if {"high", "low"} <= set(table):
        squared = np.log(table["high"].to_numpy() / table["low"].to_numpy()) ** 2 / (4 * np.log(2))
        squared = np.where(np.isnan(squared), returns**2, squared)
        squared[:1] = np.nan  # has no return to stand in for it
        found["range"] = _log_root(squared)
        for span in spans:
            found[f"range_{span}"] = _log_root(_mean_of_last(squared, span))
    if "volume" in table:
        log_volume = np.log1p(table["volume"].to_numpy())
        usual = pd.Series(log_volume).rolling(VOLUME_SPAN, min_periods=1).mean().to_numpy()
        found["volume"] = np.nan_to_num(log_volume - usual)
    if calendar and isinstance(table.index, pd.DatetimeIndex):
        found |= _calendar(table.index)
    features = pd.DataFrame(found, index=table.index)
    features.iloc[: warm_up(spans, "volume" in table)] = np.nan
    return features


def _mean_of_last(values: np.ndarray, span: int) -> np.ndarray:
    """float64 [rows], over the last `span` rows; each is summed anew, so that nothing before them is in it."""
    means = np.full(len(values), np.nan)
    if len(values) >= span:
        means[span - 1 :] = sliding_window_view(values, span).mean(axis=1)
    return means


def _log_root(variance: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(variance, FLOOR**2)) / 2


def _calendar(dates: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Places on the circles of week and year, and the logarithm of the days since the row before."""
    week, year = dates.day_of_week.to_numpy() / 7, (dates.day_of_year.to_numpy() - 1) / 365.25
    times = dates.to_numpy()
    days = np.diff(times, prepend=times[:1]) / np.timedelta64(1, "D")
    circles = {"week": week, "year": year}
    found = {f"{name}_{of.__name__}": of(2 * np.pi * turn) for name, turn in circles.items() for of in (np.sin, np.cos)}
    return found | {"days_since": np.log(np.maximum(days, 1e-3))}


def windows(features: np.ndarray, origins: np.ndarray, window: int) -> np.ndarray:
    """The features of the rows up to each origin.

    Args:
        features: float [rows, features].
        origins: int [origins].
        window: Rows of a window, the origin's included.

    Returns:
        The same type [origins, window, features], oldest row first.

    Raises:
        ValueError: A window begins before the first row, ends after the last, or is not finite.
    """
    features, origins = np.asarray(features), np.asarray(origins)
    if not len(origins):
        return np.empty((0, window, features.shape[1]), features.dtype)
    if origins.min() < window - 1 or origins.max() >= len(features):
        raise ValueError(
            f"a window of {window} rows ends from {window - 1} to {len(features) - 1}, "
            f"got origins {origins.min()} to {origins.max()}"
        )
    found = sliding_window_view(features, window, axis=0)[origins - window + 1].swapaxes(1, 2)
    if not np.isfinite(found).all():
        raise ValueError("a window holds a number that is not finite; leave the rows of the warm-up out")
    return np.ascontiguousarray(found)


def targets(log_prices: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    """What is forecast: cumulative log returns from each origin on.

    Args:
        log_prices: float [rows].
        origins: int [origins].
        horizon: H, how many rows ahead.

    Returns:
        The same type [origins, H]; at 0 the return of the row after the origin.

    Raises:
        ValueError: There are fewer rows after an origin.
    """
    log_prices, origins = np.asarray(log_prices), np.asarray(origins)
    if len(origins) and (origins.min() < 0 or origins.max() + horizon >= len(log_prices)):
        raise ValueError(f"need {horizon} rows after origins up to {origins.max()}, there are {len(log_prices)} in all")
    return log_prices[origins[:, None] + np.arange(1, horizon + 1)] - log_prices[origins, None]


def fit_scaler(features: Sequence[np.ndarray], origins: Sequence[np.ndarray]) -> Scaler:
    """Fits a scaler on the rows that train's origins know of: none after a ticker's last one.

    Args:
        features: For each ticker float [rows, features]; rows with NaN, those of the warm-up, do not count.
        origins: For each int [origins], train's.

    Raises:
        ValueError: There is no such row.
    """
    known = [part[: rows.max() + 1] for part, rows in zip(features, origins, strict=True) if len(rows)]
    known = np.concatenate([part[np.isfinite(part).all(axis=1)] for part in known]) if known else np.empty((0, 1))
    if not len(known):
        raise ValueError("no row to fit a scaler on")
    fitted = StandardScaler().fit(known)
    return Scaler(fitted.mean_, fitted.scale_)
