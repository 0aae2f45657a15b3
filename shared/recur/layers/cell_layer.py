"""The layer that runs a cell of one's own, made with the cell's arguments as Keras's recurrent layers are."""

from typing import Any, ClassVar

import keras


class CellLayer(keras.layers.RNN):
    """Base of recurrent layers that differ by their cell alone.

    `keras.layers.RNN` takes a cell; Keras's named layers take `units` and the cell's other arguments, and so do the
    subclasses of this one. They say which cell by `cell_type`, and register themselves with Keras.

    Args:
        units: Dimension of the state.
        return_sequences: See `keras.layers.LSTM`, as all that follow.
        return_state: Whether to return the states after the last step.
        go_backwards: Whether to read from the end.
        stateful: Whether a batch begins with the states in which the one before ended.
        unroll: Whether to unroll the loop.
        zero_output_for_mask: Whether a masked step's output is zeros, rather than the one before it.
        activity_regularizer: Of the output.
        name: Of the layer.
        dtype: Of the layer and its cell.
        trainable: Whether the weights are trained.
        **options: Arguments of the cell.

    Example:
        >>> class Plain(CellLayer):
        ...     cell_type = keras.layers.SimpleRNNCell
        >>> Plain(4, activation="relu")(keras.ops.zeros((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    cell_type: ClassVar[type[keras.layers.Layer]]

    def __init__(
        self,
        units: int,
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        activity_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        **options: Any,
    ):
        super().__init__(
            self.cell_type(units, dtype=dtype, trainable=trainable, **options),
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            name=name,
            dtype=dtype,
            trainable=trainable,
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def units(self) -> int:
        """Dimension of the state."""
        return self.cell.units

    def get_config(self) -> dict[str, Any]:
        """The arguments of the cell and the layer."""
        config = super().get_config()
        del config["cell"]
        return self.cell.get_config() | config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CellLayer":
        """The inverse of `get_config`."""
        return cls(**config)
