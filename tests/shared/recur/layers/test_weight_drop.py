"""Weight drop: the layer with a kernel that has holes, in training only."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers import regularization
from recur.layers.regularization import WeightDropLSTM
from recur.layers.stack import RecurrentStack

pytestmark = pytest.mark.slow

FEATURES, UNITS = 3, 5
KINDS = ("LSTM", "GRU", "SimpleRNN")
each_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind, rate=None, **options):
    """Returns a layer with weight drop, or Keras's where no rate is given; always with the same weights."""
    if rate is None:
        layer = getattr(keras.layers, kind)(UNITS, **options)
    else:
        layer = getattr(regularization, f"WeightDrop{kind}")(UNITS, weight_drop=rate, **options)
    layer.build((None, None, FEATURES))
    generator = np.random.default_rng(0)
    layer.set_weights([generator.normal(0, 0.4, weight.shape) for weight in layer.get_weights()])
    return layer


def inputs(batch=2, time=6):
    return np.random.default_rng(1).normal(size=(batch, time, FEATURES)).astype("float32")


@settings(max_examples=6, deadline=None)
@given(kind=st.sampled_from(KINDS), rate=st.floats(0.1, 0.7), seed=st.integers(0, 1000), unroll=st.booleans())
def test_it_is_the_layer_with_one_dropped_kernel_at_all_steps(kind, rate, seed, unroll):
    # Unrolled, Keras runs the loop; otherwise the fast one runs.
    layer = make(kind, rate, seed=seed, unroll=unroll, return_sequences=True)
    plain = make(kind, unroll=unroll, return_sequences=True)
    kernel = np.asarray(layer.cell.recurrent_kernel)
    dropped = np.asarray(keras.random.dropout(kernel, rate, seed=keras.random.SeedGenerator(seed)))
    plain.cell.recurrent_kernel.assign(dropped)

    results_of_layer, results_of_plain = [], []
    for recurrent, results in ((layer, results_of_layer), (plain, results_of_plain)):
        with tf.GradientTape() as tape:
            outputs = recurrent(inputs(), mask=tf.sequence_mask([3, 6], 6), training=True)
            loss = tf.reduce_sum(tf.sin(outputs))
        gradients = tape.gradient(loss, [weight.value for weight in recurrent.trainable_variables])
        results += [outputs, *gradients]

    kept = dropped != 0
    names = [None, *(weight.name for weight in layer.trainable_variables)]
    for name, ours, theirs in zip(names, results_of_layer, results_of_plain, strict=True):
        through = kept / (1 - rate) if name == "recurrent_kernel" else 1
        np.testing.assert_allclose(ours, theirs * through, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(layer.cell.recurrent_kernel, kernel)


@each_kind
def test_nothing_is_dropped_at_inference_or_at_rate_zero(kind):
    plain = make(kind)(inputs())
    np.testing.assert_allclose(make(kind, 0.5)(inputs()), plain, atol=1e-6)
    np.testing.assert_allclose(make(kind, 0.0)(inputs(), training=True), plain, atol=1e-6)


@each_kind
@pytest.mark.parametrize("graph", [False, True])
def test_every_call_draws_and_the_seed_decides(kind, graph):
    first, again, other = (make(kind, 0.5, seed=seed) for seed in (7, 7, 8))

    def drawn(layer, call={}):  # noqa: B006 - one graph a layer
        if id(layer) not in call:
            call[id(layer)] = tf.function(layer) if graph else layer
        return np.asarray(call[id(layer)](inputs(), training=True))

    one, two = drawn(first), drawn(first)
    assert (one != two).any()
    np.testing.assert_array_equal(one, drawn(again))
    np.testing.assert_array_equal(two, drawn(again))
    assert (one != drawn(other)).any()


def test_it_goes_with_the_other_dropouts_and_half_precision():
    layer = make("LSTM", 0.5, seed=1, dropout=0.3, recurrent_dropout=0.3, dtype="mixed_bfloat16")
    again = make("LSTM", 0.5, seed=1, dropout=0.3, recurrent_dropout=0.3, dtype="mixed_bfloat16")
    one, two = layer(inputs(), training=True), layer(inputs(), training=True)
    assert one.dtype == "bfloat16"
    assert np.abs(tf.cast(one - two, "float32")).max() > 1e-3
    np.testing.assert_array_equal(one, again(inputs(), training=True))


def test_a_stateless_call_keeps_its_own_weights():
    layer = make("LSTM", 0.5, seed=1)
    other = [np.zeros(weight.shape, "float32") for weight in layer.trainable_variables]
    seeds = [np.asarray(variable) for variable in layer.non_trainable_variables]
    outputs, _ = layer.stateless_call(other, seeds, inputs(), training=True)
    assert not np.asarray(outputs).any()


@each_kind
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_saved_model_opens_as_it_was(kind, tmp_path):
    layer = make(kind, 0.3)
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert opened.layers[0].get_config() == layer.get_config()
    np.testing.assert_array_equal(opened(inputs()), model(inputs()))


def test_a_stack_holds_it_and_steps_without_dropping():
    options = {"return_sequences": True, "return_state": True}
    stack = RecurrentStack([make("LSTM", 0.5, **options)])
    whole, _ = stack(inputs())
    states = stack.zero_states(2)
    for t in range(6):
        output, states = stack.step(inputs()[:, t], states)
        np.testing.assert_allclose(output, whole[:, t], atol=1e-5)
    assert np.abs(stack(inputs(), training=True)[0] - whole).max() > 1e-2


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_learns(jit_compile):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(32, 5, 1)).astype("float32")
    model = keras.Sequential([keras.Input((None, 1)), WeightDropLSTM(8, weight_drop=0.2), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=jit_compile)
    losses = model.fit(x, x[:, -2], epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match=f"weight_drop is {rate}"):
        WeightDropLSTM(4, weight_drop=rate)
