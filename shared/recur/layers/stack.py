"""A stack of recurrent layers whose state goes in and comes out."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import keras
import tensorflow as tf
from keras import KerasTensor, ops
from tensorflow import Tensor


class ComposedLayer(keras.layers.Layer):
    """A layer that is made of others, which its configuration holds, and so the file of a model.

    Attributes:
        parts: The constructor's arguments that are layers, or lists of layers; they are kept under the same names.
    """

    parts: ClassVar[tuple[str, ...]]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.parts}
        return super().get_config() | parts

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**config | {name: keras.saving.deserialize_keras_object(config[name]) for name in cls.parts})


@keras.saving.register_keras_serializable("recur")
class RecurrentStack(ComposedLayer):
    """Recurrent layers on top of one another.

    The state is an argument and a result, never hidden in the layer: the same stack reads whole sequences in training
    (`call`), continues from window to window, and advances one step at a time when it generates (`step`).

    Args:
        layers: Keras recurrent layers made with `return_sequences=True, return_state=True`.
        dropout: Rate of dropout between one layer and the next.

    Example:
        >>> layer = keras.layers.GRU(4, return_sequences=True, return_state=True)
        >>> outputs, states = RecurrentStack([layer])(keras.ops.zeros((2, 3, 5)))
        >>> outputs.shape, len(states)
        (TensorShape([2, 3, 4]), 1)
    """

    parts = ("layers",)

    def __init__(self, layers: Sequence[keras.layers.RNN], dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.layers = list(layers)
        self.dropout = dropout
        self.supports_masking = True
        self.between = [keras.layers.Dropout(dropout) for _ in self.layers[1:]]

    @property
    def state_sizes(self) -> list[int]:
        """Width of every state tensor, layer by layer (an LSTM has two)."""
        sizes = [layer.state_size for layer in self.layers]
        return [int(s) for size in sizes for s in (size if isinstance(size, (list, tuple)) else [size])]

    @property
    def units(self) -> int:
        """Width of the outputs."""
        return self.layers[-1].units

    def zero_states(self, batch: Tensor) -> list[Tensor]:
        """States of sequences that have not begun: zeros, [batch, size] each."""
        return [ops.zeros((batch, size), self.compute_dtype) for size in self.state_sizes]

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds every layer on the output of the one below."""
        shape = tuple(input_shape)
        for layer in self.layers:
            layer.build(shape)
            shape = (*shape[:-1], layer.units)
        for dropout in self.between:
            dropout.build(shape)

    def call(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        mask: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Reads sequences.

        Args:
            inputs: [batch, time, features].
            initial_state: As many tensors as `state_sizes`, [batch, size]; zeros by default.
            mask: bool [batch, time]; at a step that is False the state stays as it was.
            training: Whether dropout is active.

        Returns:
            The top layer's outputs [batch, time, units], and the states after the last step.
        """
        states = list(initial_state) if initial_state is not None else self.zero_states(ops.shape(inputs)[0])
        after: list[Tensor] = []
        outputs = inputs
        for index, layer in enumerate(self.layers):
            if index:
                outputs = self.between[index - 1](outputs, training=training)
            begin = len(after)
            own = states[begin : begin + len(_state_list(layer))]
            outputs, *new = layer(outputs, initial_state=own, mask=mask, training=training)
            after += new
        return outputs, after

    def step(
        self, inputs: Tensor, states: Sequence[Tensor], training: bool | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Advances by one step.

        Args:
            inputs: [batch, features].
            states: As many tensors as `state_sizes`, [batch, size].
            training: Whether dropout between the layers is active.

        Returns:
            The top layer's output [batch, units] and the new states.
        """
        after: list[Tensor] = []
        outputs = tf.identity(inputs)  # without the mask that an embedding attaches, of which cells would warn
        for index, layer in enumerate(self.layers):
            if index:
                outputs = self.between[index - 1](outputs, training=training)
            begin = len(after)
            own = list(states[begin : begin + len(_state_list(layer))])
            outputs, new = layer.cell(outputs, own, training=False)
            after += list(new) if isinstance(new, (list, tuple)) else [new]
        return outputs, after

    def compute_output_spec(
        self, inputs: KerasTensor, *args: Any, **kwargs: Any
    ) -> tuple[KerasTensor, list[KerasTensor]]:
        """Shapes of `call`'s results."""
        batch, time = inputs.shape[:2]
        states = [KerasTensor((batch, size), self.compute_dtype) for size in self.state_sizes]
        return KerasTensor((batch, time, self.units), self.compute_dtype), states

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"dropout": self.dropout}


def _state_list(layer: keras.layers.RNN) -> list[int]:
    size = layer.state_size
    return list(size) if isinstance(size, (list, tuple)) else [size]
