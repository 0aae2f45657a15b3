"""The conditional decoder of Nematus: attention between two transitions of one step."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recur.layers.attention_decoder import AttentionDecoder, Shape, Tensor, unroll
from recur.layers.memory_attention import MemoryAttention, ProjectedMemory
from recur.layers.stack import RecurrentStack


@keras.saving.register_keras_serializable("recur")
class ConditionalDecoder(AttentionDecoder):
    """Attention in the middle of a step (Sennrich et al. 2017, the conditional GRU; Firat & Cho 2016).

    A first transition reads x from the state h before the step; what it arrives at chooses the context c; a second
    transition goes on from there, reading c. So the attention knows the word just read, which Bahdanau's learns one
    step late. The output is the deep output tanh(W [x; h'; c]), with h' the top layer's new state. Layers above the
    bottom one read the whole sequence at their own speed.

    Args:
        stack: The recurrent layers; the second transition has a cell like the first layer's.
        attention: Compares the state between the transitions with the memory.

    Example:
        >>> from recur.layers.attention import attention
        >>> from recur.layers.builders import recurrent_stack
        >>> decoder = ConditionalDecoder(recurrent_stack("gru", 4), attention("bahdanau", 4))
        >>> ones = keras.ops.ones
        >>> outputs, states, weights = decoder(ones((2, 5, 3)), memory=ones((2, 7, 6)), summary=ones((2, 6)))
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 4]), TensorShape([2, 5, 7]))
    """

    def __init__(self, stack: RecurrentStack, attention: MemoryAttention, **kwargs: Any):
        super().__init__(stack, attention, **kwargs)
        first = stack.layers[0]
        self.first = RecurrentStack(stack.layers[:1])
        self.second = RecurrentStack([type(first).from_config(first.get_config() | {"name": "second_transition"})])
        self.upper = RecurrentStack(stack.layers[1:], stack.dropout)
        self.between = keras.layers.Dropout(stack.dropout if self.upper.layers else 0.0)

    def build(self, inputs_shape: Shape, memory_shape: Shape, summary_shape: Shape) -> None:
        """Builds all layers."""
        self.bridge.build(summary_shape)
        if not self.attention.built:  # as it is where it comes from a file
            self.attention.build((None, self.first.units), memory_shape)
        context = self.attention.context_width(memory_shape[-1])
        self.first.build(tuple(inputs_shape))
        self.second.build((*inputs_shape[:-1], context))
        self.upper.build((*inputs_shape[:-1], self.first.units))
        self.readout.build((None, inputs_shape[-1] + context + self.units))

    def call(self, inputs, memory, summary, memory_mask=None, training=None):
        """See `AttentionDecoder.call`."""
        states, memory = self.begin(memory, summary, memory_mask)
        count = len(self.first.state_sizes)

        def step(x, states):
            hidden, states, context, weights = self._attending_step(x, states, memory)
            return (hidden, context, weights), states

        inputs = ops.cast(inputs, self.compute_dtype)
        (hidden, contexts, weights), after = unroll(step, inputs, states[:count])
        top, after_upper = self.upper(
            self.between(hidden, training=training), initial_state=states[count:], training=training
        )
        return self._deep_output(inputs, top, contexts), after + after_upper, weights

    def step(
        self, inputs: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """See `AttentionDecoder.step`."""
        count = len(self.first.state_sizes)
        inputs = ops.cast(inputs, self.compute_dtype)
        hidden, after, context, weights = self._attending_step(inputs, states[:count], memory)
        top, after_upper = self.upper.step(hidden, states[count:])
        return self._deep_output(inputs, top, context), after + after_upper, weights

    def _attending_step(
        self, x: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """Returns the bottom layer's output and states, the context that it read, and the weights."""
        query, between = self.first.step(x, states)
        context, weights = self.attention.attend(query, memory)
        hidden, after = self.second.step(context, between)
        return hidden, after, context, weights

    def _deep_output(self, x: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        """Returns tanh(W [x; h'; c]), [batch, (steps,) units]."""
        return self.readout(ops.concatenate([x, hidden, context], axis=-1))
