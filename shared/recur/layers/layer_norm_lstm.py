"""Layer-normalised long short-term memory."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recur.layers.cell_layer import CellLayer

Tensor = Any

# Of the variance; as in `keras.layers.LayerNormalization`. Small, it would blow up the gradient by the zero states of a
# sequence that has not begun, whose products have no variance at all.
EPSILON = 1e-3


@keras.saving.register_keras_serializable("recur")
class LayerNormLSTMCell(keras.layers.LSTMCell):
    """One step of long short-term memory with layer normalisation (Ba et al. 2016, equations 20 to 22).

    With LN(a; gain, shift) = gain (a - mean(a)) / sqrt(var(a) + epsilon) + shift, over all gates of a product at once::

        i, f, g, o = LN(x W; input_gain) + LN(h R; recurrent_gain) + b
        c' = sigmoid(f) c + sigmoid(i) tanh(g)
        h' = sigmoid(o) tanh(LN(c'; cell_gain, cell_shift))

    The paper's two shifts of the products are only ever added to b, so b stands for the three of them.

    Args:
        units: Dimension of the states h and c.
        **options: Those of `keras.layers.LSTMCell`. Dropout has one mask for all gates: they are normalised together.

    Example:
        >>> cell = LayerNormLSTMCell(4)
        >>> output, states = cell(keras.ops.ones((2, 3)), cell.get_initial_state(2))
        >>> output.shape, len(states)
        (TensorShape([2, 4]), 2)
    """

    def __init__(self, units: int, **options: Any):
        super().__init__(units, **options)
        self.dropout_mask_count = None

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Adds the gains, which begin as ones, and the shift to the weights of LSTM."""
        super().build(input_shape)
        self.input_gain = self.add_weight(shape=(4 * self.units,), initializer="ones", name="input_gain")
        self.recurrent_gain = self.add_weight(shape=(4 * self.units,), initializer="ones", name="recurrent_gain")
        self.cell_gain = self.add_weight(shape=(self.units,), initializer="ones", name="cell_gain")
        self.cell_shift = self.add_weight(shape=(self.units,), initializer="zeros", name="cell_shift")

    def call(self, inputs: Tensor, states: Sequence[Tensor], training: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Makes one step.

        Args:
            inputs: `[batch, features]`.
            states: h and c, each `[batch, units]`.
            training: Whether dropout is active.

        Returns:
            The output h', `[batch, units]`, and the states h' and c'.
        """
        h, c = states
        if training and 0 < self.dropout < 1:
            inputs = inputs * self.get_dropout_mask(inputs)
        if training and 0 < self.recurrent_dropout < 1:
            h = h * self.get_recurrent_dropout_mask(h)
        projected = ops.layer_normalization(ops.matmul(inputs, self.kernel), self.input_gain, epsilon=EPSILON)
        recurrent = ops.matmul(h, self.recurrent_kernel)
        gates = projected + ops.layer_normalization(recurrent, self.recurrent_gain, epsilon=EPSILON)
        gates = gates if self.bias is None else gates + self.bias
        i, f, g, o = ops.split(gates, 4, axis=-1)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        normalised = ops.layer_normalization(c, self.cell_gain, self.cell_shift, epsilon=EPSILON)
        h = self.recurrent_activation(o) * self.activation(normalised)
        return h, [h, c]


@keras.saving.register_keras_serializable("recur")
class LayerNormLSTM(CellLayer):
    """Long short-term memory with layer normalisation (Ba et al. 2016); see `LayerNormLSTMCell`.

    Takes the arguments of `keras.layers.LSTM` by keyword. Keras runs the loop through time.

    Example:
        >>> layer = LayerNormLSTM(4, return_sequences=True, recurrent_dropout=0.2)
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 5, 4])
    """

    cell_type = LayerNormLSTMCell
