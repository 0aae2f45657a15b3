"""The decoder of Bahdanau, Cho & Bengio 2015: first attention, then the recurrent layers."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recur.layers.attention_decoder import AttentionDecoder, Shape, Tensor, unroll
from recur.layers.memory_attention import MemoryAttention, ProjectedMemory
from recur.layers.stack import RecurrentStack


@keras.saving.register_keras_serializable("recur")
class BahdanauDecoder(AttentionDecoder):
    """Attention before the recurrent layers (Bahdanau, Cho & Bengio 2015, appendix A.2.2; Xu et al. 2015).

    The state h before a step chooses the context c, and the step reads [x; c]. The output is the deep output
    tanh(W [x; h'; c]) (Pascanu et al. 2014), with h' the top layer's new state. Where there are several layers the
    bottom one attends (Wu et al. 2016, section 3.1): only that one is in the loop where steps wait for one another, and
    those above read the whole sequence at their own speed.

    Args:
        stack: The recurrent layers.
        attention: Compares the bottom layer's state with the memory.
        gate: Whether the state also chooses, by a number between 0 and 1 that multiplies the context, how much the
            memory matters to this step (Xu et al. 2015, section 4.2.1): not every word describes a region.

    Example:
        >>> from recur.layers.attention import attention
        >>> from recur.layers.builders import recurrent_stack
        >>> decoder = BahdanauDecoder(recurrent_stack("gru", 4), attention("bahdanau", 4), gate=True)
        >>> ones = keras.ops.ones
        >>> outputs, states, weights = decoder(ones((2, 5, 3)), memory=ones((2, 7, 6)), summary=ones((2, 6)))
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 4]), TensorShape([2, 5, 7]))
    """

    def __init__(self, stack: RecurrentStack, attention: MemoryAttention, gate: bool = False, **kwargs: Any):
        super().__init__(stack, attention, **kwargs)
        self.bottom = RecurrentStack(stack.layers[:1])
        self.upper = RecurrentStack(stack.layers[1:], stack.dropout)
        self.between = keras.layers.Dropout(stack.dropout if self.upper.layers else 0.0)
        self.gate = keras.layers.Dense(1, "sigmoid", name="gate", dtype=self.dtype_policy) if gate else None

    def build(self, inputs_shape: Shape, memory_shape: Shape, summary_shape: Shape) -> None:
        """Builds all layers."""
        self.bridge.build(summary_shape)
        if not self.attention.built:  # as it is where it comes from a file
            self.attention.build((None, self.bottom.units), memory_shape)
        width = inputs_shape[-1] + self.attention.context_width(memory_shape[-1])
        self.bottom.build((*inputs_shape[:-1], width))
        self.upper.build((*inputs_shape[:-1], self.bottom.units))
        self.readout.build((None, width + self.units))
        if self.gate:
            self.gate.build((None, self.bottom.units))

    def call(self, inputs, memory, summary, memory_mask=None, training=None):
        """See `AttentionDecoder.call`."""
        states, memory = self.begin(memory, summary, memory_mask)
        count = len(self.bottom.state_sizes)

        def step(x, states):
            hidden, states, context, weights = self._attending_step(x, states, memory)
            return (hidden, context, weights), states

        inputs = ops.cast(inputs, self.compute_dtype)
        (hidden, contexts, weights), after = unroll(step, inputs, states[:count])
        hidden = self.between(hidden, training=training)
        top, after_upper = self.upper(hidden, initial_state=states[count:], training=training)
        return self._deep_output(inputs, top, contexts), after + after_upper, weights

    def step(
        self, inputs: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """See `AttentionDecoder.step`."""
        count = len(self.bottom.state_sizes)
        inputs = ops.cast(inputs, self.compute_dtype)
        hidden, after, context, weights = self._attending_step(inputs, states[:count], memory)
        top, after_upper = self.upper.step(hidden, states[count:])
        return self._deep_output(inputs, top, context), after + after_upper, weights

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"gate": self.gate is not None}

    def _attending_step(
        self, x: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """Returns the bottom layer's output and states, the context that it read, and the weights."""
        context, weights = self.attention.attend(states[0], memory)
        context = self.gate(states[0]) * context if self.gate else context
        hidden, after = self.bottom.step(ops.concatenate([x, context], axis=-1), states)
        return hidden, after, context, weights

    def _deep_output(self, x: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        """Returns tanh(W [x; h'; c]), [batch, (steps,) units]."""
        return self.readout(ops.concatenate([x, hidden, context], axis=-1))
