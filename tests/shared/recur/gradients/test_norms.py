"""Norms are those of NumPy on the gradients of a tape, whatever their type and however they are stored."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recur.gradients.statistics import all_finite, dense, global_norm, norms


def test_norms_are_those_of_the_gradients_of_a_tape():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Embedding(7, 5), keras.layers.LSTM(6), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    tokens = tf.constant([[1, 2, 2, 1], [6, 1, 2, 2]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(tokens)))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert isinstance(gradients[0], tf.IndexedSlices)
    expected = [np.linalg.norm(tf.convert_to_tensor(gradient).numpy().astype("float64")) for gradient in gradients]
    np.testing.assert_allclose(norms(gradients), expected, rtol=1e-6)
    np.testing.assert_allclose(global_norm(gradients), np.linalg.norm(expected), rtol=1e-6)


def test_rows_with_the_same_index_are_added_before_the_norm():
    slices = tf.IndexedSlices(tf.constant([[3.0], [-3.0], [2.0]]), tf.constant([4, 4, 1]), tf.constant([5, 1]))
    assert float(global_norm([slices])) == 2.0
    assert dense([slices])[0].numpy().ravel().tolist() == [0, 2, 0, 0, 0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_norms_of_half_precision_are_formed_in_float32(dtype: str):
    gradient = tf.fill([100], tf.constant(1000.0, dtype))  # its squares are beyond float16
    assert norms([gradient]).dtype == tf.float32
    np.testing.assert_allclose(global_norm([gradient]), 1e4, rtol=1e-2 if dtype == "bfloat16" else 1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e20])
def test_one_bad_element_makes_gradients_not_finite(value: float):
    good = [tf.ones([3, 2]), tf.zeros([])]
    assert bool(all_finite(good))
    assert not bool(all_finite([*good, tf.constant([0.0, value])]))
