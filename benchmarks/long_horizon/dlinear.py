"""DLinear: what a recurrent network must be held against on long horizons."""

from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor

KERNEL = 25
"""Rows of the moving average."""


@keras.saving.register_keras_serializable("recur_benchmarks")
class DLinear(keras.Model):
    """Trend and remainder of a window, each mapped by one matrix to all rows ahead; the same for every series.

    Args:
        window: L, rows seen.
        horizon: H, rows ahead.

    Source:
        Zeng, A., Chen, M., Zhang, L. and Xu, Q. (2023), "Are Transformers Effective for Time Series Forecasting?",
        AAAI, section 4.
    """

    def __init__(self, window: int, horizon: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.settings = {"window": window, "horizon": horizon}
        self.trend, self.remainder = keras.layers.Dense(horizon), keras.layers.Dense(horizon)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        for layer in (self.trend, self.remainder):
            layer.build((None, self.settings["window"]))
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Forecasts.

        Args:
            inputs: `window` float32 [N, L].
            training: Makes no difference.

        Returns:
            float32 [N, H].
        """
        window = inputs["window"]
        trend = moving_average(window)
        return self.trend(trend) + self.remainder(window - trend)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | self.settings


def moving_average(values: Tensor, kernel: int = KERNEL) -> Tensor:
    """Centred means of values [N, L] over an odd number of rows, [N, L]; the end values go on outwards."""
    reach = kernel // 2
    ends = tf.repeat(values[:, :1], reach, axis=1), tf.repeat(values[:, -1:], reach, axis=1)
    padded = tf.concat([ends[0], values, ends[1]], axis=1)
    return tf.nn.avg_pool1d(padded[..., None], kernel, 1, "VALID")[..., 0]
