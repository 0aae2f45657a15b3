"""The decoder of Luong, Pham & Manning 2015: first the recurrent layers, then attention."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recur.layers.attention_decoder import AttentionDecoder, Shape, Tensor, unroll
from recur.layers.memory_attention import MemoryAttention, ProjectedMemory
from recur.layers.stack import RecurrentStack


@keras.saving.register_keras_serializable("recur")
class LuongDecoder(AttentionDecoder):
    """Attention after the recurrent layers (Luong, Pham & Manning 2015, section 3).

    The output is the attentional vector tanh(W [c; h]) of equation 5, with h the top layer's state and c the context
    that it chose. Without input feeding no step waits for the attention of the one before: the recurrent layers read
    the whole sequence at their own speed, and the attention of all steps is one product.

    Args:
        stack: The recurrent layers.
        attention: Compares the top layer's state with the memory.
        input_feeding: Whether a step also reads the attentional vector of the step before (section 3.3), so that it
            knows what has been attended to. Training is slower, for the steps then wait for one another.

    Example:
        >>> from recur.layers.attention import attention
        >>> from recur.layers.builders import recurrent_stack
        >>> decoder = LuongDecoder(recurrent_stack("gru", 4), attention("luong_general", 4))
        >>> ones = keras.ops.ones
        >>> outputs, states, weights = decoder(ones((2, 5, 3)), memory=ones((2, 7, 6)), summary=ones((2, 6)))
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 4]), TensorShape([2, 5, 7]))
    """

    def __init__(self, stack: RecurrentStack, attention: MemoryAttention, input_feeding: bool = False, **kwargs: Any):
        super().__init__(stack, attention, **kwargs)
        self.input_feeding = input_feeding

    def build(self, inputs_shape: Shape, memory_shape: Shape, summary_shape: Shape) -> None:
        """Builds all layers."""
        self.bridge.build(summary_shape)
        if not self.attention.built:  # as it is where it comes from a file
            self.attention.build((None, self.units), memory_shape)
        width = inputs_shape[-1] + (self.units if self.input_feeding else 0)
        self.stack.build((*inputs_shape[:-1], width))
        self.readout.build((None, self.units + self.attention.context_width(memory_shape[-1])))

    def call(self, inputs, memory, summary, memory_mask=None, training=None):
        """See `AttentionDecoder.call`."""
        states, memory = self.begin(memory, summary, memory_mask)
        if self.input_feeding:

            def step(x, states):
                output, states, weights = self.step(x, states, memory, training)
                return (output, weights), states

            (outputs, weights), after = unroll(step, ops.cast(inputs, self.compute_dtype), states)
        else:
            hidden, after = self.stack(inputs, initial_state=states, training=training)
            outputs, weights = self._attentional(hidden, memory)
        return outputs, after, weights

    def begin(self, memory, summary, memory_mask=None):
        """See `AttentionDecoder.begin`. With input feeding, the attentional vector to begin with is zero."""
        states, memory = super().begin(memory, summary, memory_mask)
        if self.input_feeding:
            states.append(ops.zeros((ops.shape(summary)[0], self.units), self.compute_dtype))
        return states, memory

    def step(
        self, inputs: Tensor, states: Sequence[Tensor], memory: ProjectedMemory, training: bool | None = None
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """See `AttentionDecoder.step`."""
        if self.input_feeding:
            *states, fed = states
            inputs = ops.concatenate([ops.cast(inputs, self.compute_dtype), fed], axis=-1)
        hidden, after = self.stack.step(inputs, states, training=training)
        output, weights = self._attentional(hidden, memory)
        return output, [*after, output] if self.input_feeding else after, weights

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"input_feeding": self.input_feeding}

    def _attentional(self, hidden: Tensor, memory: ProjectedMemory) -> tuple[Tensor, Tensor]:
        """Returns tanh(W [c; h]), [batch, (steps,) units], and the weights."""
        context, weights = self.attention.attend(hidden, memory)
        return self.readout(ops.concatenate([context, hidden], axis=-1)), weights
