"""Attention over the outputs of an encoder: what all kinds share, additive, multiplicative and multi-head.

None is Keras's: `AdditiveAttention` leaves out the projections of the paper, and none there can be asked to project a
memory once for all the steps of a decoder.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import ops
from tensorflow import Tensor

from recur.errors import lookup

Shape = Sequence[int | None]


class ProjectedMemory(NamedTuple):
    """A memory as an attention reads it. The batch is the first axis of all, so that a beam search can gather rows.

    Attributes:
        keys: What queries are compared with, [batch, (heads,) time, width].
        values: What is averaged, [batch, (heads,) time, width].
        mask: bool [batch, time], False at padding.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor


class MemoryAttention(keras.layers.Layer):
    """Averages a memory with weights that a query chooses.

    Padding gets a weight of exactly zero; where all of a memory is padding, weights and context are zeros. A decoder
    projects its memory once (`project_memory`) and then attends at every step (`attend`); `call` is both.

    A subclass gives `scores`, and where the paper projects them `project_keys`, `project_values` and `combine`.

    Args:
        units: Width of the space in which query and memory are compared.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def call(self, query: Tensor, memory: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attends to a memory.

        Args:
            query: One decoder state [batch, width], or those of many steps [batch, steps, width].
            memory: [batch, time, features].
            mask: bool [batch, time], False at padding. Keras does not fill it in from the memory: pass it.

        Returns:
            The context [batch, (steps,) width] and the weights [batch, (heads,) (steps,) time].
        """
        return self.attend(query, self.project_memory(memory, mask))

    def project_memory(self, memory: Tensor, mask: Tensor | None = None) -> ProjectedMemory:
        """Computes what does not depend on the query; arguments as for `call`."""
        memory = ops.cast(memory, self.compute_dtype)
        mask = ops.ones(ops.shape(memory)[:2], "bool") if mask is None else ops.cast(mask, "bool")
        return ProjectedMemory(self.project_keys(memory), self.project_values(memory), mask)

    def attend(self, query: Tensor, memory: ProjectedMemory) -> tuple[Tensor, Tensor]:
        """Attends to a memory that is projected already; arguments and results as for `call`."""
        one_step = len(query.shape) == 2
        queries = ops.expand_dims(query, 1) if one_step else query
        scores = self.scores(ops.cast(queries, self.compute_dtype), memory.keys)
        # The mask is the same for all steps and heads, the axes between the first and the last.
        mask = ops.expand_dims(memory.mask, tuple(range(1, len(scores.shape) - 1)))
        weights = masked_softmax(scores, mask)
        context = self.combine(weights, memory.values)
        return (ops.squeeze(context, 1), ops.squeeze(weights, -2)) if one_step else (context, weights)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Returns how well each query [batch, steps, width] fits each key: [batch, (heads,) steps, time]."""
        raise NotImplementedError

    def project_keys(self, memory: Tensor) -> Tensor:
        """Returns the keys: the memory itself, unless a subclass projects it."""
        return memory

    def project_values(self, memory: Tensor) -> Tensor:
        """Returns the values: the memory itself, unless a subclass projects it."""
        return memory

    def combine(self, weights: Tensor, values: Tensor) -> Tensor:
        """Returns the contexts [batch, steps, width]."""
        return ops.matmul(weights, values)

    def context_width(self, memory_width: int) -> int:
        """Returns the width of the context, given that of the memory."""
        return memory_width

    def compute_mask(self, query: Tensor, previous_mask: Tensor | None = None) -> None:
        """Returns None: Keras would hand on the memory's mask, which says nothing about the results."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"units": self.units}

    def _projection(self, units: int, name: str) -> keras.layers.Dense:
        """Returns a linear map without bias, as all the papers have them."""
        return keras.layers.Dense(units, use_bias=False, name=name, dtype=self.dtype_policy)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Returns weights that add up to one over the positions that count; all zeros where none does.

    Args:
        scores: [..., time].
        mask: bool, of a shape that broadcasts to that of the scores; False where the weight is to be zero.
    """
    # In half precision the weights of a long memory would not add up to one.
    wide = ops.cast(scores, keras.backend.result_type(scores.dtype, "float32"))
    # Finite, for the softmax of infinities alone is NaN. Not Keras's softmax, which warns of memories of one step.
    weights = tf.nn.softmax(ops.where(mask, wide, -1e30))
    return ops.cast(ops.where(mask, weights, 0), scores.dtype)


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


ATTENTIONS: dict[str, type[MemoryAttention]] = {
    "bahdanau": BahdanauAttention,
    "luong_dot": LuongDotAttention,
    "luong_general": LuongGeneralAttention,
    "multi_head": MultiHeadAttention,
}


def attention(kind: str, units: int, **options: Any) -> MemoryAttention:
    """An attention over a recurrent memory.

    Args:
        kind: `bahdanau`, `luong_dot`, `luong_general` or `multi_head`.
        units: Width of the space in which query and memory are compared; for Luong's, the width of the query.
        **options: Of the class: `scaled` for `luong_dot`, `heads` for `multi_head`.

    Raises:
        ValueError: There is no such attention; the message lists those there are.

    Example:
        >>> import keras
        >>> context, weights = attention("bahdanau", 8)(keras.ops.ones((2, 4)), keras.ops.ones((2, 7, 6)))
        >>> context.shape, weights.shape
        (TensorShape([2, 6]), TensorShape([2, 7]))
    """
    return lookup("attention", kind, ATTENTIONS)(units, **options)
