"""The Diebold–Mariano test against statsmodels' HAC regression, its definition, and its size under the null."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.stock_forecasting.significance import average_by_date, diebold_mariano, newey_west


def losses_with_memory(count, horizon, seed):
    """Moving averages over as many rows as the horizon, as overlapping returns have them."""
    shocks = np.random.default_rng(seed).normal(size=count + horizon - 1)
    return np.convolve(shocks, np.ones(horizon), "valid")


@settings(max_examples=20, deadline=None)
@given(st.integers(30, 200), st.integers(1, 20), st.integers(0, 50))
def test_the_statistic_is_that_of_a_regression_on_a_constant(count, horizon, seed):
    difference = losses_with_memory(count, horizon, seed)
    result = diebold_mariano(difference + 5, np.full(count, 5.0), horizon)
    hac = {"maxlags": horizon - 1, "kernel": "bartlett", "use_correction": False}
    fitted = sm.OLS(difference, np.ones(count)).fit(cov_type="HAC", cov_kwds=hac)
    harvey = np.sqrt((count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count)
    assert result.difference == pytest.approx(difference.mean())
    assert result.statistic == pytest.approx(fitted.tvalues[0] * harvey, rel=1e-6)
    assert result.dates == count


def test_alternatives():
    better = losses_with_memory(200, 3, 0) * 0.1 + 1
    worse = better + 0.05 + losses_with_memory(200, 3, 1) * 0.05
    two_sided, less, greater = (diebold_mariano(better, worse, 3, way) for way in ("two-sided", "less", "greater"))
    assert two_sided.difference < 0
    assert less.p_value < 0.01 < 0.99 < greater.p_value
    assert less.p_value == pytest.approx(two_sided.p_value / 2)
    assert less.p_value + greater.p_value == pytest.approx(1)
    swapped = diebold_mariano(worse, better, 3, "greater")
    assert swapped.p_value == pytest.approx(less.p_value)


def test_equal_forecasts_are_rarely_called_different():
    p_values = [diebold_mariano(losses_with_memory(400, 5, seed), np.zeros(400), 5).p_value for seed in range(400)]
    # Bartlett's weights make the variance a little too small.
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.14


def test_no_difference_and_always_the_same():
    losses = np.random.default_rng(0).uniform(size=50)
    assert diebold_mariano(losses, losses, 5)[:3] == (0, 0, 1)
    result = diebold_mariano(np.ones(50), np.zeros(50), 5, "less")
    assert result[:3] == (1, np.inf, 1)


@pytest.mark.parametrize(
    ("losses", "others", "horizon"),
    [(np.ones(5), np.ones(4), 1), (np.ones((5, 2)), np.ones((5, 2)), 1), (np.ones(5), np.arange(5.0), 5)],
)
def test_what_cannot_be_compared(losses, others, horizon):
    with pytest.raises(ValueError, match=r"need finite losses|need more dates"):
        diebold_mariano(losses, others, horizon)


def test_a_loss_that_is_not_finite():
    with pytest.raises(ValueError, match="need finite losses"):
        diebold_mariano(np.array([1.0, np.nan, 2]), np.zeros(3), 1)


def test_long_run_variance_of_white_noise_is_its_variance():
    values = np.random.default_rng(0).normal(size=50_000)
    assert newey_west(values, 0) == pytest.approx(values.var())
    assert newey_west(values, 20) == pytest.approx(1, abs=0.05)
    assert newey_west(np.tile([1.0, -1.0], 50), 1) == pytest.approx(0.01, abs=0.02)
    assert newey_west(np.array([1.0, 2.0]), 10) >= 0


def test_losses_of_a_date_are_averaged():
    dates = np.array(["2013-01-03", "2013-01-02", "2013-01-03"], "datetime64[D]")
    days, means = average_by_date(np.array([[1.0, 2], [5, 6], [3, 8]]), dates)
    assert days.astype(str).tolist() == ["2013-01-02", "2013-01-03"]
    np.testing.assert_array_equal(means, [[5, 6], [2, 5]])
    np.testing.assert_array_equal(average_by_date(np.array([1.0, 5, 3]), dates)[1], [5, 2])
