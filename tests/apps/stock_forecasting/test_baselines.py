"""Every baseline against what it is by definition; none knows the future."""

import numpy as np
import pytest
import scipy.stats
from arch import arch_model
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.stock_forecasting import volatility
from apps.stock_forecasting.baselines import drift, last_value, random_walk, seasonal_naive
from apps.stock_forecasting.volatility import Garch, ewma, fit_garch, garch, rolling_quantiles

LEVELS = (0.1, 0.5, 0.9)
FORECASTS = {
    "last value": last_value,
    "drift": drift,
    "random walk": lambda *given: random_walk(*given, window=50),
    "seasonal": lambda *given: seasonal_naive(*given, season=5),
    "ewma": ewma,
    "ewma empirical": lambda *given: ewma(*given, residuals="empirical"),
    "garch": lambda *given: garch(*given, fit_to=260),
    "garch empirical": lambda *given: garch(*given, fit_to=260, residuals="empirical"),
    "garch refitted": lambda *given: garch(*given, fit_to=260, refit_every=25),
}


@pytest.fixture(scope="module")
def log_prices(make_table):
    return np.log(make_table(400)["close"].to_numpy())


@pytest.mark.parametrize("name", FORECASTS)
def test_no_forecast_changes_when_every_later_price_does(log_prices, name):
    origins = np.arange(300, 360, 7)
    quantiles = FORECASTS[name](log_prices, origins, range(1, 9), LEVELS)
    assert quantiles.shape == (len(origins), 8, 3)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    for place, origin in enumerate(origins):
        changed = log_prices.copy()
        changed[origin + 1 :] += np.random.default_rng(place).normal(0, 1, len(changed) - origin - 1)
        after = FORECASTS[name](changed, origins, range(1, 9), LEVELS)
        np.testing.assert_array_equal(after[: place + 1], quantiles[: place + 1])


@pytest.mark.parametrize("name", FORECASTS)
def test_some_horizons_are_those_of_all(log_prices, name):
    origins = np.array([300, 350])
    every = FORECASTS[name](log_prices, origins, range(1, 9), LEVELS)
    np.testing.assert_array_equal(FORECASTS[name](log_prices, origins, (2, 7), LEVELS), every[:, [1, 6]])


@pytest.mark.parametrize("name", FORECASTS)
def test_the_level_of_prices_does_not_matter(log_prices, name):
    origins = np.array([300, 350])
    quantiles = [
        FORECASTS[name](prices, origins, range(1, 5), LEVELS) for prices in (log_prices, log_prices + np.log(1000))
    ]
    np.testing.assert_allclose(quantiles[1], quantiles[0], rtol=1e-4, atol=1e-7)


def test_certain_forecasts():
    log_prices, origins = np.array([0.0, 1.0, 3.0, 4.0, 8.0]), np.array([0, 2, 4])
    assert not last_value(log_prices, origins, range(1, 4), LEVELS).any()
    expected = np.array([0, 1.5, 2])[:, None] * [1, 2, 3]
    np.testing.assert_allclose(
        drift(log_prices, origins, range(1, 4), LEVELS), np.repeat(expected[..., None], 3, axis=-1)
    )
    seasonal = seasonal_naive(log_prices, origins[1:], range(1, 6), LEVELS, season=3)[..., 0]
    np.testing.assert_allclose(seasonal, [[-3, -2, 0, -3, -2], [-5, -4, 0, -5, -4]])
    np.testing.assert_array_equal(seasonal_naive(log_prices, origins, range(1, 6), LEVELS, season=1), 0)
    with pytest.raises(ValueError, match="a season of 4 rows"):
        seasonal_naive(log_prices, origins, range(1, 6), LEVELS, season=4)


@given(st.integers(20, 60), st.integers(1, 10), st.integers(40, 80))
def test_a_random_walk_repeats_what_was(window, horizon, origin):
    log_prices = np.cumsum(np.random.default_rng(window).normal(size=100))
    quantiles = random_walk(log_prices, np.array([origin]), (horizon,), LEVELS, window)[0, 0]
    ends = range(max(horizon, origin - window + 1), origin + 1)
    past = [log_prices[end] - log_prices[end - horizon] for end in ends]
    np.testing.assert_allclose(quantiles, np.quantile(past, LEVELS))


def test_quantiles_of_windows_that_are_not_full(monkeypatch):
    values, ends = np.random.default_rng(0).normal(size=80), np.array([79, 19, 30, 40])
    quantiles = rolling_quantiles(values, ends, 30, LEVELS)
    np.testing.assert_allclose(quantiles[1], np.quantile(values[:20], LEVELS))
    np.testing.assert_allclose(quantiles[2], np.quantile(values[1:31], LEVELS))
    monkeypatch.setattr(volatility, "TOGETHER", 1)
    np.testing.assert_array_equal(rolling_quantiles(values, ends, 30, LEVELS), quantiles)
    with pytest.raises(ValueError, match="need 20 past values for quantiles, got 19"):
        rolling_quantiles(values, np.array([18]), 30, LEVELS)
    with pytest.raises(ValueError, match="got 0"):
        rolling_quantiles(values, np.array([-1]), 30, LEVELS)


