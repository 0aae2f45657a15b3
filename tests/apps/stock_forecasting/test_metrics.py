"""Metrics against closed forms, scikit-learn's own, and what a calibrated forecast must give."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mean_pinball_loss

from apps.stock_forecasting import metrics
from apps.stock_forecasting.config import LEVELS
from apps.stock_forecasting.metrics import (
    coverage_by_year,
    covered,
    crps,
    direction,
    interval,
    mase,
    naive_scale,
    pinball,
    pit,
    rmsse,
    skill,
    width,
)

NUMBERS, WHOLE = st.floats(-10, 10), st.integers(-4, 4)


def normal_quantiles(means, deviation=1.0, levels=LEVELS):
    return np.asarray(means)[..., None] + deviation * scipy.stats.norm.ppf(levels)


@given(arrays(np.float64, (5, 2, 3), elements=NUMBERS), arrays(np.float64, (5, 2), elements=NUMBERS))
def test_pinball_is_that_of_scikit_learn(quantiles, targets):
    levels = (0.1, 0.5, 0.8)
    scores = pinball(quantiles, targets, levels)
    for place, level in enumerate(levels):
        expected = mean_pinball_loss(targets[:, 1], quantiles[:, 1, place], alpha=level)
        assert scores[:, 1, place].mean() == pytest.approx(expected)
    np.testing.assert_allclose(scores[..., 1], np.abs(targets - quantiles[..., 1]) / 2)


def test_pinball_is_least_at_the_quantile():
    targets = np.random.default_rng(0).normal(size=(20_000, 1))
    shifts = np.linspace(-0.3, 0.3, 7)
    losses = [pinball(normal_quantiles(np.full((20_000, 1), shift)), targets, LEVELS).mean(axis=0) for shift in shifts]
    assert (np.argmin(losses, axis=0) == 3).all()


def test_crps_of_normal_forecasts_is_the_closed_form():
    # Gneiting and Raftery (2007), equation 21.
    levels = (np.arange(999) + 1) / 1000
    targets = np.array([[-2.0, 0.3, 1.5]])
    scores = crps(normal_quantiles(np.zeros((1, 3)), 0.7, levels), targets, levels)
    z = targets / 0.7
    normal = scipy.stats.norm
    expected = 0.7 * (z * (2 * normal.cdf(z) - 1) + 2 * normal.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(scores, expected, rtol=1e-3)
    np.testing.assert_allclose(crps(normal_quantiles(np.zeros((1, 3)), 0.7), targets, LEVELS), expected, rtol=0.02)


@given(arrays(np.float64, (4, 2), elements=NUMBERS), arrays(np.float64, (4, 2), elements=NUMBERS))
def test_crps_of_a_certain_forecast_is_the_absolute_error(forecasts, targets):
    scores = crps(np.repeat(forecasts[..., None], len(LEVELS), axis=-1), targets, LEVELS)
    np.testing.assert_allclose(scores, np.abs(forecasts - targets), atol=1e-12)


def test_weighted_quantile_loss_by_hand():
    # Losses at 0.5: 1 and 0.5; at 0.9: 0.1 and 0.2. Targets add up to 10.
    quantiles, targets = np.array([[[2.0, 5.0]], [[7.0, 8.0]]]), np.array([[4.0], [6.0]])
    assert metrics.weighted_quantile_loss(quantiles, targets, (0.5, 0.9)) == pytest.approx(2 * (1.5 + 0.3) / 2 / 10)


@pytest.mark.parametrize(
    ("shapes", "levels"),
    [
        (((3, 2, 2), (3, 1)), (0.1, 0.9)),
        (((3, 2, 2), (3, 2)), (0.1, 0.5, 0.9)),
        (((0, 2, 2), (0, 2)), (0.1, 0.9)),
        (((3, 2, 2), (3, 2)), (0.9, 0.1)),
        (((3, 2, 2), (3, 2)), (0.0, 0.9)),
    ],
)
def test_what_does_not_fit_is_refused(shapes, levels):
    with pytest.raises(ValueError, match=r"need quantiles|levels rise"):
        pinball(*map(np.zeros, shapes), levels)


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        pinball(np.full((1, 1, 1), np.nan), np.zeros((1, 1)), (0.5,))


class TestScaled:
    def test_the_naive_forecast_scores_one_on_the_history_itself(self):
        values = np.cumsum(np.random.default_rng(0).normal(size=500))
        absolute, squared = naive_scale(values)
        forecasts, targets = values[:-1, None], values[1:, None]
        np.testing.assert_allclose(mase(forecasts, targets, absolute), [1])
        np.testing.assert_allclose(rmsse(forecasts, targets, squared), [1])
        assert naive_scale(np.tile([1.0, 5.0, 2.0], 5) + np.arange(15), season=3) == (3, 3)

    def test_every_ticker_has_its_own_scale(self):
        forecasts, targets = np.zeros((2, 2)), np.array([[1.0, 2.0], [10.0, 40.0]])
        np.testing.assert_allclose(mase(forecasts, targets, np.array([1.0, 10.0])), [1, 3])
        np.testing.assert_allclose(rmsse(forecasts, targets, np.array([1.0, 10.0])), [1, np.sqrt(10)])

    def test_what_cannot_scale_is_refused(self):
        for values in (np.ones(10), np.ones(1)):
            with pytest.raises(ValueError, match="to scale errors by"):
                naive_scale(values)
        with pytest.raises(ValueError, match="need forecasts and targets"):
            mase(np.zeros((2, 1)), np.zeros((2, 2)), 1.0)


class TestCoverage:
    @pytest.fixture
    def calibrated(self):
        chooser = np.random.default_rng(0)
        means = chooser.normal(size=(8000, 2))
        return normal_quantiles(means), means + chooser.normal(size=(8000, 2))

    @pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
    def test_calibrated_intervals_cover_what_they_say(self, calibrated, confidence):
        quantiles, targets = calibrated
        np.testing.assert_allclose(covered(quantiles, targets, LEVELS, confidence).mean(axis=0), confidence, atol=0.015)
        expected = 2 * scipy.stats.norm.ppf((1 + confidence) / 2)
        np.testing.assert_allclose(width(quantiles, LEVELS, confidence), expected)

    def test_pit_of_calibrated_forecasts_is_uniform(self, calibrated):
        transformed = pit(*calibrated, LEVELS)
        counts, _ = np.histogram(transformed, bins=10, range=(0, 1))
        assert scipy.stats.chisquare(counts).pvalue > 0.001
        too_narrow = pit(calibrated[0] * 0.5, calibrated[1] * 1.0, LEVELS)
        counts, _ = np.histogram(too_narrow, bins=10, range=(0, 1))
        assert min(counts[0], counts[-1]) > 1.5 * counts[4]

    def test_pit_by_hand(self):
        quantiles = np.array([[[1.0, 2.0, 4.0]]])
        expected = {0: 0.05, 1: 0.1, 1.5: 0.3, 2: 0.5, 3: 0.7, 4: 0.9, 5: 0.95}
        for target, level in expected.items():
            assert pit(quantiles, np.array([[target]]), (0.1, 0.5, 0.9)).item() == pytest.approx(level)
        certain = np.full((1, 1, 3), 2.0)
        for target, level in {1: 0.05, 2: 0.5, 3: 0.95}.items():
            assert pit(certain, np.array([[target]]), (0.1, 0.5, 0.9)).item() == pytest.approx(level)

    @given(
        arrays(np.float64, (3, 2, 5), elements=st.integers(-3, 3)),
        arrays(np.float64, (3, 2), elements=st.integers(-4, 4)),
    )
    def test_pit_is_between_the_levels_around_the_target(self, quantiles, targets):
        levels = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
        quantiles = np.sort(quantiles, axis=-1)
        transformed = pit(quantiles, targets, levels)
        below = np.where(quantiles < targets[..., None], levels, 0).max(axis=-1)
        above = np.where(quantiles > targets[..., None], levels, 1).min(axis=-1)
        assert ((below < transformed) & (transformed < above)).all()

    def test_coverage_of_every_year(self):
        years = np.array([2014, 2013, 2014, 2014])
        inside = np.array([[True, True], [False, True], [False, True], [True, False]])
        assert coverage_by_year(inside, years) == {2013: 0.5, 2014: pytest.approx(4 / 6)}
        assert list(coverage_by_year(inside, years)) == [2013, 2014]

    def test_an_interval_needs_its_quantiles(self):
        with pytest.raises(ValueError, match=r"an interval of 0.9 needs a quantile at 0.05"):
            interval(np.zeros((1, 1, 2)), (0.1, 0.9), 0.9)


class TestDirection:
    def test_those_without_a_sign_do_not_count(self):
        measured = direction(np.array([1.0, -1, 0, 1, 1]), np.array([0.5, -2, 1, -1, 0]))
        assert (measured.accuracy, measured.forecasts) == (pytest.approx(2 / 3), 3)
        assert measured.low < 2 / 3 < measured.high
        none = direction(np.zeros(4), np.ones(4))
        assert np.isnan(none.accuracy)
        assert none[1:] == (0, 1, 0)

    def test_overlapping_returns_widen_the_interval(self):
        forecasts, targets = np.ones(1000), np.where(np.arange(1000) % 2, 1, -1)
        once, often = direction(forecasts, targets), direction(forecasts, targets, repeats=20)
        assert once.accuracy == often.accuracy == 0.5
        assert (often.high - often.low) / (once.high - once.low) == pytest.approx(np.sqrt(20), rel=0.05)
        # Wilson's interval of 500 in 1000.
        assert once.low == pytest.approx(0.4691, abs=1e-4)


def test_skill_is_the_share_of_the_loss_that_is_gone():
    np.testing.assert_allclose(skill(np.array([[1.0, 2], [3, 2]]), np.array([[2.0, 1], [3, 3]])), [0.2, 0])
