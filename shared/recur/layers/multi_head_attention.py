"""Multi-head attention whose memory is projected once for all the steps of a decoder."""

from typing import Any

import keras
from keras import ops

from recur.layers.memory_attention import MemoryAttention, Shape, Tensor


@keras.saving.register_keras_serializable("recur")
class MultiHeadAttention(MemoryAttention):
    """Scaled dot-product attention by several heads (Vaswani et al. 2017, section 3.2.2).

    The same function as `keras.layers.MultiHeadAttention(heads, units // heads, output_shape=units, use_bias=False)`,
    which projects the memory anew at every call and cannot be asked to do it once.

    Args:
        units: Width of all heads together, and of the context.
        heads: How many; each compares in `units // heads` dimensions.

    Raises:
        ValueError: `units` is not a multiple of `heads`.

    Example:
        >>> query, memory = keras.ops.ones((2, 4)), keras.ops.ones((2, 7, 6))
        >>> context, weights = MultiHeadAttention(8, heads=2)(query, memory)
        >>> context.shape, weights.shape
        (TensorShape([2, 8]), TensorShape([2, 2, 7]))
    """

    def __init__(self, units: int, heads: int = 4, **kwargs: Any):
        super().__init__(units, **kwargs)
        if units % heads:
            raise ValueError(f"{units} units cannot be divided among {heads} heads")
        self.heads = heads
        self.query_projection = self._projection(units, "query")
        self.key_projection = self._projection(units, "key")
        self.value_projection = self._projection(units, "value")
        self.output_projection = self._projection(units, "output")

    def build(self, query_shape: Shape, memory_shape: Shape) -> None:
        """Builds the projections."""
        self.query_projection.build(query_shape)
        self.key_projection.build(memory_shape)
        self.value_projection.build(memory_shape)
        self.output_projection.build((None, self.units))

    def project_keys(self, memory: Tensor) -> Tensor:
        """Returns each head's keys, [batch, heads, time, units / heads]."""
        return self._divide(self.key_projection(memory))

    def project_values(self, memory: Tensor) -> Tensor:
        """Returns each head's values, [batch, heads, time, units / heads]."""
        return self._divide(self.value_projection(memory))

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Returns each head's scaled products, [batch, heads, steps, time]."""
        queries = self._divide(self.query_projection(queries))
        return ops.einsum("bhsu,bhtu->bhst", queries * (self.units // self.heads) ** -0.5, keys)

    def combine(self, weights: Tensor, values: Tensor) -> Tensor:
        """Returns the heads' contexts side by side and projected, [batch, steps, units]."""
        contexts = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))
        batch, steps = ops.shape(contexts)[:2]
        return self.output_projection(ops.reshape(contexts, (batch, steps, self.units)))

    def context_width(self, memory_width: int) -> int:
        """Returns `units`, whatever the memory's width."""
        return self.units

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"heads": self.heads}

    def _divide(self, tensor: Tensor) -> Tensor:
        """Divides the last axis among the heads: [batch, length, units] to [batch, heads, length, units / heads]."""
        batch, length = ops.shape(tensor)[:2]
        divided = ops.reshape(tensor, (batch, length, self.heads, self.units // self.heads))
        return ops.transpose(divided, (0, 2, 1, 3))
