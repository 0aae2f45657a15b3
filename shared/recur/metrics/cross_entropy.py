"""The cross-entropy of symbols, its smoothed form to train on, and the share of wrong guesses: all by token."""

from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor


@keras.saving.register_keras_serializable("recur")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy with label smoothing (Szegedy et al. 2016, section 7), the mean over all tokens of a batch.

    The right symbol is wanted with probability 1 - smoothing, and all symbols, it too, share the rest. Keras's own
    wants one-hot labels for that, as large as the logits; this one does without.

    Args:
        smoothing: At least 0 and less than 1.

    Example:
        >>> SmoothedCrossEntropy(0.1)(keras.ops.array([1]), keras.ops.zeros((1, 4))).numpy().round(4)
        np.float32(1.3863)
    """

    def __init__(self, smoothing: float, **kwargs: Any):
        super().__init__(**({"name": "smoothed_cross_entropy", "reduction": "sum_over_batch_size"} | kwargs))
        self.smoothing = smoothing

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Symbols int [tokens] and logits [tokens, symbols] to nats [tokens]."""
        return smoothed_nats(tf.cast(y_true, tf.int32), y_pred, self.smoothing)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"smoothing": self.smoothing}


def smoothed_nats(y_true: Tensor, y_pred: Tensor, smoothing: float) -> Tensor:
    """Smoothed cross-entropy: symbols int32 [tokens] and logits [tokens, symbols] to nats [tokens].

    With z the logits, y the right symbol and s the smoothing it is -log p(y) + s (z_y - mean z), whose gradient is
    p - (1 - s) onehot(y) - s / symbols: of all the passes over the logits one has exponentials.
    """
    indices = tf.stack([tf.range(tf.shape(y_true)[0]), y_true], axis=1)

    @tf.custom_gradient
    def loss(logits):
        plain, gradient = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=y_true)
        share = smoothing / logits.shape[-1]

        def scaled(upstream):
            spread = tf.tensor_scatter_nd_add(gradient - share, indices, tf.fill(tf.shape(y_true), smoothing))
            return spread * upstream[:, None]

        return plain + smoothing * (tf.gather_nd(logits, indices) - tf.reduce_mean(logits, axis=-1)), scaled

    return loss(y_pred)


def nats(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Cross-entropy: symbols int [tokens] and logits [tokens, symbols] to nats [tokens]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y_true, tf.int32), y_pred)


def wrong(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """1 where the likeliest symbol is not the right one, 0 elsewhere: shapes as in `nats`."""
    guesses = tf.argmax(y_pred, axis=-1, output_type=tf.int32)
    return tf.cast(tf.not_equal(guesses, tf.cast(y_true, tf.int32)), tf.float32)  # "!=" would forget the rank


def token_metrics() -> list[keras.metrics.Metric]:
    """`nats` and `error`, means over all tokens: the `metrics` of `keras.Model.compile`."""
    return [keras.metrics.MeanMetricWrapper(nats, name="nats"), keras.metrics.MeanMetricWrapper(wrong, name="error")]
