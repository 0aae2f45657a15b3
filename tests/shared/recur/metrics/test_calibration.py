"""Calibration error by hand and on answers calibrated by construction; temperatures that help or do nothing."""

import math

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from recur.metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
    reliability,
    with_temperature,
)

pytestmark = pytest.mark.slow


@st.composite
def logits_and_labels(draw):
    shape = draw(st.integers(1, 40)), draw(st.integers(2, 4))
    logits = draw(arrays.arrays(np.float64, shape, elements=st.floats(-50, 50)))
    labels = draw(arrays.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))
    return logits, labels


def drawn(logits, seed=0):
    """Labels drawn from the probabilities that the logits say: perfectly calibrated."""
    cumulative = with_temperature(logits, 1.0).cumsum(axis=1)
    return (np.random.default_rng(seed).random((len(logits), 1)) > cumulative[:, :-1]).sum(axis=1)


def test_by_hand():
    # Confidences 0.9 (right), 0.9 (wrong), 0.6 (right): bins of a tenth. |1/2 - 0.9| * 2/3 + |1 - 0.6| * 1/3 = 0.4.
    probabilities = np.array([[0.1, 0.9], [0.1, 0.9], [0.6, 0.4]])
    table = reliability(probabilities, np.array([1, 0, 0]), bins=10)
    assert table.counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 2, 0]
    assert (table.accuracy[5], table.accuracy[8]) == (1.0, 0.5)
    assert np.isnan(table.confidence[0])
    assert expected_calibration_error(probabilities, np.array([1, 0, 0]), bins=10) == pytest.approx(0.4)


@settings(deadline=None)
@given(st.integers(2, 5), st.integers(0, 1000), st.booleans())
def test_calibrated_answers_have_nearly_no_error(classes, seed, equal_mass):
    logits = np.random.default_rng(seed).normal(size=(20_000, classes)) * 2
    error = expected_calibration_error(with_temperature(logits, 1.0), drawn(logits, seed), equal_mass=equal_mass)
    assert error < 0.03  # about sqrt(15 / n) / 2 for nothing but chance


def test_a_confident_constant_errs_by_its_excess():
    labels = np.arange(1000) % 2
    probabilities = np.tile([0.0, 1.0], (1000, 1))
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.5)
    assert expected_calibration_error(probabilities, labels, equal_mass=True) == pytest.approx(0.5)


@settings(deadline=None)
@given(logits_and_labels(), st.integers(1, 20), st.booleans())
def test_the_bins_hold_every_answer_within_their_edges(case, bins, equal_mass):
    logits, labels = case
    probabilities = with_temperature(logits, 1.0)
    table = reliability(probabilities, labels, bins, equal_mass)
    assert table.counts.sum() == len(labels)
    assert len(table.edges) == len(table.counts) + 1
    filled = table.counts > 0
    assert (table.confidence[filled] <= table.edges[1:][filled] + 1e-12).all()
    assert (table.confidence[filled] >= table.edges[:-1][filled] - 1e-12).all()
    right = probabilities.argmax(axis=1) == labels
    assert (table.accuracy * table.counts)[filled].sum() == pytest.approx(right.sum())
    assert 0 <= expected_calibration_error(probabilities, labels, bins, equal_mass) <= 1


def test_bins_of_equal_mass_hold_as_many_each():
    positive = np.linspace(0.5, 1.0, 1500)
    table = reliability(np.column_stack([1 - positive, positive]), np.ones(1500, int), equal_mass=True)
    assert table.counts.tolist() == [100] * 15


@settings(deadline=None)
@given(logits_and_labels(), st.floats(0.05, 20))
def test_scaling_never_changes_the_answer(case, temperature):
    logits = np.round(case[0], 3)  # nearer than a rounding error the order may be lost
    probabilities = with_temperature(logits, temperature)
    chosen = probabilities[np.arange(len(logits)), logits.argmax(axis=1)]
    assert (chosen == probabilities.max(axis=1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


@settings(deadline=None)
@given(logits_and_labels())
def test_the_fitted_temperature_never_worsens_the_log_loss(case):
    logits, labels = case
    temperature = fit_temperature(logits, labels)
    assert 0.05 * (1 - 1e-9) <= temperature <= 20 * (1 + 1e-9)
    classes = range(logits.shape[1])
    before, after = (log_loss(labels, with_temperature(logits, t), labels=classes) for t in (1.0, temperature))
    assert after <= before + 1e-9


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_made_the_logits_is_found(temperature):
    logits = np.random.default_rng(0).normal(size=(50_000, 3))
    assert fit_temperature(logits * temperature, drawn(logits)) == pytest.approx(temperature, rel=0.05)


def test_the_limits_of_the_temperature():
    logits, labels = np.array([[0.0, 3.0], [3.0, 0.0]]), np.array([1, 0])
    assert fit_temperature(logits, labels) == pytest.approx(0.05)
    assert fit_temperature(logits, 1 - labels) == pytest.approx(20.0)
    assert fit_temperature(np.zeros((2, 2)), labels) > 0
    assert fit_temperature(np.array([[1e8, 1e8 + 1], [0, 1]]), np.array([1, 0])) > 1


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (np.zeros((0, 2)), np.zeros(0, int)),
        (np.ones((3, 1)), np.zeros(3, int)),
        (np.zeros(3), np.zeros(3, int)),
        (np.zeros((3, 2)), np.zeros(2, int)),
        (np.zeros((3, 2)), np.array([0, 1, 2])),
        (np.zeros((3, 2)), np.array([0, 1, -1])),
        (np.zeros((3, 2)), np.array([0.0, 1.0, 0.5])),
        (np.full((3, 2), math.nan), np.zeros(3, int)),
        (np.full((3, 2), math.inf), np.zeros(3, int)),
    ],
)
def test_bad_input_is_refused(scores, labels):
    for function in (fit_temperature, expected_calibration_error):
        with pytest.raises(ValueError, match=r"labels|finite"):
            function(scores, labels)


def test_logits_are_not_taken_for_probabilities():
    with pytest.raises(ValueError, match="with_temperature"):
        reliability(np.array([[-1.0, 3.0]]), np.array([1]))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_is_positive(temperature):
    with pytest.raises(ValueError, match="positive"):
        with_temperature(np.zeros((1, 2)), temperature)
