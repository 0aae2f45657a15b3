"""Zoneout: the equations, the expectation, and LSTM where the rates are zero."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers.regularization import ZoneoutLSTM
from recur.layers.stack import RecurrentStack

pytestmark = pytest.mark.slow

FEATURES, UNITS = 3, 5
rates = st.floats(0, 1)


def make(h, c, units=UNITS, **options):
    """Returns a layer, and Keras's LSTM with its weights."""
    layers = [
        ZoneoutLSTM(units, zoneout_h=h, zoneout_c=c, **options),
        keras.layers.LSTM(units, **options),
    ]
    for layer in layers:
        layer.build((None, None, FEATURES))
    layers[0].set_weights(layers[1].get_weights())
    return layers


def inputs(batch=2, time=6):
    return np.random.default_rng(1).normal(size=(batch, time, FEATURES)).astype("float32")


@pytest.mark.parametrize("training", [False, True])
def test_without_zoneout_it_is_lstm(training):
    layer, lstm = make(0, 0, return_sequences=True, return_state=True)
    mask = tf.sequence_mask([3, 6], 6)
    for actual, wanted in zip(
        *(recurrent(inputs(), mask=mask, training=training) for recurrent in (layer, lstm)), strict=True
    ):
        np.testing.assert_allclose(actual, wanted, atol=1e-6)


@settings(max_examples=5, deadline=None)
@given(h=rates, c=rates, time=st.integers(1, 5))
def test_inference_mixes_the_states_by_the_rates(h, c, time):
    layer, lstm = make(h, c, return_sequences=True, return_state=True)
    x = inputs(2, time)
    outputs, *final = layer(x)
    states = [tf.zeros((2, UNITS))] * 2
    for t in range(time):
        _, new = lstm.cell(x[:, t], states)
        states = [rate * old + (1 - rate) * then for rate, old, then in zip((h, c), states, new, strict=True)]
        np.testing.assert_allclose(outputs[:, t], states[0], atol=1e-6)
    for actual, wanted in zip(final, states, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-6)


@settings(max_examples=5, deadline=None)
@given(h=rates, c=rates, seed=st.integers(0, 1000))
def test_in_training_every_unit_keeps_its_state_or_takes_the_new_one(h, c, seed):
    layer, lstm = make(h, c, units=200, seed=seed)
    x = inputs(10, 1)[:, 0]
    states = [tf.random.stateless_normal((10, 200), [part, 1]) for part in range(2)]
    _, actual = layer.cell(x, states, training=True)
    _, new = lstm.cell(x, states)
    for rate, before, then, after in zip((h, c), states, new, actual, strict=True):
        kept = np.isclose(after, before, atol=1e-6)
        assert (kept | np.isclose(after, then, atol=1e-6)).all()
        assert abs(kept.mean() - rate) < 5 * np.sqrt(0.25 / 2000)


def test_one_step_of_inference_is_the_mean_of_training():
    layer, _ = make(0.3, 0.6, return_state=True, seed=0)
    x = np.repeat(inputs(1, 1), 4000, axis=0)
    states = [tf.ones((4000, UNITS))] * 2
    drawn, expected = (layer(x, initial_state=states, training=training) for training in (True, False))
    for some, mean in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(np.mean(some, axis=0), mean[0], atol=0.06)


def test_at_rate_one_nothing_changes():
    layer, _ = make(1, 1)
    state = tf.random.stateless_normal((2, UNITS), [1, 1])
    for training in (False, True):
        np.testing.assert_allclose(layer(inputs(), initial_state=[state, state], training=training), state, atol=1e-6)


def test_masks_are_drawn_anew_for_every_step_unit_and_state():
    layer, _ = make(0.5, 0.5, units=50, return_sequences=True, return_state=True, seed=3)
    outputs = np.asarray(layer(inputs(2, 8), training=True)[0])
    kept = outputs[:, 1:] == outputs[:, :-1]
    assert 0.4 < kept.mean() < 0.6
    assert (kept[:, 1:] != kept[:, :-1]).mean() > 0.4
    assert (kept[0] != kept[1]).mean() > 0.4
    before = [tf.fill((2, 50), 9.0)] * 2
    _, after = layer.cell(inputs()[:, 0], before, training=True)
    kept_h, kept_c = (np.asarray(state) == 9 for state in after)
    assert 0.3 < (kept_h != kept_c).mean() < 0.7


@pytest.mark.parametrize("graph", [False, True])
def test_the_seed_decides(graph):
    first, again, other = (make(0.5, 0.5, seed=seed)[0] for seed in (7, 7, 8))
    again.set_weights(first.get_weights())
    other.set_weights(first.get_weights())

    def drawn(layer):
        return np.asarray((tf.function(layer) if graph else layer)(inputs(), training=True))

    one = drawn(first)
    np.testing.assert_array_equal(one, drawn(again))
    assert (one != drawn(other)).any()
    assert (one != drawn(first)).any()


def test_masked_steps_change_nothing_in_training():
    layer, _ = make(0.5, 0.5, seed=1)
    x, mask = inputs(), tf.sequence_mask([2, 2], 6)
    garbage = np.where(np.asarray(mask)[..., None], x, 100).astype("float32")
    again, _ = make(0.5, 0.5, seed=1)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x, mask=mask, training=True), again(garbage, mask=mask, training=True))


def test_carried_states_and_steps_equal_the_whole():
    stack = RecurrentStack([make(0.2, 0.4, return_sequences=True, return_state=True)[0]])
    x = inputs()
    whole, _ = stack(x)
    _, states = stack(x[:, :3])
    second, _ = stack(x[:, 3:], initial_state=states)
    np.testing.assert_allclose(second, whole[:, 3:], atol=1e-6)
    output, _ = stack.step(x[:, 3], states)
    np.testing.assert_allclose(output, whole[:, 3], atol=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_saved_model_opens_as_it_was(tmp_path):
    layer, _ = make(0.2, 0.4)
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(opened(inputs()), model(inputs()))
    assert opened.layers[0].get_config() == layer.get_config()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_learns(jit_compile):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(32, 5, 1)).astype("float32")
    model = keras.Sequential([keras.Input((None, 1)), ZoneoutLSTM(8, zoneout_c=0.1), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=jit_compile)
    losses = model.fit(x, x[:, -2], epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", ["zoneout_h", "zoneout_c"])
def test_a_rate_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} is 1\.5"):
        ZoneoutLSTM(4, **{name: 1.5})
