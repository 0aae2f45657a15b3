"""Decoders: recurrent layers that write, conditioned by a vector or attending to a memory."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from tensorflow import Tensor

from recur.layers.attention import MemoryAttention, ProjectedMemory
from recur.layers.stack import ComposedLayer, RecurrentStack

Shape = Sequence[int | None]


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


@keras.saving.register_keras_serializable("recur")
class Decoder(ComposedLayer):
    """Recurrent layers whose initial state is made from a vector (Cho et al. 2014; Vinyals et al. 2015).

    The vector is all that the decoder knows of what was read; a bridge turns it into the initial states. Training
    reads the wanted sequence one step behind (`call`, teacher forcing); decoding goes on from its own output (`step`).

    Args:
        stack: The recurrent layers.

    Example:
        >>> layer = keras.layers.GRU(4, return_sequences=True, return_state=True)
        >>> outputs, states = Decoder(RecurrentStack([layer]))(keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 6)))
        >>> outputs.shape, len(states)
        (TensorShape([2, 5, 4]), 1)
    """

    parts = ("stack",)

    def __init__(self, stack: RecurrentStack, **kwargs: Any):
        super().__init__(**kwargs)
        self.stack = stack
        self.bridge = StateBridge(stack.state_sizes, name="bridge", dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, inputs_shape: Shape, summary_shape: Shape) -> None:
        """Builds the layers and the bridge."""
        self.stack.build(inputs_shape)
        self.bridge.build(summary_shape)

    def call(self, inputs: Tensor, summary: Tensor, training: bool | None = None) -> tuple[Tensor, list[Tensor]]:
        """Reads wanted sequences from the beginning.

        Args:
            inputs: [batch, steps, features]. What follows a step does not change its output, so padding on the right
                needs no mask.
            summary: What conditions the decoder, [batch, width].
            training: Whether dropout is active.

        Returns:
            The outputs [batch, steps, units], and the states after the last step.
        """
        return self.stack(inputs, initial_state=self.initial_states(summary), training=training)

    def initial_states(self, summary: Tensor) -> list[Tensor]:
        """Returns the states [batch, size] from which to decode, given the vector [batch, width]."""
        return self.bridge(summary)

    def step(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Advances by one step, from inputs [batch, features] to the output [batch, units] and the new states."""
        return self.stack.step(inputs, states)


class AttentionDecoder(ComposedLayer):
    """Recurrent layers that look at a memory at every step, and whose initial state is made from a vector.

    Training reads the wanted sequence one step behind (`call`, teacher forcing). Decoding prepares once (`begin`) and
    goes on from its own output (`step`); states and memory are tensors whose first axis is the batch, so that a beam
    search gathers rows of them. A subclass gives `build`, `call` and `step`.

    Args:
        stack: The recurrent layers.
        attention: Compares states, as wide as the stack, with the memory.
    """

    parts = ("stack", "attention")

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


def _features(shape: Shape) -> int:
    """The size of the last axis, which is known when a layer is built."""
    assert shape[-1] is not None
    return shape[-1]


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


class DeepOutputDecoder(AttentionDecoder):
    """A decoder whose bottom layer attends, with the deep output tanh(W [x; h'; c]) (Pascanu et al. 2014).

    Here h' is the top layer's new state and c the context that the bottom layer read. Where there are several layers
    the bottom one attends (Wu et al. 2016, section 3.1): only that one is in the loop where steps wait for one another,
    and those above, `upper`, read the whole sequence at their own speed. A subclass makes `upper` and the dropout
    `between`, and gives `build` and `_attending_step`.
    """

    upper: RecurrentStack
    between: keras.layers.Dropout

    def call(self, inputs, memory, summary, memory_mask=None, training=None):
        """See `AttentionDecoder.call`."""
        states, memory = self.begin(memory, summary, memory_mask)
        count = self._bottom_states()

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
        count = self._bottom_states()
        inputs = ops.cast(inputs, self.compute_dtype)
        hidden, after, context, weights = self._attending_step(inputs, states[:count], memory)
        top, after_upper = self.upper.step(hidden, states[count:])
        return self._deep_output(inputs, top, context), after + after_upper, weights

    def _bottom_states(self) -> int:
        """Returns how many state tensors are the bottom layer's."""
        return len(self.stack.state_sizes) - len(self.upper.state_sizes)

    def _attending_step(
        self, x: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """Returns the bottom layer's output and states, the context that it read, and the weights."""
        raise NotImplementedError

    def _deep_output(self, x: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        """Returns tanh(W [x; h'; c]), [batch, (steps,) units]."""
        return self.readout(ops.concatenate([x, hidden, context], axis=-1))


@keras.saving.register_keras_serializable("recur")
class BahdanauDecoder(DeepOutputDecoder):
    """Attention before the recurrent layers (Bahdanau, Cho & Bengio 2015, appendix A.2.2; Xu et al. 2015).

    The state h before a step chooses the context c, and the step reads [x; c]. The output is the deep output
    tanh(W [x; h'; c]), and the layers above the bottom one do not attend: see `DeepOutputDecoder`.

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
        width = _features(inputs_shape) + self.attention.context_width(_features(memory_shape))
        self.bottom.build((*inputs_shape[:-1], width))
        self.upper.build((*inputs_shape[:-1], self.bottom.units))
        self.readout.build((None, width + self.units))
        if self.gate:
            self.gate.build((None, self.bottom.units))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"gate": self.gate is not None}

    def _attending_step(
        self, x: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """See `DeepOutputDecoder`."""
        context, weights = self.attention.attend(states[0], memory)
        context = self.gate(states[0]) * context if self.gate else context
        hidden, after = self.bottom.step(ops.concatenate([x, context], axis=-1), states)
        return hidden, after, context, weights


@keras.saving.register_keras_serializable("recur")
class ConditionalDecoder(DeepOutputDecoder):
    """Attention in the middle of a step (Sennrich et al. 2017, the conditional GRU; Firat & Cho 2016).

    A first transition reads x from the state h before the step; what it arrives at chooses the context c; a second
    transition goes on from there, reading c. So the attention knows the word just read, which Bahdanau's learns one
    step late. The output is the deep output tanh(W [x; h'; c]), and the layers above the bottom one do not attend: see
    `DeepOutputDecoder`.

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
        context = self.attention.context_width(_features(memory_shape))
        self.first.build(tuple(inputs_shape))
        self.second.build((*inputs_shape[:-1], context))
        self.upper.build((*inputs_shape[:-1], self.first.units))
        self.readout.build((None, _features(inputs_shape) + context + self.units))

    def _attending_step(
        self, x: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """See `DeepOutputDecoder`."""
        query, between = self.first.step(x, states)
        context, weights = self.attention.attend(query, memory)
        hidden, after = self.second.step(context, between)
        return hidden, after, context, weights


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
        width = _features(inputs_shape) + (self.units if self.input_feeding else 0)
        self.stack.build((*inputs_shape[:-1], width))
        self.readout.build((None, self.units + self.attention.context_width(_features(memory_shape))))

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
