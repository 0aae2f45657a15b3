"""Integrated gradients are complete, exact where the function is linear, blind to padding, and survive an export."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recur.gradients.attribution import integrated_gradients
from recur.layers.recurrent import GRU, LSTM

pytestmark = pytest.mark.slow

N, T, E = 3, 6, 4


def normal(*shape, seed=0, scale=1.0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape) * scale, tf.float32)


def assert_complete(attributions, relative=0.02, floor=2e-3):
    """The weights of a row add up to the difference of its values within two percent."""
    difference = (attributions.at_inputs - attributions.at_baseline).numpy()
    gap = np.abs(attributions.weights.numpy().sum(axis=1) - difference)
    assert (gap <= np.maximum(relative * np.abs(difference), floor)).all(), (gap, difference)


class Classifier(tf.Module):
    """Logit of a small recurrent network that masks padding and pools over the steps."""

    def __init__(self, layer, pooling="mean"):
        super().__init__()
        keras.utils.set_random_seed(1)
        self.layer, self.pooling = layer, pooling
        layer.build((None, None, E))
        for weight in layer.weights:
            weight.assign(weight * 3.0)  # so that the gates saturate
        self.kernel = normal(layer.compute_output_shape((1, 1, E))[-1], 1, seed=5)
        self.owned = [variable.value for variable in layer.variables]

    def logit(self, inputs, mask):
        steps = self.layer(inputs, mask=mask)
        shown = tf.cast(mask, tf.float32)[..., tf.newaxis]
        if self.pooling == "max":
            pooled = tf.reduce_max(steps - 1e9 * (1 - shown), axis=1)
        else:
            pooled = tf.reduce_sum(steps * shown, axis=1) / tf.reduce_sum(shown, axis=1)
        return (pooled @ self.kernel)[:, 0]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.integers(1, 4), st.sampled_from([(E,), (T, E), (N, T, E), ()]))
def test_a_linear_function_is_attributed_exactly(seed, points, baseline_shape):
    inputs, baseline, slope = normal(N, T, E, seed=seed), normal(*baseline_shape, seed=seed + 1), normal(T, E, seed=7)
    attributions = integrated_gradients(
        lambda x: tf.reduce_sum(x * slope, axis=(1, 2)), inputs, baseline, points=points
    )
    np.testing.assert_allclose(attributions.weights, tf.reduce_sum((inputs - baseline) * slope, axis=-1), atol=1e-4)


def test_products_are_shared_equally():
    # f = x1 x2 x3: on the line from 0, each gets the integral of 3 a^2 times a third of the product.
    inputs = tf.constant([[[2.0], [3.0], [-1.0]]])
    attributions = integrated_gradients(
        lambda x: tf.reduce_prod(x, axis=(1, 2)), inputs, tf.zeros(1), points=2, rounds=1
    )
    np.testing.assert_allclose(attributions.weights, [[-2.0, -2.0, -2.0]], rtol=1e-5)


NETWORKS = {
    "Keras's LSTM": (lambda: keras.layers.LSTM(8, return_sequences=True), "mean"),
    "LSTM, maximum": (lambda: LSTM(8, return_sequences=True), "max"),
    "GRU": (lambda: GRU(8, return_sequences=True), "mean"),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_complete_on_recurrent_networks(kind):
    layer, pooling = NETWORKS[kind]
    network = Classifier(layer(), pooling)

    @tf.function
    def explain(inputs, mask):
        return integrated_gradients(network.logit, inputs, tf.zeros(E), mask, context=(mask,), at_once=4)

    for seed in range(5):
        attributions = explain(normal(N, T, E, scale=2.0, seed=seed), tf.sequence_mask([T, 4, 1], T))
        assert_complete(attributions)
        assert np.abs(attributions.at_inputs - attributions.at_baseline).max() > 0.1  # there is something to attribute


@tf.function
def explain_kinks(inputs):
    first, second = normal(E, 6, seed=3), normal(6, seed=4)

    def function(x):
        before = tf.einsum("nte,eh->nth", x, first)
        return tf.linalg.matvec(tf.reduce_max(tf.nn.relu(before) + tf.tanh(before), axis=1), second)

    # Kinks where the gradient is large take many points, and contributions may cancel to a difference near 0.
    return integrated_gradients(function, inputs, normal(E, seed=9), rounds=11)


@settings(deadline=None, max_examples=40)
@example(0, 4.03125)
@given(st.integers(0, 10_000), st.floats(0.1, 5))
def test_complete_on_a_function_with_curves_and_kinks(seed, scale):
    assert_complete(explain_kinks(normal(N, T, E, seed=seed, scale=scale)))


def test_padding_weighs_nothing_even_if_the_function_reads_it():
    inputs, mask = normal(N, T, E), tf.sequence_mask([T, 3, 0], T)
    attributions = integrated_gradients(lambda x: tf.reduce_sum(x**2, axis=(1, 2)), inputs, tf.ones(E), mask)
    assert not attributions.weights.numpy()[~mask.numpy()].any()
    assert_complete(attributions)


def test_padding_that_the_network_masks_weighs_nothing():
    network = Classifier(LSTM(8, return_sequences=True))
    mask = tf.sequence_mask([T, 3, 1], T)
    attributions = integrated_gradients(
        lambda x: network.logit(x, mask), normal(N, T, E), normal(T, E, seed=2), points=2, rounds=1
    )
    assert not attributions.weights.numpy()[~mask.numpy()].any()
    assert attributions.weights.numpy()[mask.numpy()].all()


def kinked(x, slope):
    """Smooth in the first row's range, not in the others'."""
    return tf.reduce_sum(tf.nn.relu(x - slope[:, tf.newaxis, tf.newaxis]) ** 1.5, axis=(1, 2))


def test_a_row_depends_neither_on_its_batch_mates_nor_on_how_many_points_go_together():
    inputs, slope = normal(N, T, E), tf.constant([-9.0, 0.1, 0.7])  # one row needs one round, the others need more

    def weights(rows, at_once):
        attributions = integrated_gradients(
            kinked, inputs[rows], tf.zeros(E), context=(slope[rows],), points=4, at_once=at_once, tolerance=1e-4
        )
        return attributions.weights

    together = weights(slice(0, N), 1)
    for at_once in (2, 4):
        np.testing.assert_allclose(weights(slice(0, N), at_once), together, atol=1e-5)
    for row in range(N):
        np.testing.assert_allclose(weights(slice(row, row + 1), 2)[0], together[row], atol=1e-5)


def test_refinement_brings_the_sum_nearer():
    inputs, slope = normal(N, T, E), tf.constant([0.3, 0.1, 0.7])

    def gap(rounds):
        attributions = integrated_gradients(
            kinked, inputs, tf.zeros(E), context=(slope,), points=2, rounds=rounds, tolerance=0.0, floor=0.0
        )
        return np.abs(
            tf.reduce_sum(attributions.weights, axis=1) - (attributions.at_inputs - attributions.at_baseline)
        ).max()

    assert gap(6) < gap(1) / 10


def test_no_rows_and_no_steps_are_no_trouble():
    for shape in ((0, T, E), (N, 0, E)):
        attributions = integrated_gradients(lambda x: tf.reduce_sum(x, axis=(1, 2)), tf.zeros(shape), tf.ones(E))
        assert attributions.weights.shape == shape[:2]


def test_a_function_that_ignores_its_input():
    attributions = integrated_gradients(lambda x: tf.zeros(tf.shape(x)[0]), normal(N, T, E), tf.zeros(E))
    assert not attributions.weights.numpy().any()


@pytest.mark.parametrize("bad", [{"points": 0}, {"points": 8, "at_once": 3}, {"at_once": 0}, {"rounds": 0}])
def test_points_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match="number of points"):
        integrated_gradients(lambda x: x[:, 0, 0], tf.zeros((1, 1, 1)), 0.0, **bad)


def test_the_number_of_rows_may_be_known_while_the_steps_are_not():
    network = Classifier(LSTM(4, return_sequences=True))

    @tf.function(input_signature=[tf.TensorSpec([1, None, E]), tf.TensorSpec([1, None], tf.bool)])
    def explain(inputs, mask):
        return integrated_gradients(network.logit, inputs, tf.zeros(E), mask, context=(mask,), at_once=2)

    assert_complete(explain(normal(1, T, E), tf.ones([1, T], tf.bool)))


def test_an_exported_explanation_answers_for_any_batch_and_length(tmp_path):
    network = Classifier(LSTM(4, return_sequences=True))

    @tf.function(input_signature=[tf.TensorSpec([None, None, E]), tf.TensorSpec([None, None], tf.bool)])
    def explain(inputs, mask):
        return integrated_gradients(network.logit, inputs, tf.zeros(E), mask, context=(mask,), at_once=8)._asdict()

    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # as `recur.serving.export` does
    tf.saved_model.save(network, tmp_path, signatures={"explain": explain}, options=options)
    served = tf.saved_model.load(os.fspath(tmp_path)).signatures["explain"]
    for rows, steps in ((1, 5), (3, 7)):
        inputs, mask = normal(rows, steps, E, seed=steps), tf.sequence_mask([steps] * rows, steps)
        answer, here = served(inputs=inputs, mask=mask), explain(inputs, mask)
        for name in here:
            np.testing.assert_allclose(answer[name], here[name], atol=1e-5)
