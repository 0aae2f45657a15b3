"""The decoders: the formulas of the papers, step by step and all at once, padding, precision, gradients, files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers.builders import CELLS, attention_decoder

pytestmark = pytest.mark.slow

BATCH, STEPS, TIME, FEATURES, UNITS, WIDTH = 2, 4, 5, 3, 4, 6
KINDS = {
    "luong": ("luong", {}),
    "luong, input feeding": ("luong", {"input_feeding": True}),
    "luong, several heads": ("luong", {"attention": "multi_head"}),
    "bahdanau": ("bahdanau", {}),
    "bahdanau, gate": ("bahdanau", {"gate": True}),
    "conditional": ("conditional", {}),
    "bahdanau, several heads": ("bahdanau", {"attention": "multi_head"}),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def decoder_of(kind, cell="gru", layers=1, dropout=0.0):
    keras.utils.set_random_seed(3)
    name, options = KINDS[kind]
    return attention_decoder(name, cell, UNITS, layers, dropout=dropout, **options)


def arguments(dtype="float32"):
    """Inputs, a memory and its summary."""
    generator = np.random.default_rng(0)
    shapes = (BATCH, STEPS, FEATURES), (BATCH, TIME, WIDTH), (BATCH, WIDTH)
    return [tf.constant(generator.normal(size=shape), dtype) for shape in shapes]


@pytest.fixture
def double_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(kind=st.sampled_from(sorted(KINDS)), cell=st.sampled_from(sorted(CELLS)), layers=st.integers(1, 2))
def test_step_by_step_equals_teacher_forcing(kind, cell, layers):
    decoder = decoder_of(kind, cell, layers, dropout=0.5)
    inputs, memory, summary = arguments()
    mask = tf.sequence_mask([TIME, 2], TIME)
    outputs, after, weights = decoder(inputs, memory, summary, memory_mask=mask)
    assert outputs.shape == (BATCH, STEPS, decoder.units)
    states, projected = decoder.begin(memory, summary, mask)
    for t in range(STEPS):
        output, states, row = decoder.step(inputs[:, t], states, projected)
        np.testing.assert_allclose(output, outputs[:, t], atol=1e-5)
        np.testing.assert_allclose(row, weights[..., t, :], atol=1e-5)
    for actual, wanted in zip(states, after, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)


@each_kind
def test_a_beam_search_can_gather_rows(kind):
    decoder = decoder_of(kind, "lstm")
    inputs, memory, summary = arguments()
    decoder(inputs, memory, summary)
    begun = decoder.begin(memory, summary, tf.sequence_mask([TIME, 2], TIME))
    output, states, weights = decoder.step(inputs[:, 0], *begun)
    rows = tf.constant([1, 1, 0, 1])
    gathered = tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), begun)
    actual = decoder.step(tf.gather(inputs[:, 0], rows), *gathered)
    for beams, row in zip(tf.nest.flatten(actual), [output, *states, weights], strict=True):
        np.testing.assert_allclose(beams, tf.gather(row, rows), atol=1e-6)


def test_the_bahdanau_decoder_is_that_of_the_paper(double_precision):
    decoder = decoder_of("bahdanau, gate", "simple_rnn")
    inputs, memory, summary = (keras.ops.convert_to_numpy(argument) for argument in arguments("float64"))
    outputs, _, _ = decoder(inputs, memory, summary)
    (w_bridge, b_bridge), (w_readout,) = decoder.bridge.get_weights(), decoder.readout.get_weights()
    (kernel, recurrent, bias), (w_gate, b_gate) = decoder.stack.get_weights(), decoder.gate.get_weights()
    w, u, v = decoder.attention.get_weights()
    h = np.tanh(summary @ w_bridge + b_bridge)
    for t in range(STEPS):
        scores = np.exp(np.tanh((h @ w)[:, None] + memory @ u) @ v)
        context = (scores / scores.sum(1, keepdims=True) * memory).sum(1) / (1 + np.exp(-(h @ w_gate + b_gate)))
        h = np.tanh(np.concatenate([inputs[:, t], context], -1) @ kernel + h @ recurrent + bias)
        wanted = np.tanh(np.concatenate([inputs[:, t], h, context], -1) @ w_readout)
        np.testing.assert_allclose(outputs[:, t], wanted, atol=1e-7)


def test_the_conditional_decoder_is_that_of_the_paper(double_precision):
    decoder = decoder_of("conditional", "simple_rnn")
    inputs, memory, summary = (keras.ops.convert_to_numpy(argument) for argument in arguments("float64"))
    outputs, _, _ = decoder(inputs, memory, summary)
    (w_bridge, b_bridge), (w_readout,) = decoder.bridge.get_weights(), decoder.readout.get_weights()
    first, second = (transition.get_weights() for transition in (decoder.first, decoder.second))
    w, u, v = decoder.attention.get_weights()
    h = np.tanh(summary @ w_bridge + b_bridge)
    for t in range(STEPS):
        between = np.tanh(inputs[:, t] @ first[0] + h @ first[1] + first[2])
        scores = np.exp(np.tanh((between @ w)[:, None] + memory @ u) @ v)
        context = (scores / scores.sum(1, keepdims=True) * memory).sum(1)
        h = np.tanh(context @ second[0] + between @ second[1] + second[2])
        wanted = np.tanh(np.concatenate([inputs[:, t], h, context], -1) @ w_readout)
        np.testing.assert_allclose(outputs[:, t], wanted, atol=1e-7)


@pytest.mark.parametrize("kind", ["luong", "luong, input feeding"])
def test_the_luong_decoder_is_that_of_the_paper(kind, double_precision):
    decoder = decoder_of(kind, "simple_rnn")
    inputs, memory, summary = (keras.ops.convert_to_numpy(argument) for argument in arguments("float64"))
    outputs, _, _ = decoder(inputs, memory, summary)
    (w_bridge, b_bridge), (w_readout,) = decoder.bridge.get_weights(), decoder.readout.get_weights()
    (kernel, recurrent, bias), (w,) = decoder.stack.get_weights(), decoder.attention.get_weights()
    h, attentional = np.tanh(summary @ w_bridge + b_bridge), np.zeros((BATCH, UNITS))
    for t in range(STEPS):
        x = np.concatenate([inputs[:, t], attentional], -1) if decoder.input_feeding else inputs[:, t]
        h = np.tanh(x @ kernel + h @ recurrent + bias)
        scores = np.exp((memory @ w) @ h[:, :, None])
        context = (scores / scores.sum(1, keepdims=True) * memory).sum(1)
        attentional = np.tanh(np.concatenate([context, h], -1) @ w_readout)
        np.testing.assert_allclose(outputs[:, t], attentional, atol=1e-7)


@each_kind
def test_padding_of_the_memory_is_as_if_it_were_not_there(kind):
    decoder = decoder_of(kind)
    inputs, memory, summary = arguments()
    mask = tf.sequence_mask([3, 3], TIME)
    garbage = tf.where(mask[..., None], memory, 1e3)
    outputs, _, weights = decoder(inputs, garbage, summary, memory_mask=mask)
    alone, _, shares = decoder(inputs, memory[:, :3], summary)
    np.testing.assert_allclose(outputs, alone, atol=1e-5)
    np.testing.assert_allclose(weights[..., :3], shares, atol=1e-5)
    np.testing.assert_array_equal(weights[..., 3:], 0)


@each_kind
def test_what_follows_changes_nothing_before(kind):
    decoder = decoder_of(kind)
    inputs, *rest = arguments()
    later = tf.concat([inputs[:, :2], inputs[:, 2:] + 1], axis=1)
    outputs, changed = decoder(inputs, *rest)[0], decoder(later, *rest)[0]
    np.testing.assert_allclose(changed[:, :2], outputs[:, :2], atol=1e-6)
    assert np.abs(changed[:, 2:] - outputs[:, 2:]).max() > 1e-3


def test_a_closed_gate_shuts_out_the_memory():
    decoder = decoder_of("bahdanau, gate")
    inputs, memory, summary = arguments()
    outputs, _, _ = decoder(inputs, memory, summary)
    assert np.abs(decoder(inputs, memory + 1, summary)[0] - outputs).max() > 1e-3
    decoder.gate.bias.assign([-1e3])
    np.testing.assert_array_equal(decoder(inputs, memory, summary)[0], decoder(inputs, memory + 1, summary)[0])


@each_kind
def test_in_a_graph_of_unknown_sizes_results_and_gradients_are_the_same(kind):
    decoder = decoder_of(kind)
    given = arguments()
    decoder(*given)

    def compute(inputs, memory, summary):
        with tf.GradientTape() as tape:
            outputs, _, weights = decoder(inputs, memory, summary, training=True)
            loss = tf.reduce_sum(tf.sin(outputs)) + tf.reduce_sum(weights**2)
        return outputs, tape.gradient(loss, [variable.value for variable in decoder.trainable_variables])

    specs = [tf.TensorSpec([None] * (len(x.shape) - 1) + [x.shape[-1]]) for x in given]
    graph = tf.function(compute, input_signature=specs)
    for actual, wanted in zip(tf.nest.flatten(graph(*given)), tf.nest.flatten(compute(*given)), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-4)
    assert graph(given[0][:, :1], *given[1:])[0].shape == (BATCH, 1, UNITS)


@pytest.mark.parametrize("kind", ["luong", "luong, input feeding", "bahdanau, gate"])
def test_gradients_are_the_numerical_differences(kind, double_precision):
    decoder = decoder_of(kind)
    inputs, memory, summary = arguments("float64")
    given = inputs[:1, :2], memory[:1, :3], summary[:1]
    decoder(*given)
    loss = tf.function(lambda *given: tf.reduce_sum(tf.sin(decoder(*given)[0])))
    for by_hand, numerical in zip(*tf.test.compute_gradient(loss, given, delta=1e-5), strict=True):
        np.testing.assert_allclose(by_hand, numerical, rtol=1e-5, atol=1e-7)


@each_kind
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(kind, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    decoder = decoder_of(kind, "lstm")
    keras.config.set_dtype_policy(before)
    inputs, memory, summary = arguments()
    mask = tf.sequence_mask([0, 3], TIME)
    decoder(inputs, memory, summary, memory_mask=mask)
    with tf.GradientTape() as tape:
        outputs, states, weights = decoder(inputs, memory, summary, memory_mask=mask, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, "float32") ** 2)
    assert {part.dtype.name for part in (outputs, weights, *states)} == {policy.removeprefix("mixed_")}
    gradients = tape.gradient(loss, [variable.value for variable in decoder.trainable_variables])
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@each_kind
def test_dropout_is_between_layers_and_in_training_only(kind):
    decoder = decoder_of(kind, layers=2, dropout=0.5)
    given = arguments()
    decoder(*given)
    training = tf.function(lambda *given: decoder(*given, training=True)[0])
    np.testing.assert_array_equal(decoder(*given)[0], decoder(*given)[0])
    assert np.abs(training(*given) - decoder(*given)[0]).max() > 1e-3
    assert np.abs(training(*given) - training(*given)).max() > 1e-3


@each_kind
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_saved_decoder_opens_as_it_was(kind, tmp_path):
    inputs = keras.Input([None, FEATURES]), keras.Input([None, WIDTH]), keras.Input([WIDTH])
    outputs, states, weights = decoder_of(kind, "lstm", 2, dropout=0.5)(*inputs)
    model = keras.Model(inputs, [outputs, *states, weights])
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    for actual, wanted in zip(opened(arguments()), model(arguments()), strict=True):
        np.testing.assert_array_equal(actual, wanted)
