"""Filtered historical simulation in graph: what came before, in units of how wild it was, comes again.

The variance of each row is that of a GARCH(1,1) whose long-run level is the window's own and whose other parameters
are fixed, as RiskMetrics' is; past returns over h rows are divided by the deviation that was forecast for them, and
their quantiles are multiplied by the one that is forecast now.

Sources:
    Barone-Adesi, G., Giannopoulos, K. and Vosper, L. (1999), "VaR without Correlations for Portfolios of Derivative
    Securities", Journal of Futures Markets 19(5); Hull, J. and White, A. (1998), "Incorporating Volatility Updating
    into the Historical Simulation Method for Value-at-Risk", Journal of Risk 1(1); Engle, R. F. and Mezrich, J. (1996),
    "GARCH for Groups", Risk 9(8): the long-run level set, not fitted.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from apps.stock_forecasting.features import FLOOR

ALPHA, BETA = 0.08, 0.90
"""Of squared returns and of the variance before, as they are found again and again in daily returns."""
TAPS = 128
"""Rows after which a weight, β to that power, no longer counts."""
FIRST = 32
"""Row of a window from which its variances are taken at their word."""


def simulate(close: tf.Tensor, horizons: Sequence[int], levels: Sequence[float]) -> tf.Tensor:
    """Quantiles of what comes after windows of prices.

    Args:
        close: float32 [N, window], positive.
        horizons: A, rows ahead.
        levels: Q, of the quantiles.

    Returns:
        float32 [N, A, Q], of cumulative log returns.

    Raises:
        ValueError: The window is too short for such horizons.
    """
    rows, fewest = close.shape[1], fewest_rows(max(horizons))
    if rows < fewest:
        raise ValueError(f"need windows of {fewest} rows for horizons {list(horizons)}, got {rows}")
    returns = tf.math.log(close[:, 1:] / close[:, :-1])
    long_run, now = _variances(returns)
    path = tf.cumsum(returns, axis=1)
    return tf.stack([_quantiles(path, long_run, now, horizon, levels) for horizon in horizons], axis=1)


def fewest_rows(horizon: int) -> int:
    """The shortest window from which so many rows ahead can be simulated: one that holds a single past return."""
    return FIRST + horizon + 2


def _variances(returns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The long-run variance [N, 1], and at each row that of the next one [N, rows]: ω + α r² + β σ², unrolled."""
    squared = tf.maximum(tf.abs(returns), FLOOR) ** 2  # its square is 0 as a constant in float16
    long_run = tf.reduce_mean(squared, axis=1, keepdims=True)
    rows, sums, taps = returns.shape[1], squared, 1
    there_are = np.cumsum(np.where(np.arange(rows) < TAPS, BETA ** np.arange(float(rows)), 0))
    while taps < TAPS:  # a sum of twice as many rows is that of the last ones and, weighed, of those before
        sums += BETA**taps * tf.pad(sums, [[0, 0], [taps, 0]])[:, :rows]
        taps *= 2
    share = ALPHA / (1 - BETA)
    return long_run, (1 - share) * long_run + share * sums / tf.constant(there_are, returns.dtype)


def _quantiles(
    path: tf.Tensor, long_run: tf.Tensor, now: tf.Tensor, horizon: int, levels: Sequence[float]
) -> tf.Tensor:
    """Quantiles [N, Q] over one horizon, from sums of returns [N, rows] and the variances at each row."""
    persistence = ALPHA + BETA
    weight = (1 - persistence**horizon) / (1 - persistence)
    deviation = tf.sqrt(long_run * (horizon - weight) + now * weight)
    standard = (path[:, horizon:] - path[:, :-horizon]) / deviation[:, :-horizon]
    ordered = tf.sort(standard[:, FIRST:], axis=1)
    places = np.array(levels) * (ordered.shape[1] - 1)
    below = np.floor(places).astype(int)
    low, high = (tf.gather(ordered, np.minimum(below + more, ordered.shape[1] - 1), axis=1) for more in (0, 1))
    share = tf.constant(places - below, path.dtype)
    return (low + share * (high - low)) * deviation[:, -1:]
