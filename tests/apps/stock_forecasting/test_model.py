"""The model: quantiles do not cross, whatever the weights; it learns, and opens what earlier versions saved."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.stock_forecasting.application import APPLICATION
from apps.stock_forecasting.assets import StockAssets
from apps.stock_forecasting.config import LEVELS, StockConfig
from apps.stock_forecasting.model import PinballLoss, QuantileForecaster, QuantileHead


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
    quantiles = head([zero, zero], log_scale=scale)[0, 0]
    wanted = 0.02 * np.sqrt(np.arange(1, 10))[:, None] * scipy.stats.norm.ppf(LEVELS)
    np.testing.assert_allclose(quantiles, wanted, rtol=1e-4, atol=1e-7)


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


def test_a_tiny_set_can_be_learnt_by_heart():
    """Windows that say which way the price will go: the loss falls far below what it was."""
    config = StockConfig(window=64, read=64, horizon=2, units=16, members=1, simulation=0.0, dropout=0.0)
    model = APPLICATION.task.build(config, StockAssets(("AAA",), (), ()))
    random = np.random.default_rng(0)
    signs = random.choice([-1, 1], 16)
    steps = random.normal(0, 0.01, (16, 64))
    steps[:, -1] = 0.02 * signs
    close = np.exp(np.cumsum(steps, axis=1)).astype(np.float32)
    wanted = (2.0 * signs[:, None, None] * np.array([1, 2])[None, None]).astype(np.float32)
    loss = PinballLoss()
    before = float(loss(wanted, model({"close": close}, training=True)))
    optimizer = tf.keras.optimizers.Adam(0.02)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(wanted, model({"close": tf.constant(close)}, training=True))
        optimizer.apply_gradients(
            zip(tape.gradient(value, model.trainable_variables), model.trainable_variables, strict=True)
        )

    for _ in range(120):
        step()
    assert float(loss(wanted, model({"close": close}, training=True))) < before / 5


def test_a_model_is_saved_with_its_settings_and_sizes(tmp_path):
    config = StockConfig(tickers=("AAA", "BBB"), horizon=3, units=4, features=("volume",), ticker_units=2, members=2)
    model = APPLICATION.task.build(config, StockAssets(("AAA", "BBB"), (), ()))
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert (opened.sizes["tickers"], opened.config.horizon, opened.config.features) == (2, 3, ("volume",))
    for mine, theirs in zip(model.get_weights(), opened.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_names_that_earlier_versions_have_for_settings():
    saved = {"horizon": 3, "groups": ["range"], "tickers": 2, "ticker_units": 0, "cell": "gru", "units": 4, "layers": 1}
    saved |= {"dropout": 0.1, "members": 1, "read": 64, "simulation": 0.5, "mean": [0.0] * 15, "variance": [4.0] * 15}
    model = QuantileForecaster.from_config(saved)
    assert (model.config.features, model.config.cell, model.sizes["tickers"]) == (("range",), "gru", 2)
    assert (model.deviation == 2).all()
