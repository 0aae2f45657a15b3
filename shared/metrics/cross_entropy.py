"""The cross-entropy of symbols, its smoothed form to train on, and the share of wrong guesses: all by token."""

from typing import Any

import keras
import tensorflow as tf

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy with label smoothing (Szegedy et al. 2016, section 7), the mean over all tokens of a batch.

    The right symbol is wanted with probability 1 - smoothing, and all symbols, it too, share the rest. Keras's own
    wants one-hot labels for that, as large as the logits; this one does without.

    Args:
        smoothing: At least 0 and less than 1.

    Example:
        >>> SmoothedCrossEntropy(0.1)(keras.ops.array([[1]]), keras.ops.zeros((1, 1, 4))).numpy().round(4)
        np.float32(1.3863)
    """

    def __init__(self, smoothing: float, **kwargs: Any):
        super().__init__(**({"name": "smoothed_cross_entropy", "reduction": "mean_with_sample_weight"} | kwargs))
        self.smoothing = smoothing

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Symbols int [batch, steps] and logits [batch, steps, symbols] to nats [batch, steps]."""
        wanted = nats(y_true, y_pred)
        if not self.smoothing:
            return wanted
        all_alike = tf.reduce_logsumexp(y_pred, axis=-1) - tf.reduce_mean(y_pred, axis=-1)
        return (1 - self.smoothing) * wanted + self.smoothing * all_alike

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"smoothing": self.smoothing}


def nats(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Cross-entropy: symbols int [batch, steps] and logits [batch, steps, symbols] to nats [batch, steps]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y_true, tf.int32), y_pred)


def wrong(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """1 where the likeliest symbol is not the right one, 0 elsewhere: shapes as in `nats`."""
    return tf.cast(tf.argmax(y_pred, axis=-1, output_type=tf.int32) != tf.cast(y_true, tf.int32), tf.float32)


def token_metrics() -> list[keras.metrics.Metric]:
    """`nats` and `error`, weighted means over all tokens: the `weighted_metrics` of `keras.Model.compile`."""
    return [keras.metrics.MeanMetricWrapper(nats, name="nats"), keras.metrics.MeanMetricWrapper(wrong, name="error")]
