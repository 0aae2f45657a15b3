"""A sequence in, one vector out."""

from collections.abc import Sequence
from typing import Any

import keras

from recur.layers.encoder import RecurrentEncoder
from recur.layers.pooling import SequencePooling

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class ManyToOne(keras.layers.Layer):
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

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        parts = {"encoder": self.encoder, "pooling": self.pooling}
        return super().get_config() | {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ManyToOne":
        """The inverse of `get_config`."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("encoder", "pooling")}
        return cls(**config | parts)