class TestEwma:
    def test_without_a_return_there_is_no_volatility(self, log_prices):
        with pytest.raises(ValueError, match="no return up to the first row"):
            ewma(log_prices, np.array([0, 5]), range(1, 3), LEVELS)

    def test_normal_quantiles_of_the_recursion(self, log_prices):
        quantiles = ewma(log_prices, np.array([390]), range(1, 5), LEVELS)[0]
        variance = 0.0
        for value in np.diff(log_prices)[:390]:
            variance = 0.94 * variance + 0.06 * value**2
        expected = np.sqrt(variance / (1 - 0.94**390) * np.arange(1, 5))[:, None] * scipy.stats.norm.ppf(LEVELS)
        np.testing.assert_allclose(quantiles, expected)

    def test_empirical_residuals_know_fat_tails(self):
        returns = np.random.default_rng(0).standard_t(3, 4000) * 0.01
        log_prices, origins, levels = np.cumsum(returns), np.arange(2000, 3990), (0.005, 0.995)
        following = returns[origins + 1]
        missed = {}
        for residuals in ("normal", "empirical"):
            low, high = np.moveaxis(ewma(log_prices, origins, (1,), levels, residuals)[:, 0], -1, 0)
            missed[residuals] = np.mean((following < low) | (following > high))
        assert abs(missed["empirical"] - 0.01) < 0.006
        assert missed["normal"] > 0.025

    def test_a_price_that_stands_still_has_some_variance(self):
        log_prices = np.zeros(100)
        for residuals in ("normal", "empirical"):
            quantiles = ewma(log_prices, np.array([90]), range(1, 3), LEVELS, residuals)
            assert np.isfinite(quantiles).all()
            assert np.abs(quantiles).max() < 1e-4


@pytest.fixture(scope="module")
def returns():
    """Of a GARCH(1,1) with planted parameters."""
    chooser, model = np.random.default_rng(0), Garch(5e-4, 2e-6, 0.1, 0.88, 1e-4)
    simulated, variance = [], model.start
    for shock in chooser.normal(size=3000):
        simulated.append(model.mean + np.sqrt(variance) * shock)
        variance = model.omega + model.alpha * (simulated[-1] - model.mean) ** 2 + model.beta * variance
    return np.array(simulated)


class TestGarch:
    def test_planted_parameters_are_found(self, returns):
        fitted = fit_garch(returns)
        assert fitted.alpha == pytest.approx(0.1, abs=0.03)
        assert fitted.beta == pytest.approx(0.88, abs=0.04)
        assert fitted.omega / (1 - fitted.alpha - fitted.beta) == pytest.approx(1e-4, rel=0.4)

    def test_variances_are_those_of_arch(self, returns):
        fitted = arch_model(100 * returns, rescale=False).fit(disp="off")
        own = fit_garch(returns)
        variances = np.concatenate([[own.start], own.variances(returns)])
        np.testing.assert_allclose(np.sqrt(variances[:-1]) * 100, fitted.conditional_volatility, rtol=1e-6)
        expected = fitted.forecast(horizon=10, reindex=False).variance.to_numpy()
        np.testing.assert_allclose(own.cumulative(variances[-1:], 10) * 1e4, np.cumsum(expected, axis=1), rtol=1e-6)

    def test_normal_quantiles(self, returns):
        log_prices = np.concatenate([[0.0], np.cumsum(returns)])
        quantiles = garch(log_prices, np.array([2500, 2999]), range(1, 4), LEVELS, fit_to=2000)
        model = fit_garch(returns[:2000])
        variance = model.cumulative(model.variances(returns)[[2499, 2998]], 3)
        expected = model.mean * np.arange(1, 4)[:, None] + np.sqrt(variance)[..., None] * scipy.stats.norm.ppf(LEVELS)
        np.testing.assert_allclose(quantiles, expected, rtol=1e-5)

    def test_parameters_are_fixed_or_fitted_again(self, returns, monkeypatch):
        seen = []
        monkeypatch.setattr(
            volatility, "fit_garch", lambda given: seen.append(len(given)) or Garch(0, 1e-6, 0.1, 0.8, 1)
        )
        log_prices, origins = np.concatenate([[0.0], np.cumsum(returns)]), np.arange(1000, 1600)
        garch(log_prices, origins, range(1, 3), LEVELS, fit_to=900)
        garch(log_prices, origins, range(1, 3), LEVELS, fit_to=900, refit_every=250)
        assert seen == [900, 900, 1250, 1500]

    def test_what_cannot_be_fitted(self, returns):
        with pytest.raises(ValueError, match="need 250 returns that vary"):
            fit_garch(returns[:249])
        with pytest.raises(ValueError, match="need 250 returns that vary"):
            fit_garch(np.zeros(300))
        with pytest.raises(ValueError, match="must not see rows after the first origin 300, got 301"):
            garch(np.cumsum(returns), np.array([300]), range(1, 3), LEVELS, fit_to=301)
        assert garch(np.cumsum(returns), np.array([], np.int64), range(1, 3), LEVELS, fit_to=301).shape == (0, 2, 3)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 0.3), st.floats(0.5, 0.7), st.integers(1, 30))
def test_garch_variances_approach_their_mean(alpha, beta, horizon):
    model = Garch(0.0, 1e-6, alpha, beta, 1e-5)
    mean = model.omega / (1 - alpha - beta) if alpha + beta < 1 else np.inf
    variances = model.cumulative(np.array([1e-5]), horizon)[0]
    if np.isfinite(mean) and alpha + beta < 0.99:
        power = (alpha + beta) ** np.arange(horizon)
        np.testing.assert_allclose(variances, np.cumsum(mean + power * (1e-5 - mean)))
    assert (np.diff(variances, prepend=0) > 0).all()
