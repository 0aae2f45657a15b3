"""Quantiles that cannot cross, whatever the weights."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import scipy.stats
import tensorflow as tf

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class QuantileHead(keras.layers.Layer):
    """From a state to quantiles of what comes over each of H rows: a location, a scale, and steps between quantiles.

    A quantile is the median and all steps from there to it, and a step is positive: a softplus. So quantiles rise with
    their levels by construction (Park et al. 2022, "Learning Quantile Functions without Quantile Crossing for
    Distribution-free Time Series Forecasting", do so for a mesh of levels). All is said in units of a scale that is
    handed in, times the root of the rows ahead, as a random walk has it; untrained, the layer answers what a normal
    walk would.

    Args:
        horizon: H, rows ahead.
        levels: Q levels that rise, symmetric about 0.5, which is one of them.
    """

    def __init__(self, horizon: int, levels: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        self.horizon, self.levels = horizon, tuple(levels)
        if len(levels) % 2 == 0 or not np.isclose(levels[len(levels) // 2], 0.5):
            raise ValueError(f"the middle of the levels must be 0.5, got {list(levels)}")
        self.scale = keras.layers.Dense(horizon, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01))
        self.direct_scale = keras.layers.Dense(horizon, use_bias=False, kernel_initializer="zeros")
        self.location = keras.layers.Dense(horizon, kernel_initializer="zeros")
        self.steps = keras.layers.Dense(len(levels) - 1, use_bias=False, kernel_initializer="zeros")

    def build(self, input_shape: Any) -> None:
        """Builds the layers; steps begin as those of the normal distribution."""
        state, direct = input_shape
        for layer in (self.scale, self.location, self.steps):
            layer.build(state)
        self.direct_scale.build(direct)
        normal = np.log(np.expm1(np.diff(scipy.stats.norm.ppf(self.levels))))
        self.usual_steps = self.add_weight(
            shape=(self.horizon, len(normal)),
            initializer=lambda shape, dtype=None: tf.cast(np.broadcast_to(normal, shape), dtype or "float32"),
            name="usual_steps",
        )
        self.built = True

    def call(self, inputs: Sequence[Tensor], log_scale: Tensor) -> Tensor:
        """Quantiles.

        Args:
            inputs: States [N, P, units], and features [N, P, features] that reach the scale directly too.
            log_scale: [N, P], logarithm of the unit of one row.

        Returns:
            [N, P, H, Q], rising along Q.
        """
        state, direct = inputs
        ahead = tf.math.log(tf.range(1, self.horizon + 1, dtype=state.dtype)) / 2
        scale = tf.exp(log_scale[..., None] + ahead + self.scale(state) + self.direct_scale(direct))
        steps = tf.nn.softplus(self.usual_steps + self.steps(state)[..., None, :])
        middle = len(self.levels) // 2
        below = -tf.cumsum(steps[..., :middle], axis=-1, reverse=True)
        above = tf.cumsum(steps[..., middle:], axis=-1)
        standard = tf.concat([below, tf.zeros_like(above[..., :1]), above], axis=-1)
        return scale[..., None] * (self.location(state)[..., None] + standard)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"horizon": self.horizon, "levels": self.levels}
