"""Recurrent networks as layers: an encoder, and from a sequence to another, to a vector, from a vector to a vector.

`recur.layers.builders` makes them by name.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from tensorflow import Tensor

from recur.layers.attention import ProjectedMemory
from recur.layers.decoders import AttentionDecoder
from recur.layers.pooling import SequencePooling
from recur.layers.stack import ComposedLayer, RecurrentStack

Shape = Sequence[int | None]


@keras.saving.register_keras_serializable("recur")
class RecurrentEncoder(ComposedLayer):
    """Recurrent layers on top of one another, each of them in one direction or in both.

    Where a layer reads in both directions (Schuster & Paliwal 1997), its outputs and the states of its two halves are
    merged as its `merge_mode` says. `RecurrentStack` is the form for one direction that goes on from a given state.

    Args:
        layers: Recurrent layers made with `return_sequences=True, return_state=True`, or `keras.layers.Bidirectional`
            around such a layer with the `merge_mode` `concat` or `sum`.
        dropout: Rate of dropout between one layer and the next.

    Raises:
        ValueError: A layer merges its directions in another way.

    Example:
        >>> layer = keras.layers.Bidirectional(keras.layers.GRU(4, return_sequences=True, return_state=True))
        >>> outputs, states = RecurrentEncoder([layer])(keras.ops.zeros((2, 3, 5)))
        >>> outputs.shape, [state.shape for state in states]
        (TensorShape([2, 3, 8]), [TensorShape([2, 8])])
    """

    parts = ("layers",)

    def __init__(self, layers: Sequence[keras.layers.Layer], dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.layers = list(layers)
        if unknown := {getattr(layer, "merge_mode", "concat") for layer in self.layers} - {"concat", "sum"}:
            raise ValueError(f"an encoder cannot merge states by {unknown.pop()!r}; the ways are: concat, sum")
        self.dropout = dropout
        self.supports_masking = True
        self.between = [keras.layers.Dropout(dropout) for _ in self.layers[1:]]

    @property
    def bidirectional(self) -> bool:
        """Whether the second half of the outputs is read backwards."""
        return getattr(self.layers[-1], "merge_mode", None) == "concat"

    @property
    def units(self) -> int:
        """Width of the outputs and of the top layer's states."""
        top = self.layers[-1]
        return getattr(top, "forward_layer", top).units * (2 if self.bidirectional else 1)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds every layer on the output of the one below."""
        shape = tuple(input_shape)
        for index, layer in enumerate(self.layers):
            if index:
                self.between[index - 1].build(shape)
            layer.build(shape)
            shape = tuple(layer.compute_output_shape(shape)[0])

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Reads sequences.

        Args:
            inputs: [batch, time, features].
            mask: bool [batch, time]; padding, where it is False, changes no state.
            training: Whether dropout is active.

        Returns:
            The top layer's outputs [batch, time, width], and the states after the last real step (of a half that reads
            backwards, after the first), layer by layer: [batch, width] each, an LSTM has two.
        """
        states: list[Tensor] = []
        outputs = inputs
        for index, layer in enumerate(self.layers):
            if index:
                outputs = self.between[index - 1](outputs, training=training)
            outputs, *own = layer(outputs, mask=mask, training=training)
            states += _merged(own, getattr(layer, "merge_mode", None))
        return outputs, states

    def summary(self, states: Sequence[Tensor]) -> Tensor:
        """Returns what the encoder holds once it has read everything: the top layer's state h, [batch, width]."""
        top = self.layers[-1]
        return states[-len(getattr(top, "forward_layer", top).state_size)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"dropout": self.dropout}


