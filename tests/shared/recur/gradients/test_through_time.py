"""Gradients through time, against differentiating by the definition."""

import keras
import numpy as np
import tensorflow as tf

from recur.gradients.through_time import carried, counting_first, flow, norms_through_time, watched_zeros


def test_watched_zeros_show_their_gradient_and_change_nothing():
    seen = []
    weight = tf.constant([2.0, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(weight)
        zeros = watched_zeros(weight, [4], tf.float32, seen.append)
        loss = tf.reduce_sum(tf.range(4.0) * zeros) + tf.reduce_sum(weight)
    assert float(loss) == 5
    np.testing.assert_array_equal(tape.gradient(loss, weight), [1, 1])
    np.testing.assert_array_equal(seen[0], [0, 1, 2, 3])


def test_a_masked_step_has_the_gradient_of_the_one_before():
    gradients = tf.constant([[3.0, 0.0, 4.0, 0.0], [1.0, 1.0, 0.0, 0.0]])[:, :, None]
    mask = tf.constant([[1, 0, 1, 0], [1, 1, 0, 0]]) > 0
    squares = np.array([9 + 1, 9 + 1, 16 + 1, 16 + 1])
    np.testing.assert_allclose(norms_through_time(gradients, mask), np.sqrt(squares))
    reverse = norms_through_time(gradients[:, ::-1], mask[:, ::-1], backwards=True)
    np.testing.assert_allclose(reverse, np.sqrt(squares))
    assert counting_first(mask).numpy().tolist() == [[0, 2, 1, 3], [0, 1, 2, 3]]


def test_what_is_carried_is_the_product_of_the_jacobians():
    cell = keras.layers.SimpleRNNCell(3)
    x = tf.random.stateless_normal([2, 5, 2], [0, 1])
    cell.build([2, 2])
    lengths = [5, 3]

    def step(x, states):
        h, _ = cell(x, list(states))
        return [h], tf.ones([2, 1])

    norms, mean = flow(step, x, [tf.zeros([2, 3])], tf.constant(lengths))
    direction = tf.random.stateless_normal([2, 3], [0, 0])
    direction /= tf.norm(direction, axis=1, keepdims=True)
    expected = np.zeros((5, 2))
    for row, length in enumerate(lengths):
        after = [tf.zeros([1, 3])]
        for t in range(length):
            after.append(cell(x[row : row + 1, t], after[-1:])[0])
        for t in range(length):
            with tf.GradientTape() as tape:
                tape.watch(h := after[t + 1])
                last = h
                for u in range(t + 1, length):
                    last, _ = cell(x[row : row + 1, u], [last])
                reached = tf.reduce_sum(last * direction[row])
            expected[t, row] = tf.norm(tape.gradient(reached, h))
    np.testing.assert_allclose(norms, expected, rtol=1e-5)
    np.testing.assert_allclose(mean, [1])
    shares = carried(norms.numpy(), np.array(lengths))
    assert len(shares) == 5
    np.testing.assert_allclose(shares[0], 1, rtol=1e-6)
    np.testing.assert_allclose(shares[1], np.sqrt((expected[3, 0] ** 2 + expected[1, 1] ** 2) / 2), rtol=1e-5)
    np.testing.assert_allclose(shares[4], expected[0, 0], rtol=1e-5)
