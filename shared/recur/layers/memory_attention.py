"""Attention over the outputs of an encoder: what all its kinds share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import ops

Tensor = Any
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
