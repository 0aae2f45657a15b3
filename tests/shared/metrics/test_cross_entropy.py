"""The losses and metrics of symbols, beside Keras's own on one-hot labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.metrics.cross_entropy import SmoothedCrossEntropy, nats, token_metrics, wrong

GENERATOR = np.random.default_rng(0)
LOGITS = tf.constant(GENERATOR.normal(size=(3, 5, 7)) * 3, tf.float32)
WANTED = tf.constant(GENERATOR.integers(0, 7, size=(3, 5)), tf.int32)
WEIGHTS = tf.constant([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], tf.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_smoothing_is_that_of_keras_without_its_one_hot_labels(smoothing):
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction="none")
    by_token = theirs(tf.one_hot(WANTED, 7), LOGITS)
    mean = tf.reduce_sum(by_token * WEIGHTS) / tf.reduce_sum(WEIGHTS)
    np.testing.assert_allclose(SmoothedCrossEntropy(smoothing)(WANTED, LOGITS, sample_weight=WEIGHTS), mean, rtol=1e-5)


def test_padding_changes_nothing():
    loss = SmoothedCrossEntropy(0.1)
    padded = [tf.pad(each, [[0, 0], [0, 4], *[[0, 0]] * (len(each.shape) - 2)]) for each in (WANTED, LOGITS, WEIGHTS)]
    np.testing.assert_allclose(
        loss(*padded[:2], sample_weight=padded[2]), loss(WANTED, LOGITS, sample_weight=WEIGHTS), rtol=1e-6
    )


def test_metrics_are_means_over_all_tokens_of_all_batches():
    for metric, function in zip(token_metrics(), (nats, wrong), strict=True):
        for row in range(3):
            metric.update_state(WANTED[row : row + 1], LOGITS[row : row + 1], WEIGHTS[row : row + 1])
        expected = tf.reduce_sum(function(WANTED, LOGITS) * WEIGHTS) / tf.reduce_sum(WEIGHTS)
        np.testing.assert_allclose(metric.result(), expected, rtol=1e-5)


def test_the_loss_is_saved_with_its_smoothing():
    config = keras.saving.serialize_keras_object(SmoothedCrossEntropy(0.2))
    assert keras.saving.deserialize_keras_object(config).smoothing == 0.2
