"""Regularised layers: embedding dropout, weight drop, zoneout and layer normalisation.

Variational dropout, with one mask for all steps (Gal & Ghahramani 2016; "locked" dropout in Merity et al. 2018), of
any other sequence `[batch, time, features]` is `keras.layers.SpatialDropout1D(rate)`: it drops a feature of a sequence
at all steps, and hands masks on. Inside a recurrent layer, `dropout` and `recurrent_dropout` do the same.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops
from tensorflow import Tensor

from recur.layers.recurrent import GRU, LSTM, SimpleRNN

# Of the variance, as in `keras.layers.LayerNormalization`. Small, it would blow up the gradient by
# the zero states of a sequence that has not begun, whose products have no variance at all.
EPSILON = 1e-3


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


@keras.saving.register_keras_serializable("recur")
class DropoutEmbedding(keras.layers.Embedding):
    """An embedding that drops whole words in training (Gal & Ghahramani 2016; Merity et al. 2018, section 4.3).

    A dropped word is zeros wherever it stands in the batch; the others are divided by 1 - `dropout`.

    Args:
        input_dim: How many words there are.
        output_dim: Dimension of a word's vector.
        dropout: Probability that a word is dropped; the default is that of AWD-LSTM.
        seed: Of the draw.
        **options: Those of `keras.layers.Embedding`.

    Raises:
        ValueError: The rate is not at least 0 and less than 1.

    Example:
        >>> DropoutEmbedding(10, 4, dropout=0.1, mask_zero=True)(keras.ops.ones((2, 5), "int32"), training=True).shape
        TensorShape([2, 5, 4])
    """

    def __init__(
        self, input_dim: int, output_dim: int, *, dropout: float = 0.1, seed: int | None = None, **options: Any
    ):
        super().__init__(input_dim, output_dim, **options)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it must be at least 0 and less than 1")
        self.dropout = dropout
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Returns the words' vectors: `[batch, time]` gives `[batch, time, output_dim]`."""
        outputs = super().call(inputs)
        if not (training and self.dropout):
            return outputs
        words = keras.random.dropout(
            ops.ones((self.input_dim, 1), self.compute_dtype), self.dropout, seed=self.seed_generator
        )
        return outputs * ops.take(words, ops.cast(inputs, "int32"), axis=0)

    def compute_output_spec(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """The shape of `call`'s result; Keras's own takes no `training`."""
        return super().compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        """See `keras.layers.Layer`."""
        return super().get_config() | {"dropout": self.dropout, "seed": self.seed}


class WeightDrop(keras.layers.RNN):
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
