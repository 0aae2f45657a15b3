"""Weight drop: DropConnect on the recurrent kernel, for the fast recurrent layers."""

from typing import Any

import keras

from recur.layers.recurrent import GRU, LSTM, SimpleRNN


class WeightDrop:
    """Mixin that drops elements of the recurrent kernel in training (DropConnect, Wan et al. 2013; Merity et al. 2018).

    One mask is drawn a call, the same at all steps and for the whole batch, so that the loop through time is that of
    the layer it is mixed into, and as fast. What is kept is divided by 1 - `weight_drop`: at inference the kernel is
    whole. Among the base classes it stands before a recurrent layer whose cell has a `recurrent_kernel`.

    Args:
        units: Dimension of the state.
        weight_drop: Probability that an element is dropped; the default is that of AWD-LSTM.
        **options: Those of the layer; its `seed` is that of the mask, too.

    Raises:
        ValueError: The rate is not at least 0 and less than 1.
    """

    def __init__(self, units: int, *, weight_drop: float = 0.5, **options: Any):
        super().__init__(units, **options)
        if not 0 <= weight_drop < 1:
            raise ValueError(f"weight_drop is {weight_drop}; it must be at least 0 and less than 1")
        self.weight_drop = weight_drop

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the loop through time; see `keras.layers.RNN`."""
        if not (training and self.weight_drop):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        kernel = self.cell.recurrent_kernel
        dropped = keras.random.dropout(kernel.value, self.weight_drop, seed=self.cell.seed_generator)
        # Inside this scope the kernel reads as the dropped one, which gradients go through. The other weights are named
        # because an outer scope (`stateless_call`) is hidden by it.
        values = [(weight, weight.value) for weight in self.cell.weights if weight is not kernel]
        with keras.StatelessScope([*values, (kernel, dropped)]):
            return super().inner_loop(sequences, initial_state, mask, training=training)

    def get_config(self) -> dict[str, Any]:
        """The layer's and the rate."""
        return super().get_config() | {"weight_drop": self.weight_drop}


@keras.saving.register_keras_serializable("recur")
class WeightDropLSTM(WeightDrop, LSTM):
    """Long short-term memory with a dropped recurrent kernel: the LSTM of AWD-LSTM (Merity et al. 2018).

    Example:
        >>> layer = WeightDropLSTM(8, weight_drop=0.5, return_sequences=True)
        >>> layer(keras.ops.ones((2, 5, 3)), training=True).shape
        TensorShape([2, 5, 8])
    """


@keras.saving.register_keras_serializable("recur")
class WeightDropGRU(WeightDrop, GRU):
    """Gated recurrent unit with a dropped recurrent kernel.

    Example:
        >>> WeightDropGRU(8)(keras.ops.ones((2, 5, 3)), training=True).shape
        TensorShape([2, 8])
    """


@keras.saving.register_keras_serializable("recur")
class WeightDropSimpleRNN(WeightDrop, SimpleRNN):
    """Plain recurrent network with a dropped recurrent kernel.

    Example:
        >>> WeightDropSimpleRNN(8)(keras.ops.ones((2, 5, 3)), training=True).shape
        TensorShape([2, 8])
    """
