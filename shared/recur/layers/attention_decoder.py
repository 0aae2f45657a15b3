"""Decoders that attend to a memory: what all their kinds share."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from recur.layers.bridge import StateBridge
from recur.layers.memory_attention import MemoryAttention, ProjectedMemory
from recur.layers.stack import RecurrentStack

Tensor = Any
Shape = Sequence[int | None]


class AttentionDecoder(keras.layers.Layer):
    """Recurrent layers that look at a memory at every step, and whose initial state is made from a vector.

    Training reads the wanted sequence one step behind (`call`, teacher forcing). Decoding prepares once (`begin`) and
    goes on from its own output (`step`); states and memory are tensors whose first axis is the batch, so that a beam
    search gathers rows of them. A subclass gives `build`,
    `call` and `step`.

    Args:
        stack: The recurrent layers.
        attention: Compares states, as wide as the stack, with the memory.
    """

    def __init__(self, stack: RecurrentStack, attention: MemoryAttention, **kwargs: Any):
        super().__init__(**kwargs)
        self.stack = stack
        self.attention = attention
        self.bridge = StateBridge(stack.state_sizes, name="bridge", dtype=self.dtype_policy)
        self.readout = keras.layers.Dense(stack.units, "tanh", use_bias=False, name="readout", dtype=self.dtype_policy)
        self.supports_masking = True

    @property
    def units(self) -> int:
        """Width of the outputs."""
        return self.stack.units

    def call(
        self,
        inputs: Tensor,
        memory: Tensor,
        summary: Tensor,
        memory_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Reads wanted sequences from the beginning.

        Args:
            inputs: [batch, steps, features]. What follows a step does not change its output, so padding on the right
                needs no mask.
            memory: What is attended to, [batch, time, features].
            summary: What the initial states are made from, [batch, width].
            memory_mask: bool [batch, time], False at padding of the memory.
            training: Whether dropout is active.

        Returns:
            The outputs [batch, steps, units], the states after the last step, and the attention's weights
            [batch, (heads,) steps, time].
        """
        raise NotImplementedError

    def begin(
        self, memory: Tensor, summary: Tensor, memory_mask: Tensor | None = None
    ) -> tuple[list[Tensor], ProjectedMemory]:
        """Returns the states [batch, size] from which to decode, and the memory projected once; arguments of `call`."""
        return self.bridge(summary), self.attention.project_memory(memory, memory_mask)

    def step(
        self, inputs: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Advances by one step.

        Args:
            inputs: [batch, features].
            states: From `begin` or the step before.
            memory: From `begin`.

        Returns:
            The output [batch, units], the new states, and the attention's weights [batch, (heads,) time].
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        parts = {"stack": self.stack, "attention": self.attention}
        return super().get_config() | {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AttentionDecoder":
        """The inverse of `get_config`."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("stack", "attention")}
        return cls(**config | parts)


def unroll(step: Callable, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Any, list[Tensor]]:
    """Repeats a step over a sequence, in a loop of the graph.

    Args:
        step: From inputs [batch, features] and states to results, of any structure, and the new states.
        inputs: [batch, steps, features], at least one step.
        states: Before the first step.

    Returns:
        The results with an axis of steps before their last, and the states after the last step.
    """
    sequence = ops.swapaxes(inputs, 0, 1)
    # The loop asks for the shapes of the results before it begins, which a step made for nothing else shows.
    shapes = tf.nest.map_structure(ops.zeros_like, step(sequence[0], list(states))[0])
    results, after = tf.scan(lambda carried, x: step(x, carried[1]), sequence, (shapes, list(states)))
    return tf.nest.map_structure(lambda tensor: ops.moveaxis(tensor, 0, -2), results), [state[-1] for state in after]
