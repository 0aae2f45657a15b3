"""One vector in, one vector out."""

from collections.abc import Sequence
from typing import Any

import keras

from recur.layers.stack import RecurrentStack

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class OneToOne(keras.layers.Layer):
    """A recurrent network that reads one vector and answers with one, and hands out its state for the next.

    Args:
        stack: The recurrent layers.

    Example:
        >>> layer = keras.layers.GRU(4, return_sequences=True, return_state=True)
        >>> output, states = OneToOne(RecurrentStack([layer]))(keras.ops.ones((2, 3)))
        >>> output.shape, len(states)
        (TensorShape([2, 4]), 1)
    """

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

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"stack": keras.saving.serialize_keras_object(self.stack)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "OneToOne":
        """The inverse of `get_config`."""
        return cls(**config | {"stack": keras.saving.deserialize_keras_object(config["stack"])})
