"""A decoder that a vector conditions."""

from collections.abc import Sequence
from typing import Any

import keras

from recur.layers.bridge import StateBridge
from recur.layers.stack import RecurrentStack

Tensor = Any
Shape = Sequence[int | None]


@keras.saving.register_keras_serializable("recur")
class Decoder(keras.layers.Layer):
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

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"stack": keras.saving.serialize_keras_object(self.stack)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Decoder":
        """The inverse of `get_config`."""
        return cls(**config | {"stack": keras.saving.deserialize_keras_object(config["stack"])})
