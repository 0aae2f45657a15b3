"""What training minimises."""

from typing import Any

import keras
import tensorflow as tf

from apps.stock_forecasting.config import reported_horizons
from apps.stock_forecasting.metrics import LEVELS

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class PinballLoss(keras.losses.Loss):
    """Pinball loss, the mean over levels, members and rows ahead; Koenker and Bassett (1978).

    Those rows ahead that are reported weigh as much together as all do, since it is they that are measured.

    Example:
        >>> loss = PinballLoss()
        >>> float(loss(tf.ones([1, 1, 1]), tf.zeros([1, 1, 1, 21, 1])))
        0.5
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Losses.

        Args:
            y_true: [N, P, H], returns.
            y_pred: [N, P, H, Q, members].

        Returns:
            [N, P].
        """
        return (tf.reduce_mean(pinball_by_horizon(y_true, y_pred), axis=-1) + pinball(y_true, y_pred)) / 2


def pinball(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """As it is reported: the mean over levels and reported horizons.

    Args and returns are those of `PinballLoss.call`.
    """
    reported = [each - 1 for each in reported_horizons(y_pred.shape[2])]
    return tf.reduce_mean(tf.gather(pinball_by_horizon(y_true, y_pred), reported, axis=-1), axis=-1)


def pinball_by_horizon(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """(τ − [y < q]) (y − q), the mean over levels and members: [N, P, H]."""
    levels = tf.constant(LEVELS, y_pred.dtype)[:, None]
    error = y_true[..., None, None] - y_pred
    return tf.reduce_mean(tf.maximum(levels * error, (levels - 1) * error), axis=[-2, -1])
