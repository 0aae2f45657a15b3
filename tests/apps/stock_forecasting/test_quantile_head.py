"""Quantiles do not cross, whatever the weights."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.stock_forecasting.metrics import LEVELS
from apps.stock_forecasting.quantile_head import QuantileHead


def answer(head: QuantileHead, rows: int = 4, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    state, direct = (tf.constant(random.normal(size=(rows, 2, width)), tf.float32) for width in (3, 5))
    return head([state, direct], log_scale=tf.constant(random.normal(size=(rows, 2)), tf.float32)).numpy()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 1.0, 5.0]))
def test_they_never_cross(seed, size):
    head = QuantileHead(4, LEVELS)
    answer(head)
    random = np.random.default_rng(seed)
    head.set_weights([random.normal(0, size, weight.shape) for weight in head.get_weights()])
    assert (np.diff(answer(head, seed=seed), axis=-1) >= 0).all()


def test_untrained_it_answers_what_a_normal_walk_would():
    head = QuantileHead(9, LEVELS)
    zero, scale = tf.zeros([1, 1, 3]), tf.fill([1, 1], np.log(0.02).astype(np.float32))
    found = head([zero, zero], log_scale=scale)[0, 0]
    wanted = 0.02 * np.sqrt(np.arange(1, 10))[:, None] * scipy.stats.norm.ppf(LEVELS)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)


def test_its_unit_goes_through():
    head = QuantileHead(2, LEVELS)
    state = tf.ones([1, 1, 3])
    one, ten = (head([state, state], log_scale=tf.fill([1, 1], float(np.log(unit)))) for unit in (1, 10))
    np.testing.assert_allclose(ten, 10 * one, rtol=1e-5)


def test_levels_need_a_median():
    with pytest.raises(ValueError, match=r"0\.5"):
        QuantileHead(2, (0.1, 0.9))


def test_it_is_saved_with_its_settings():
    head = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(QuantileHead(3, LEVELS)))
    assert (head.horizon, head.levels) == (3, LEVELS)
