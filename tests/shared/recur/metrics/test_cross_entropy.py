"""The losses and metrics of symbols, beside Keras's own on one-hot labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recur.metrics.cross_entropy import SmoothedCrossEntropy, nats, token_metrics, wrong

GENERATOR = np.random.default_rng(0)
LOGITS = (GENERATOR.normal(size=(15, 7)) * 3).astype(np.float32)
WANTED = GENERATOR.integers(0, 7, size=15).astype(np.int32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_smoothing_is_that_of_keras_without_its_one_hot_labels(smoothing):
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    logits = tf.constant(LOGITS)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        expected = theirs(tf.one_hot(WANTED, 7), logits) * 3
        loss = SmoothedCrossEntropy(smoothing)(WANTED, logits) * 3
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, logits), tape.gradient(expected, logits), atol=1e-6)


def test_metrics_are_means_over_all_tokens_of_all_batches():
    for metric, function in zip(token_metrics(), (nats, wrong), strict=True):
        for part in (slice(0, 9), slice(9, 10), slice(10, 15)):
            metric.update_state(WANTED[part], LOGITS[part])
        np.testing.assert_allclose(metric.result(), tf.reduce_mean(function(WANTED, LOGITS)), rtol=1e-5)


def test_the_loss_is_saved_with_its_smoothing():
    config = keras.saving.serialize_keras_object(SmoothedCrossEntropy(0.2))
    assert keras.saving.deserialize_keras_object(config).smoothing == 0.2
