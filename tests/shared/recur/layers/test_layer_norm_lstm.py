"""Layer-normalised LSTM: the equations, and everything a recurrent layer of Keras promises."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers.regularization import EPSILON, LayerNormLSTM
from recur.layers.stack import RecurrentStack

pytestmark = pytest.mark.slow

FEATURES, UNITS = 3, 5


def make(batch=None, **options):
    layer = LayerNormLSTM(UNITS, **options)
    layer.build((batch, None, FEATURES))
    generator = np.random.default_rng(0)
    layer.set_weights([generator.normal(0, 0.6, weight.shape) for weight in layer.get_weights()])
    return layer


def inputs(batch=2, time=6, dtype="float32"):
    return np.random.default_rng(1).normal(size=(batch, time, FEATURES)).astype(dtype)


def by_hand(layer, x, mask=None):
    """Ba et al. 2016, equations 20 to 22, one sequence after another."""
    weight = {w.name: np.asarray(w, "float64") for w in layer.weights}

    def norm(a, gain, shift=0.0):
        return gain * (a - a.mean()) / np.sqrt(a.var() + EPSILON) + shift

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    outputs, states = np.zeros((*x.shape[:2], UNITS)), np.zeros((2, len(x), UNITS))
    for row in range(len(x)):
        h, c = np.zeros(UNITS), np.zeros(UNITS)
        for t in range(x.shape[1]):
            if mask is None or mask[row, t]:
                z = norm(x[row, t] @ weight["kernel"], weight["input_gain"])
                z = z + norm(h @ weight["recurrent_kernel"], weight["recurrent_gain"]) + weight["bias"]
                i, f, g, o = np.split(z, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(norm(c, weight["cell_gain"], weight["cell_shift"]))
            outputs[row, t] = h
        states[:, row] = h, c
    return outputs, states


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_it_is_the_equations_of_the_paper(data):
    batch, time = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 6))
    rows = st.lists(st.booleans(), min_size=time, max_size=time)
    mask = np.array(data.draw(st.lists(rows, min_size=batch, max_size=batch)))
    mask = mask if data.draw(st.booleans()) else None
    layer = make(return_sequences=True, return_state=True, dtype="float64", unroll=data.draw(st.booleans()))
    x = inputs(batch, time, "float64")
    outputs, *states = layer(x, mask=None if mask is None else tf.constant(mask))
    wanted, wanted_states = by_hand(layer, x, mask)
    np.testing.assert_allclose(outputs, wanted, atol=1e-12)
    np.testing.assert_allclose(np.stack(states), wanted_states, atol=1e-12)


def test_the_cell_alone_does_what_the_layer_does():
    layer = make(return_sequences=True)
    x = inputs()
    states = layer.get_initial_state(2)
    for t, wanted in enumerate(tf.unstack(layer(x), axis=1)):
        output, states = layer.cell(x[:, t], states)
        np.testing.assert_allclose(output, wanted, atol=1e-6)


def test_reading_in_two_parts_with_the_state_carried_equals_reading_at_once():
    layer, x = make(return_sequences=True, return_state=True), inputs()
    whole, *final = layer(x)
    first, *states = layer(x[:, :2])
    second, *after = layer(x[:, 2:], initial_state=states)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-6)
    np.testing.assert_allclose(np.stack(after), np.stack(final), atol=1e-6)


def test_a_stateful_layer_carries_on():
    stateful, layer, x = make(batch=2, stateful=True), make(), inputs()
    stateful(x[:, :2])
    np.testing.assert_allclose(stateful(x[:, 2:]), layer(x), atol=1e-6)
    stateful.reset_state()
    np.testing.assert_allclose(stateful(x), layer(x), atol=1e-6)


def test_backwards_is_the_reversed_sequence():
    backwards, forwards = make(return_sequences=True, go_backwards=True), make(return_sequences=True)
    np.testing.assert_allclose(backwards(inputs()), forwards(inputs()[:, ::-1]), atol=1e-6)


def test_masked_outputs_follow_keras():
    mask = tf.constant([[True, True, False, False]])
    x = inputs(1, 4)
    shown, zeros = (
        np.asarray(make(return_sequences=True, zero_output_for_mask=zero)(x, mask=mask)) for zero in (False, True)
    )
    np.testing.assert_array_equal(shown[:, 2:], shown[:, [1, 1]])
    assert not zeros[:, 2:].any()


def test_scaling_the_inputs_product_changes_next_to_nothing():
    layer = make(use_bias=False)
    before = layer(inputs())
    layer.cell.kernel.assign(layer.cell.kernel * 50)
    layer.cell.recurrent_kernel.assign(layer.cell.recurrent_kernel * 50)
    np.testing.assert_allclose(layer(inputs()), before, atol=2e-2)


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout"])
def test_dropout_is_drawn_in_training_only_and_by_its_seed(option):
    x = inputs()
    first, again, other = (make(**{option: 0.5}, seed=seed) for seed in (7, 7, 8))
    dropped, second, repeated, others = (np.asarray(layer(x, training=True)) for layer in (first, first, again, other))
    np.testing.assert_array_equal(dropped, repeated)
    for different in (np.asarray(first(x)), second, others):
        assert np.abs(dropped - different).max() > 1e-3
    np.testing.assert_array_equal(first(x), make()(x))


def test_recurrent_dropout_has_one_mask_for_all_steps():
    layer = make(recurrent_dropout=0.5, seed=7, return_sequences=True)
    mask = keras.random.dropout(tf.ones((2, UNITS)), 0.5, seed=keras.random.SeedGenerator(7))
    x, states, outputs = inputs(), layer.get_initial_state(2), []
    for t in range(x.shape[1]):
        output, states = layer.cell(x[:, t], [states[0] * mask, states[1]])
        outputs.append(output)
    np.testing.assert_allclose(layer(x, training=True), np.stack(outputs, axis=1), atol=1e-6)


def test_gradients_are_the_numerical_differences():
    layer, x = make(dtype="float64"), inputs(2, 3, "float64")
    variables = [weight.value for weight in layer.trainable_variables]

    def loss():
        return float(tf.reduce_sum(tf.sin(layer(x, training=True))))

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.sin(layer(x, training=True)))
    for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
        value, direction = variable.numpy(), np.random.default_rng(2).normal(size=variable.shape)
        ends = []
        for step in (1e-6, -1e-6):
            variable.assign(value + step * direction)
            ends.append(loss())
        variable.assign(value)
        np.testing.assert_allclose((ends[0] - ends[1]) / 2e-6, np.sum(gradient * direction), rtol=1e-6, atol=1e-8)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_saved_model_opens_as_it_was(tmp_path):
    stack = RecurrentStack([make(return_sequences=True, return_state=True, recurrent_dropout=0.1) for _ in range(1)])
    entrance = keras.Input([None, FEATURES])
    outputs, _ = stack(entrance)
    model = keras.Model(entrance, keras.layers.Bidirectional(LayerNormLSTM(2, activity_regularizer="l2"))(outputs))
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(opened(inputs()), model(inputs()))
    layer = stack.layers[0]
    assert LayerNormLSTM.from_config(layer.get_config()).get_config() == layer.get_config()


def test_a_stack_holds_it():
    options = {"return_sequences": True, "return_state": True}
    stack = RecurrentStack([LayerNormLSTM(UNITS, **options), LayerNormLSTM(4, **options)])
    x = inputs()
    whole, final = stack(x)
    assert whole.shape == (2, 6, 4)
    states = stack.zero_states(2)
    for t in range(x.shape[1]):
        output, states = stack.step(x[:, t], states)
        np.testing.assert_allclose(output, whole[:, t], atol=1e-6)
    for actual, wanted in zip(states, final, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-6)


def test_fit_learns_in_mixed_precision_and_exports(tmp_path):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(32, 5, 1)).astype("float32")
    layers = [LayerNormLSTM(8, dropout=0.01, recurrent_dropout=0.01, dtype="mixed_bfloat16"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((None, 1)), *layers])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    losses = model.fit(x, x[:, -2], epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    model.export(tmp_path / "export", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "export")
    np.testing.assert_allclose(loaded.serve(x), model(x), atol=1e-5)
