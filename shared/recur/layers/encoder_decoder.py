"""A sequence in, another sequence out."""

from collections.abc import Sequence
from typing import Any

import keras

from recur.layers.attention_decoder import AttentionDecoder
from recur.layers.encoder import RecurrentEncoder
from recur.layers.memory_attention import ProjectedMemory

Tensor = Any
Shape = Sequence[int | None]


@keras.saving.register_keras_serializable("recur")
class EncoderDecoder(keras.layers.Layer):
    """An encoder, and a decoder that attends to its outputs (Bahdanau, Cho & Bengio 2015; Luong, Pham & Manning 2015).

    The decoder begins in what a bridge makes of the encoder's last state. Training reads the wanted sequence one step
    behind (`call`, teacher forcing); decoding prepares once (`begin`) and goes on from its own output (`step`).

    Args:
        encoder: Reads the source.
        decoder: Writes the target.

    Example:
        >>> from recur.layers.networks import encoder_decoder
        >>> network, ones = encoder_decoder("gru", 4), keras.ops.ones
        >>> outputs, weights = network(ones((2, 7, 3)), ones((2, 5, 3)))
        >>> outputs.shape, weights.shape
        (TensorShape([2, 5, 4]), TensorShape([2, 5, 7]))
        >>> states, memory = network.begin(ones((2, 7, 3)))
        >>> output, states, weights = network.step(ones((2, 3)), states, memory)
        >>> output.shape, weights.shape
        (TensorShape([2, 4]), TensorShape([2, 7]))
    """

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

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        parts = {"encoder": self.encoder, "decoder": self.decoder}
        return super().get_config() | {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "EncoderDecoder":
        """The inverse of `get_config`."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("encoder", "decoder")}
        return cls(**config | parts)
