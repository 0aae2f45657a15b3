"""Additive attention, with the projections that `keras.layers.AdditiveAttention` leaves out."""

from typing import Any

import keras
from keras import ops

from recur.layers.memory_attention import MemoryAttention, Shape, Tensor


@keras.saving.register_keras_serializable("recur")
class BahdanauAttention(MemoryAttention):
    """Additive attention (Bahdanau, Cho & Bengio 2015, appendix A.1.2).

    A query q scores a memory h_j by v^T tanh(W q + U h_j). U h is computed once for all queries.

    Args:
        units: Length of v.

    Example:
        >>> query, memory = keras.ops.ones((2, 4)), keras.ops.ones((2, 7, 6))
        >>> context, weights = BahdanauAttention(8)(query, memory)
        >>> context.shape, weights.shape
        (TensorShape([2, 6]), TensorShape([2, 7]))
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.query_projection = self._projection(units, "W")
        self.memory_projection = self._projection(units, "U")
        self.alignment = self._projection(1, "v")

    def build(self, query_shape: Shape, memory_shape: Shape) -> None:
        """Builds W, U and v."""
        self.query_projection.build(query_shape)
        self.memory_projection.build(memory_shape)
        self.alignment.build((None, self.units))

    def project_keys(self, memory: Tensor) -> Tensor:
        """Returns U h, [batch, time, units]."""
        return self.memory_projection(memory)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Returns v^T tanh(W q + U h), [batch, steps, time]."""
        summed = ops.expand_dims(self.query_projection(queries), 2) + ops.expand_dims(keys, 1)
        return ops.squeeze(self.alignment(ops.tanh(summed)), -1)
