"""An encoder: recurrent layers that see the whole sequence before anything is said about it."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class RecurrentEncoder(keras.layers.Layer):
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
        """The layers and the rate."""
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return super().get_config() | {"layers": layers, "dropout": self.dropout}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RecurrentEncoder":
        """The inverse of `get_config`."""
        config = dict(config)
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config.pop("layers")]
        return cls(layers, **config)


def _merged(states: list[Tensor], mode: str | None) -> list[Tensor]:
    """Merges the states of the half that reads forward with those of the half that reads backward."""
    if mode is None:
        return states
    pairs = zip(states[: len(states) // 2], states[len(states) // 2 :], strict=True)
    return [first + second if mode == "sum" else ops.concatenate([first, second], axis=-1) for first, second in pairs]
