"""Pooling: what it is of, padding, half precision, files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers.pooling import POOLINGS, pooling

pytestmark = pytest.mark.slow

FEATURES = 4
EVERY = {
    "last": {},
    "last, both directions": {"bidirectional": True},
    "max": {},
    "mean": {},
    "attention": {"units": 3},
    "concat": {},
    "concat, both directions": {"bidirectional": True},
}
each_kind = pytest.mark.parametrize("kind", EVERY)


def layer_of(kind, dtype="float64"):
    keras.utils.set_random_seed(3)
    return pooling(kind.split(",")[0], **EVERY[kind], dtype=dtype)


def inputs_of(batch=2, time=5, dtype="float64"):
    return np.random.default_rng(0).normal(size=(batch, time, FEATURES)).astype(dtype)


def by_hand(kind, layer, row):
    """The pooling of one sequence [time, features] without padding."""
    if kind == "attention":
        w, b, u = layer.get_weights()
        scores = np.exp(np.tanh(row @ w + b) @ u[:, 0])
        return scores / scores.sum() @ row
    both = np.concatenate([row[-1, : FEATURES // 2], row[0, FEATURES // 2 :]])
    wanted = {"last": row[-1], "last, both directions": both, "max": row.max(0), "mean": row.mean(0)}
    if kind.startswith("concat"):
        return np.concatenate([wanted[kind.replace("concat", "last")], wanted["max"], wanted["mean"]])
    return wanted[kind]


@each_kind
@settings(max_examples=6, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_padding_is_as_if_it_were_not_there(kind, data):
    layer = layer_of(kind)
    batch, time = data.draw(st.integers(1, 3), "batch"), data.draw(st.integers(1, 6), "time")
    rows = st.lists(st.booleans(), min_size=time, max_size=time)
    mask = np.array(data.draw(st.lists(rows, min_size=batch, max_size=batch), "mask"))
    inputs = np.where(mask[..., None], inputs_of(batch, time), 1e3)
    pooled = layer(inputs, mask=mask)
    for row, real in enumerate(mask):
        wanted = by_hand(kind, layer, inputs[row, real]) if real.any() else np.zeros(pooled.shape[1])
        np.testing.assert_allclose(pooled[row], wanted, atol=1e-9)


@each_kind
def test_without_a_mask_every_step_counts(kind):
    layer = layer_of(kind)
    inputs = inputs_of()
    pooled = layer(inputs)
    for row in range(len(inputs)):
        np.testing.assert_allclose(pooled[row], by_hand(kind, layer, inputs[row]), atol=1e-9)


@each_kind
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_finite_with_gradients(kind, policy):
    layer = layer_of(kind, policy)
    inputs = tf.constant(inputs_of(dtype="float32"))
    mask = tf.sequence_mask([0, 2], 5)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        pooled = layer(inputs, mask=mask)
        loss = tf.reduce_sum(tf.cast(pooled, "float32") ** 2)
    assert pooled.dtype == layer.compute_dtype
    np.testing.assert_array_equal(tf.cast(pooled, "float32")[0], 0)
    gradient = tape.gradient(loss, inputs)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[0], 0)
    np.testing.assert_array_equal(gradient[1, 2:], 0)


def test_a_long_mean_survives_half_precision():
    ones = tf.fill([1, 100_000, 1], tf.constant(1.0, "float16"))
    np.testing.assert_allclose(pooling("mean", dtype="mixed_float16")(ones), 1, rtol=0.05)


def test_attention_shows_its_weights():
    layer = layer_of("attention")
    pooled, weights = layer.attend(inputs_of(), tf.sequence_mask([5, 2], 5))
    np.testing.assert_allclose(tf.reduce_sum(weights, -1), 1)
    np.testing.assert_array_equal(weights[1, 2:], 0)
    np.testing.assert_allclose(tf.einsum("bt,btf->bf", weights, inputs_of()), pooled)


@each_kind
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_mask_is_handed_on_by_keras_and_a_saved_pooling_opens_as_it_was(kind, tmp_path):
    model = keras.Sequential(
        [
            keras.Input([None], dtype="int32"),
            keras.layers.Embedding(9, FEATURES, mask_zero=True),
            layer_of(kind, "float32"),
        ]
    )
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(opened(np.array([[3, 5, 1]])), model(np.array([[3, 5, 1]])))
    np.testing.assert_allclose(model(np.array([[3, 5, 0, 0]])), model(np.array([[3, 5]])), atol=1e-6)
    assert model.output_shape == (None, 3 * FEATURES if kind.startswith("concat") else FEATURES)


def test_an_unknown_pooling_is_refused_with_the_valid_ones():
    assert set(POOLINGS) == {"last", "max", "mean", "attention", "concat"}
    with pytest.raises(ValueError, match="unknown pooling 'sum'; the poolings are: last, max, mean, attention, concat"):
        pooling("sum")
