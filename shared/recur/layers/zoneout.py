"""Zoneout: long short-term memory whose units sometimes keep their state."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recur.layers.cell_layer import CellLayer

Tensor = Any


@keras.saving.register_keras_serializable("recur")
class ZoneoutLSTMCell(keras.layers.LSTMCell):
    """One step of long short-term memory with zoneout (Krueger et al. 2017).

    With h' and c' the states of LSTM, and masks d drawn anew for every step, sequence and unit::

        c_t = d_c c_{t-1} + (1 - d_c) c'        d_c ~ Bernoulli(zoneout_c)
        h_t = d_h h_{t-1} + (1 - d_h) h'        d_h ~ Bernoulli(zoneout_h)

    At inference the masks are replaced by their expectations, the rates.

    Args:
        units: Dimension of the states h and c.
        zoneout_h: Probability that a unit of h keeps its state.
        zoneout_c: The same of c.
        **options: Those of `keras.layers.LSTMCell`.

    Raises:
        ValueError: A rate is not between 0 and 1.

    Example:
        >>> cell = ZoneoutLSTMCell(4, zoneout_h=0.1)
        >>> output, states = cell(keras.ops.ones((2, 3)), cell.get_initial_state(2), training=True)
        >>> output.shape, len(states)
        (TensorShape([2, 4]), 2)
    """

    def __init__(self, units: int, zoneout_h: float = 0.05, zoneout_c: float = 0.5, **options: Any):
        super().__init__(units, **options)
        for name, rate in (("zoneout_h", zoneout_h), ("zoneout_c", zoneout_c)):
            if not 0 <= rate <= 1:
                raise ValueError(f"{name} is {rate}; it must be between 0 and 1")
        self.zoneout_h = zoneout_h
        self.zoneout_c = zoneout_c

    def call(self, inputs: Tensor, states: Sequence[Tensor], training: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Makes one step.

        Args:
            inputs: `[batch, features]`.
            states: h and c, each `[batch, units]`.
            training: Whether masks are drawn.

        Returns:
            The output h_t, `[batch, units]`, and the states h_t and c_t.
        """
        _, new = super().call(inputs, states, training=training)
        keep = [self.zoneout_h, self.zoneout_c]
        if training and any(keep):
            draws = keras.random.uniform((2, *ops.shape(new[0])), seed=self.seed_generator)
            keep = [ops.cast(draws[index] < rate, new[0].dtype) for index, rate in enumerate(keep)]
        after = [then + part * (before - then) for part, before, then in zip(keep, states, new, strict=True)]
        return after[0], after

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return super().get_config() | {"zoneout_h": self.zoneout_h, "zoneout_c": self.zoneout_c}


@keras.saving.register_keras_serializable("recur")
class ZoneoutLSTM(CellLayer):
    """Long short-term memory with zoneout (Krueger et al. 2017); see `ZoneoutLSTMCell`.

    Takes the arguments of `keras.layers.LSTM` by keyword, and has its weights. Keras runs the loop through time. XLA
    draws random numbers slowly on a CPU: there, compile a model that trains with zoneout with `jit_compile=False`.

    Example:
        >>> layer = ZoneoutLSTM(4, zoneout_h=0.05, zoneout_c=0.3, return_sequences=True)
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 5, 4])
    """

    cell_type = ZoneoutLSTMCell
