"""The simulation in graph is what NumPy makes of the same definition."""

import numpy as np
import pytest
import tensorflow as tf

from apps.stock_forecasting.config import LEVELS
from apps.stock_forecasting.filtered_simulation import ALPHA, BETA, FIRST, TAPS, simulate


def by_hand(close: np.ndarray, horizon: int) -> np.ndarray:
    """Row by row, from the sources' definitions."""
    returns = np.diff(np.log(close))
    long_run = np.mean(returns**2)
    variances = []
    for row in range(len(returns)):
        past = returns[max(0, row + 1 - TAPS) : row + 1][::-1] ** 2
        weights = BETA ** np.arange(len(past))
        smooth = (weights * past).sum() / weights.sum()
        variances.append((1 - ALPHA / (1 - BETA)) * long_run + ALPHA / (1 - BETA) * smooth)
    ahead = []
    for variance in variances:
        steps = [variance]
        for _ in range(horizon - 1):
            steps.append(long_run + (ALPHA + BETA) * (steps[-1] - long_run))
        ahead.append(np.sqrt(sum(steps)))
    sums = [returns[row + 1 : row + 1 + horizon].sum() for row in range(len(returns) - horizon)]
    standard = np.array(sums) / np.array(ahead[: len(sums)])
    return np.quantile(standard[FIRST:], LEVELS) * ahead[-1]


@pytest.mark.parametrize("rows", [90, 400])
def test_it_is_what_its_definition_says(make_table, rows):
    close = make_table(rows)["close"].to_numpy()
    simulated = simulate(tf.constant(close[None], tf.float32), (1, 7, 20), LEVELS)[0]
    for horizon, quantiles in zip((1, 7, 20), simulated, strict=True):
        np.testing.assert_allclose(quantiles, by_hand(close, horizon), rtol=5e-3, atol=2e-5)


def test_quantiles_rise_and_levels_of_prices_do_not_matter(make_table):
    close = np.stack([make_table(200, seed)["close"] for seed in range(3)])
    simulated = simulate(tf.constant(close, tf.float32), (1, 5), LEVELS)
    assert (np.diff(simulated, axis=-1) >= 0).all()
    np.testing.assert_allclose(simulate(tf.constant(close * 100, tf.float32), (1, 5), LEVELS), simulated, atol=1e-5)


def test_a_window_that_is_too_short():
    with pytest.raises(ValueError, match="need windows of 54 rows"):
        simulate(tf.ones([1, 53]), (20,), LEVELS)
