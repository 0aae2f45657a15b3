"""What is known at each row of a window of prices, computed in graph: in training, in evaluation and in a server alike.

A feature at a row depends on that row and on those before it in the same window, so that nothing to come can be in it
and a served window is all that is needed. Prices enter as ratios of one another: their level does not matter.

Sources:
    Parkinson, M. (1980), "The Extreme Value Method for Estimating the Variance of the Rate of Return", Journal of
    Business 53(1): the range; Andersen, T. G., Bollerslev, T., Diebold, F. X. and Labys, P. (2003), "Modeling and
    Forecasting Realized Volatility", Econometrica 71(2): its logarithm is nearly normal; Corsi, F. (2009), "A Simple
    Approximate Long-Memory Model of Realized Volatility", Journal of Financial Econometrics 7(2): several spans.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from apps.stock_forecasting.config import Group

SPANS = (1, 5, 20, 60, 120, 250)
"""Rows: a day, a week, a month, a quarter, half a year and a year of trading days."""
DOWNSIDE_SPANS = (5, 20)
TREND_SPANS = (20, 60)
USUAL_SPAN = 60
"""Rows whose volatility returns are shown in units of."""
VOLUME_SPAN = 20
FLOOR = 1e-4
"""The least volatility of a row: prices rounded to a tick can stand still for days, and the logarithm must not."""
REACH = max(SPANS) + 1
"""Rows that a feature looks back over, its own included."""
MOST = 6.0
"""Units of volatility at which returns and trends are cut off."""


def feature_names(groups: Sequence[Group] = ()) -> list[str]:
    """Names of the features, in their order."""
    named = {
        "range": ["range", "range_5", "range_20"],
        "volume": ["volume"],
        "calendar": ["week_sin", "week_cos", "year_sin", "year_cos", "days_since"],
    }
    return [
        "return",
        "absolute_return",
        *(f"volatility_{span}" for span in SPANS),
        *(f"downside_{span}" for span in DOWNSIDE_SPANS),
        *(f"trend_{span}" for span in TREND_SPANS),
        *(name for group in groups for name in named[group]),
    ]


def features_of(columns: Mapping[str, tf.Tensor], groups: Sequence[Group] = ()) -> tf.Tensor:
    """The features at every row of windows.

    Args:
        columns: What `config.inputs_of` names, [N, window] each; at the first row, which has no
            return, 0 stands for it.
        groups: Which features there are beside those of the close.

    Returns:
        float32 [N, window, features], in the order of `feature_names`. Volatilities are natural logarithms of root mean
        squares over the last rows, as many as the span or as the window has so far; `downside` takes falls alone;
        `return` and `trend`, a sum of returns, are in units of the volatility of 60 rows. `range` is Parkinson's
        estimate, for which the absolute return stands in where high or low is missing; `volume` the logarithm of one
        plus it, less its mean over 20 rows.
    """
    close = columns["close"]
    returns = tf.pad(tf.math.log(close[:, 1:] / close[:, :-1]), [[0, 0], [1, 0]])
    squared = returns**2
    volatility = {span: _log_root(_mean_of_last(squared, span, skip=1)) for span in SPANS}
    usual = tf.exp(volatility[USUAL_SPAN])
    falls = tf.where(returns < 0, squared, 0.0)
    features = [
        tf.clip_by_value(returns / usual, -MOST, MOST),
        tf.minimum(tf.abs(returns) / usual, MOST),
        *volatility.values(),
        *(_log_root(_mean_of_last(falls, span, skip=1)) for span in DOWNSIDE_SPANS),
        *(_trend(returns, usual, span) for span in TREND_SPANS),
    ]
    if "range" in groups:
        parkinson = tf.math.log(columns["high"] / columns["low"]) ** 2 / (4 * np.log(2.0))
        parkinson = tf.where(tf.math.is_nan(parkinson), squared, parkinson)
        features += [_log_root(_mean_of_last(parkinson, span)) for span in (1, 5, 20)]
    if "volume" in groups:
        features.append(_volume(columns["volume"]))
    if "calendar" in groups:
        features += _calendar(columns["day"])
    return tf.stack(features, axis=-1)


def recent_volatility(features: tf.Tensor, span: int = 20) -> tf.Tensor:
    """The logarithm of the volatility of the last rows, as it stands among features [..., features]."""
    return features[..., feature_names().index(f"volatility_{span}")]


def _mean_of_last(values: tf.Tensor, span: int, skip: int = 0) -> tf.Tensor:
    """Mean of the last `span` of values [N, window], or of those that there are from the row `skip` on.

    Each is summed anew, not from the sum before, so that what has left the span leaves no rounding error behind.
    """
    rows = tf.shape(values)[1]
    padded = tf.pad(values, [[0, 0], [span - 1, 0]])[..., None]
    sums = tf.nn.avg_pool1d(padded, span, 1, "VALID")[..., 0] * span
    counts = tf.clip_by_value(tf.range(1 - skip, rows + 1 - skip), 1, span)
    return sums / tf.cast(counts, values.dtype)


def _log_root(variance: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(tf.sqrt(variance), FLOOR))  # its square is 0 as a constant in float16


def _trend(returns: tf.Tensor, usual: tf.Tensor, span: int) -> tf.Tensor:
    """The return over the last rows, in units of what it usually is."""
    return tf.clip_by_value(_mean_of_last(returns, span, skip=1) * span**0.5 / usual, -MOST, MOST)


def _volume(volume: tf.Tensor) -> tf.Tensor:
    known = tf.math.is_finite(volume)
    logarithm = tf.where(known, tf.math.log1p(tf.where(known, volume, 0.0)), 0.0)
    share = _mean_of_last(tf.cast(known, volume.dtype), VOLUME_SPAN)
    usual = tf.math.divide_no_nan(_mean_of_last(logarithm, VOLUME_SPAN), share)
    return tf.where(known, logarithm - usual, 0.0)


def _calendar(day: tf.Tensor) -> list[tf.Tensor]:
    """Places on the circles of week and year, and the logarithm of the days since the row before."""
    week = tf.cast((day + 3) % 7, tf.float32) / 7  # 1970-01-01 was a Thursday
    year = tf.cast(day, tf.float32) % 365.2425 / 365.2425
    gaps = tf.pad(day[:, 1:] - day[:, :-1], [[0, 0], [1, 0]], constant_values=1)
    circles = [of(2 * np.pi * turn) for turn in (week, year) for of in (tf.sin, tf.cos)]
    return [*circles, tf.math.log(tf.cast(tf.maximum(gaps, 1), tf.float32))]
