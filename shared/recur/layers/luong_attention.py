"""Multiplicative attention: the scores `dot` and `general` of Luong, Pham & Manning 2015, equation 8."""

from typing import Any

import keras
from keras import ops

from recur.layers.memory_attention import MemoryAttention, Shape, Tensor


@keras.saving.register_keras_serializable("recur")
class LuongDotAttention(MemoryAttention):
    """Dot-product attention (Luong, Pham & Manning 2015, equation 8, `dot`): a query q scores a memory h_j by q^T h_j.

    It has no weights: query and memory must be equally wide.

    Args:
        units: Width of queries and memory.
        scaled: Whether to divide the scores by the square root of `units` (Vaswani et al. 2017, equation 1), which
            keeps the softmax of wide states from saturating.

    Raises:
        ValueError: When built on queries or a memory of another width.

    Example:
        >>> query, memory = keras.ops.ones((2, 3, 6)), keras.ops.ones((2, 7, 6))
        >>> context, weights = LuongDotAttention(6)(query, memory)
        >>> context.shape, weights.shape
        (TensorShape([2, 3, 6]), TensorShape([2, 3, 7]))
    """

    def __init__(self, units: int, scaled: bool = False, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.scaled = scaled

    def build(self, query_shape: Shape, memory_shape: Shape) -> None:
        """Compares the widths."""
        if not query_shape[-1] == memory_shape[-1] == self.units:
            raise ValueError(
                f"luong_dot of {self.units} units compares queries and memory of that width, not of"
                f" {query_shape[-1]} and {memory_shape[-1]}; luong_general takes a memory of any width"
            )

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Returns q^T h, [batch, steps, time]."""
        queries = queries * self.units**-0.5 if self.scaled else queries
        return ops.einsum("bsu,btu->bst", queries, keys)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"scaled": self.scaled}


@keras.saving.register_keras_serializable("recur")
class LuongGeneralAttention(MemoryAttention):
    """Bilinear attention (Luong, Pham & Manning 2015, equation 8, `general`): q scores h_j by q^T W h_j.

    W h is computed once for all queries.

    Args:
        units: Width of queries.

    Raises:
        ValueError: When built on queries of another width.

    Example:
        >>> query, memory = keras.ops.ones((2, 4)), keras.ops.ones((2, 7, 6))
        >>> context, weights = LuongGeneralAttention(4)(query, memory)
        >>> context.shape, weights.shape
        (TensorShape([2, 6]), TensorShape([2, 7]))
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.memory_projection = self._projection(units, "W")

    def build(self, query_shape: Shape, memory_shape: Shape) -> None:
        """Builds W."""
        if query_shape[-1] != self.units:
            raise ValueError(
                f"luong_general of {self.units} units takes queries of that width, not of {query_shape[-1]}"
            )
        self.memory_projection.build(memory_shape)

    def project_keys(self, memory: Tensor) -> Tensor:
        """Returns W h, [batch, time, units]."""
        return self.memory_projection(memory)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Returns q^T W h, [batch, steps, time]."""
        return ops.einsum("bsu,btu->bst", queries, keys)
