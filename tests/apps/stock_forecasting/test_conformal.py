"""Conformal calibration: coverage on rows like the calibration's, coverage over time on others, no look-ahead."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.stock_forecasting.conformal import adaptive_conformal, apply_conformal, conformal_quantile, fit_conformal
from apps.stock_forecasting.metrics import covered

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


def forecasts(count, horizon=2, seed=0, factor=1.0):
    """Normal targets of varying deviation, and quantiles that are too wide or narrow by a factor."""
    chooser = np.random.default_rng(seed)
    deviation = np.exp(chooser.normal(size=(count, horizon)))
    quantiles = deviation[..., None] * factor * scipy.stats.norm.ppf(LEVELS)
    return quantiles, deviation * chooser.normal(size=(count, horizon))


def times(count, horizon=2):
    return np.arange(count), np.arange(count)[:, None] + np.arange(1, horizon + 1)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
def test_split_conformal_covers_what_it_says(factor, confidence):
    scores = fit_conformal(*forecasts(4000, factor=factor), LEVELS)
    quantiles, targets = forecasts(4000, seed=1, factor=factor)
    calibrated = apply_conformal(quantiles, scores)
    np.testing.assert_allclose(covered(calibrated, targets, LEVELS, confidence).mean(axis=0), confidence, atol=0.025)
    assert (np.diff(calibrated, axis=-1) >= 0).all()
    np.testing.assert_array_equal(calibrated[..., 3], quantiles[..., 3])


def test_coverage_on_few_rows_is_at_least_what_is_promised():
    # Romano et al., theorem 1: 1 − α ≤ coverage ≤ 1 − α + 1 / (n + 1), on average over calibrations.
    inside = []
    for seed in range(300):
        scores = fit_conformal(*forecasts(19, 1, seed, factor=0.3), LEVELS)
        quantiles, targets = forecasts(20, 1, 1000 + seed, factor=0.3)
        inside.append(covered(apply_conformal(quantiles, scores), targets, LEVELS, 0.8).mean())
    assert 0.785 < np.mean(inside) < 0.865


@given(st.integers(1, 60), st.floats(-0.5, 1.5))
def test_the_quantile_is_the_rank_of_the_paper(count, miss):
    scores = np.arange(1.0, count + 1)
    quantile = conformal_quantile(scores, miss)
    rank = (count + 1) * (1 - miss)
    assert quantile == pytest.approx(np.clip(np.ceil(rank - 1e-9), 1, count))


def test_the_score_is_that_of_the_paper():
    quantiles, targets = np.array([[[0.0, 1.0, 2.0]]] * 3), np.array([[5.0], [1.5], [-1.0]])
    scores = fit_conformal(quantiles, targets, (0.1, 0.5, 0.9))
    # Outside by 3, inside by a half, outside by 1; the scale is the width of 2.
    np.testing.assert_allclose(scores.sorted, [[[-0.25, 0.5, 1.5]]])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100), st.integers(1, 4), st.integers(2, 120))
def test_a_rate_of_zero_never_adapts(seed, horizon, count):
    scores = fit_conformal(*forecasts(50, horizon, seed, 0.7), LEVELS)
    quantiles, targets = forecasts(count, horizon, seed + 1, 0.7)
    calibrated = adaptive_conformal(quantiles, targets, scores, *times(count, horizon), rate=0.0)
    np.testing.assert_array_equal(calibrated, apply_conformal(quantiles, scores))


def test_adaptation_mends_a_shift_that_calibration_did_not_see():
    scores = fit_conformal(*forecasts(1000), LEVELS)
    quantiles, targets = forecasts(4000, seed=1, factor=0.6)
    split = covered(apply_conformal(quantiles, scores), targets, LEVELS, 0.8).mean(axis=0)
    adaptive = adaptive_conformal(quantiles, targets, scores, *times(4000), rate=0.02)
    assert (split < 0.6).all()
    np.testing.assert_allclose(covered(adaptive, targets, LEVELS, 0.8).mean(axis=0), 0.8, atol=0.02)
    assert (np.diff(adaptive, axis=-1) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 59), st.integers(0, 20))
def test_no_forecast_changes_when_every_later_target_does(origin, seed):
    horizon, chooser = 4, np.random.default_rng(seed)
    scores = fit_conformal(*forecasts(40, horizon, 1, 0.5), LEVELS)
    quantiles, targets = forecasts(120, horizon, 2, 0.5)
    dates, known = (np.repeat(values, 2, axis=0) for values in times(60, horizon))  # two tickers
    order = chooser.permutation(120)  # rows may come in any order
    dates, known = dates[order], known[order]
    changed = np.where(known > origin, 10 * chooser.normal(size=known.shape), targets)
    before, after = (adaptive_conformal(quantiles, values, scores, dates, known, 0.1) for values in (targets, changed))
    np.testing.assert_array_equal(before[dates <= origin], after[dates <= origin])


def test_one_step_by_hand():
    # Two dates a row ahead: the first target is missed, so the second interval may miss less often.
    levels = (0.25, 0.75)
    calibration = np.linspace(0, 0.99, 99)[:, None]
    scores = fit_conformal(np.tile([-0.5, 0.5], (99, 1, 1)), calibration + 0.5, levels)
    quantiles, targets = np.tile([-0.5, 0.5], (2, 1, 1)), np.array([[9.0], [0.0]])
    calibrated = adaptive_conformal(quantiles, targets, scores, *times(2, 1), rate=0.1)
    # α is 0.5, then 0.5 + 0.1 (0.5 − 1) = 0.45: the 50th and 55th of 99 scores, with a width of 1.
    ordered = np.sort(calibration[:, 0])
    np.testing.assert_allclose(calibrated[:, 0, 1], 0.5 + ordered[[49, 54]])


def test_what_cannot_be_calibrated():
    quantiles, targets = forecasts(5)
    with pytest.raises(ValueError, match="symmetric"):
        fit_conformal(quantiles[..., :2], targets, (0.1, 0.5))
    with pytest.raises(ValueError, match="no row"):
        fit_conformal(quantiles[:0], targets[:0], LEVELS)
    dates, known = times(5)
    with pytest.raises(ValueError, match="known at its origin"):
        adaptive_conformal(quantiles, targets, fit_conformal(quantiles, targets, LEVELS), dates, known - 1)