def _merged(states: list[Tensor], mode: str | None) -> list[Tensor]:
    """Merges the states of the half that reads forward with those of the half that reads backward."""
    if mode is None:
        return states
    pairs = zip(states[: len(states) // 2], states[len(states) // 2 :], strict=True)
    return [first + second if mode == "sum" else ops.concatenate([first, second], axis=-1) for first, second in pairs]


@keras.saving.register_keras_serializable("recur")
class EncoderDecoder(ComposedLayer):
    """An encoder, and a decoder that attends to its outputs (Bahdanau, Cho & Bengio 2015; Luong, Pham & Manning 2015).

    The decoder begins in what a bridge makes of the encoder's last state. Training reads the wanted sequence one step
    behind (`call`, teacher forcing); decoding prepares once (`begin`) and goes on from its own output (`step`).

    Args:
        encoder: Reads the source.
        decoder: Writes the target.

    Example:
        >>> from recur.layers.builders import encoder_decoder
        >>> network, ones = encoder_decoder("gru", 4), keras.ops.ones
        >>> outputs, weights = network(ones((2, 7, 3)), ones((2, 5, 3)))
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 4]), TensorShape([2, 5, 7]))
        >>> states, memory = network.begin(ones((2, 7, 3)))
        >>> output, states, weights = network.step(ones((2, 3)), states, memory)
        >>> output.shape, weights.shape
        (TensorShape([2, 4]), TensorShape([2, 7]))
    """

    parts = ("encoder", "decoder")

    def __init__(self, encoder: RecurrentEncoder, decoder: AttentionDecoder, **kwargs: Any):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder

    def build(self, source_shape: Shape, target_shape: Shape) -> None:
        """Builds encoder and decoder."""
        self.encoder.build(source_shape)
        memory_shape = (*source_shape[:-1], self.encoder.units)
        if not self.decoder.built:  # as it is where it comes from a file
            self.decoder.build(target_shape, memory_shape, (source_shape[0], self.encoder.units))

    def call(
        self, source: Tensor, target: Tensor, source_mask: Tensor | None = None, training: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """Reads sources and the wanted targets.

        Args:
            source: [batch, time, features].
            target: What the decoder reads, one step behind what it shall say, [batch, steps, features]. What follows a
                step does not change its output, so padding on the right needs no mask; leave it out of the loss.
            source_mask: bool [batch, time], False at padding, which changes nothing.
            training: Whether dropout is active.

        Returns:
            The decoder's outputs [batch, steps, units], and the attention's weights [batch, (heads,) steps, time].
        """
        memory, states = self.encoder(source, mask=source_mask, training=training)
        summary = self.encoder.summary(states)
        outputs, _, weights = self.decoder(target, memory, summary, memory_mask=source_mask, training=training)
        return outputs, weights

    def begin(self, source: Tensor, source_mask: Tensor | None = None) -> tuple[list[Tensor], ProjectedMemory]:
        """Returns the states [batch, size] from which to decode, and the memory projected once; arguments of `call`."""
        memory, states = self.encoder(source, mask=source_mask)
        return self.decoder.begin(memory, self.encoder.summary(states), source_mask)

    def step(
        self, inputs: Tensor, states: Sequence[Tensor], memory: ProjectedMemory
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Advances the decoder by one step; see `AttentionDecoder.step`."""
        return self.decoder.step(inputs, states, memory)

    def compute_mask(self, source: Tensor, previous_mask: Tensor | None = None) -> None:
        """Returns None: Keras would hand on the source's mask, which says nothing about the target."""


@keras.saving.register_keras_serializable("recur")
class ManyToOne(ComposedLayer):
    """An encoder whose outputs are pooled.

    Args:
        encoder: Reads the sequence.
        pooling: Makes one vector of its outputs.

    Example:
        >>> from recur.layers.builders import recurrent_encoder
        >>> from recur.layers.pooling import MaxPooling
        >>> ManyToOne(recurrent_encoder("gru", 4), MaxPooling())(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 8])
    """

    parts = ("encoder", "pooling")

    def __init__(self, encoder: RecurrentEncoder, pooling: SequencePooling, **kwargs: Any):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.pooling = pooling

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds encoder and pooling."""
        self.encoder.build(input_shape)
        if not self.pooling.built:  # as it is where it comes from a file
            self.pooling.build((*input_shape[:-1], self.encoder.units))

    def call(self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None) -> Tensor:
        """Reads sequences.

        Args:
            inputs: [batch, time, features].
            mask: bool [batch, time], False at padding, which changes nothing.
            training: Whether dropout is active.

        Returns:
            [batch, width].
        """
        outputs, _ = self.encoder(inputs, mask=mask, training=training)
        return self.pooling(outputs, mask=mask)

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        """Returns None: there are no steps left to mask."""


@keras.saving.register_keras_serializable("recur")
class OneToOne(ComposedLayer):
    """A recurrent network that reads one vector and answers with one, and hands out its state for the next.

    Args:
        stack: The recurrent layers.

    Example:
        >>> layer = keras.layers.GRU(4, return_sequences=True, return_state=True)
        >>> output, states = OneToOne(RecurrentStack([layer]))(keras.ops.ones((2, 3)))
        >>> output.shape, len(states)
        (TensorShape([2, 4]), 1)
    """

    parts = ("stack",)

    def __init__(self, stack: RecurrentStack, **kwargs: Any):
        super().__init__(**kwargs)
        self.stack = stack

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds the layers."""
        self.stack.build((input_shape[0], None, input_shape[-1]))

    def call(
        self, inputs: Tensor, initial_state: Sequence[Tensor] | None = None, training: bool | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Reads one vector.

        Args:
            inputs: [batch, features].
            initial_state: The states that the vector before left, [batch, size]; zeros by default.
            training: Whether dropout is active.

        Returns:
            The top layer's output [batch, units], and the new states.
        """
        states = self.stack.zero_states(keras.ops.shape(inputs)[0]) if initial_state is None else initial_state
        return self.stack.step(inputs, states, training=training)
