"""Attention: the formulas of the papers, padding, one step and many, gradients, files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers.attention import ATTENTIONS, attention

pytestmark = pytest.mark.slow

BATCH, STEPS, TIME, WIDTH, UNITS = 2, 3, 5, 8, 8
each_kind = pytest.mark.parametrize("kind", ATTENTIONS)


def softmax(scores):
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def bahdanau(query, memory, w, u, v):
    """Bahdanau, Cho & Bengio 2015, appendix A.1.2."""
    return softmax(np.tanh((query @ w)[:, :, None] + (memory @ u)[:, None]) @ v[:, 0]) @ memory


def luong_dot(query, memory):
    """Luong, Pham & Manning 2015, equation 8."""
    return softmax(query @ memory.swapaxes(1, 2)) @ memory


def luong_general(query, memory, w):
    """Luong, Pham & Manning 2015, equation 8."""
    return softmax(query @ (memory @ w).swapaxes(1, 2)) @ memory


def multi_head(query, memory, w_query, w_key, w_value, w_output, heads=4):
    """Vaswani et al. 2017, section 3.2.2."""
    contexts = []
    for part in np.split(np.arange(UNITS), heads):
        scores = query @ w_query[:, part] @ (memory @ w_key[:, part]).swapaxes(1, 2)
        contexts.append(softmax(scores / np.sqrt(UNITS / heads)) @ (memory @ w_value[:, part]))
    return np.concatenate(contexts, -1) @ w_output


FORMULAS = {function.__name__: function for function in (bahdanau, luong_dot, luong_general, multi_head)}


def arguments(dtype="float64", batch=BATCH, time=TIME):
    generator = np.random.default_rng(0)
    return [generator.normal(size=shape).astype(dtype) for shape in ((batch, STEPS, WIDTH), (batch, time, WIDTH))]


def layer_of(kind, dtype="float64"):
    keras.utils.set_random_seed(3)
    return attention(kind, UNITS, dtype=dtype)


@each_kind
def test_the_context_is_that_of_the_paper(kind):
    layer = layer_of(kind)
    query, memory = arguments()
    context, weights = layer(query, memory)
    np.testing.assert_allclose(context, FORMULAS[kind](query, memory, *layer.get_weights()), rtol=1e-6)
    assert weights.shape == ((BATCH, 4, STEPS, TIME) if kind == "multi_head" else (BATCH, STEPS, TIME))
    assert context.shape[-1] == layer.context_width(WIDTH)


def test_scaled_scores_are_divided_by_the_root_of_the_width():
    query, memory = arguments()
    context, _ = attention("luong_dot", UNITS, scaled=True, dtype="float64")(query, memory)
    np.testing.assert_allclose(context, luong_dot(query / np.sqrt(UNITS), memory), rtol=1e-6)


def test_multi_head_attention_is_that_of_keras():
    ours = layer_of("multi_head", "float32")
    theirs = keras.layers.MultiHeadAttention(4, UNITS // 4, output_shape=UNITS, use_bias=False)
    query, memory = arguments("float32")
    mask = np.arange(TIME) < np.array([[TIME], [2]])
    ours.build(query.shape, memory.shape)
    theirs.build(query.shape, memory.shape)
    theirs.set_weights([w.reshape(v.shape) for w, v in zip(ours.get_weights(), theirs.weights, strict=True)])
    wanted = theirs(query, memory, attention_mask=mask[:, None], return_attention_scores=True)
    for actual, expected in zip(ours(query, memory, mask=mask), wanted, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


@each_kind
def test_one_step_is_a_row_of_many_and_the_memory_can_be_projected_before(kind):
    layer = layer_of(kind)
    query, memory = arguments()
    mask = np.arange(TIME) < np.array([[TIME], [2]])
    contexts, weights = layer(query, memory, mask=mask)
    projected = layer.project_memory(memory, mask)
    for step in range(STEPS):
        context, row = layer.attend(query[:, step], projected)
        np.testing.assert_allclose(context, contexts[:, step], atol=1e-12)
        np.testing.assert_allclose(row, weights[..., step, :], atol=1e-12)


@each_kind
@settings(max_examples=5, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_padding_is_as_if_it_were_not_there(kind, data):
    layer = layer_of(kind)
    batch, time = data.draw(st.integers(1, 3), "batch"), data.draw(st.integers(1, 6), "time")
    query, memory = arguments(batch=batch, time=time)
    rows = st.lists(st.booleans(), min_size=time, max_size=time)
    mask = np.array(data.draw(st.lists(rows, min_size=batch, max_size=batch), "mask"))
    garbage = np.where(mask[..., None], memory, 1e3)
    contexts, weights = (keras.ops.convert_to_numpy(part) for part in layer(query, garbage, mask=mask))
    assert np.all(weights.swapaxes(1, -1)[~mask] == 0)
    for row, real in enumerate(mask):
        if real.any():
            alone, shares = layer(query[row : row + 1], memory[row : row + 1, real])
            np.testing.assert_allclose(contexts[row], alone[0], atol=1e-9)
            np.testing.assert_allclose(weights[row][..., real], shares[0], atol=1e-9)
            np.testing.assert_allclose(weights[row].sum(-1), 1)
        else:
            np.testing.assert_array_equal(contexts[row], 0)


@each_kind
def test_the_order_of_the_memory_does_not_matter(kind):
    layer = layer_of(kind)
    query, memory = arguments()
    order = np.random.default_rng(1).permutation(TIME)
    context, weights = layer(query, memory)
    shuffled, moved = layer(query, memory[:, order])
    np.testing.assert_allclose(shuffled, context, atol=1e-12)
    np.testing.assert_allclose(moved, keras.ops.take(weights, order, axis=-1), atol=1e-12)


@each_kind
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_memory_of_padding_alone_gives_zeros_and_finite_gradients(kind, policy):
    layer = layer_of(kind, policy)
    query, memory = (tf.constant(argument) for argument in arguments("float32"))
    mask = tf.sequence_mask([0, 2], TIME)
    layer(query, memory, mask=mask)
    with tf.GradientTape() as tape:
        tape.watch([query, memory])
        context, weights = layer(query, memory, mask=mask)
        loss = tf.reduce_sum(tf.cast(context, "float32") ** 2)
    assert context.dtype == weights.dtype == layer.compute_dtype
    np.testing.assert_array_equal(tf.cast(context, "float32")[0], 0)
    np.testing.assert_array_equal(tf.cast(weights, "float32")[0], 0)
    np.testing.assert_allclose(tf.reduce_sum(tf.cast(weights[1], "float32"), -1), 1, atol=1e-2)
    gradients = tape.gradient(loss, [query, memory, *(w.value for w in layer.trainable_variables)])
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert np.abs(gradients[1][1]).max() > 0
    np.testing.assert_array_equal(gradients[1][0], 0)


@each_kind
def test_gradients_are_the_numerical_differences(kind):
    layer = layer_of(kind)
    query, memory = arguments()
    slope = np.random.default_rng(2).normal(size=(BATCH, STEPS, layer.context_width(WIDTH)))
    mask = tf.sequence_mask([TIME, 2], TIME)

    def loss(query, memory):
        return tf.reduce_sum(layer(query, memory, mask=mask)[0] * slope)

    arrays = [tf.constant(query), tf.constant(memory)]
    for by_hand, numerical in zip(*tf.test.compute_gradient(loss, arrays, delta=1e-5), strict=True):
        np.testing.assert_allclose(by_hand, numerical, rtol=1e-5, atol=1e-7)


@each_kind
def test_a_saved_attention_opens_as_it_was(kind, tmp_path):
    inputs = keras.Input([STEPS, WIDTH]), keras.Input([None, WIDTH]), keras.Input([None], dtype="bool")
    model = keras.Model(inputs, layer_of(kind, "float32")(inputs[0], inputs[1], mask=inputs[2]))
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    given = [*arguments("float32"), np.arange(TIME) < np.array([[TIME], [2]])]
    for actual, wanted in zip(opened(given), model(given), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_configuration_survives():
    for layer in (attention("luong_dot", 4, scaled=True), attention("multi_head", 6, heads=2)):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="unknown attention 'luong'; the attentions are: bahdanau, luong_dot, luong_g"):
        attention("luong", 4)
    with pytest.raises(ValueError, match=r"luong_dot of 4 units .* not of 4 and 6; luong_general"):
        attention("luong_dot", 4)(np.ones([2, 4]), np.ones([2, 3, 6]))
    with pytest.raises(ValueError, match="luong_general of 4 units takes queries of that width, not of 5"):
        attention("luong_general", 4)(np.ones([2, 5]), np.ones([2, 3, 6]))
    with pytest.raises(ValueError, match="6 units cannot be divided among 4 heads"):
        attention("multi_head", 6)
