"""The bridge from what was read to the state in which a decoder begins."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class StateBridge(keras.layers.Layer):
    """Turns a vector into the initial states of a decoder: s_0 = tanh(W x + b).

    As in Bahdanau, Cho & Bengio 2015, appendix A.2.2, where the vector is a state of the encoder, and in Xu et al.
    2015, section 3.1.2, where it is the mean of an image's regions. One product serves all states.

    Args:
        sizes: Width of every state.

    Example:
        >>> [state.shape for state in StateBridge([4, 4])(keras.ops.ones((2, 3)))]
        [TensorShape([2, 4]), TensorShape([2, 4])]
    """

    def __init__(self, sizes: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.sizes = list(sizes)
        self.projection = keras.layers.Dense(sum(self.sizes), "tanh", name="projection", dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds the projection."""
        self.projection.build(input_shape)

    def call(self, vector: Tensor) -> list[Tensor]:
        """Returns the states [batch, size] that a vector [batch, features] stands for."""
        return tf.split(self.projection(vector), self.sizes, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"sizes": self.sizes}
