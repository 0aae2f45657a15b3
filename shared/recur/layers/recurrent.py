"""Recurrent layers for Keras that are fast on a CPU: same weights, same results, same files as Keras's own.

`LSTM`, `GRU` and `SimpleRNN` are subclasses of Keras's layers and take their arguments. Only the loop through time
differs: see `recur.layers.loop.sequence_loop`. Where the arguments or the device ask for what only Keras does (other
activations, `unroll`, cuDNN on a GPU), Keras does it.

Each has an attribute `watch_gradient`, None by default: a function that back propagation calls, in the graph, with the
norms of the gradient of the loss by the output of every step (see `watch` in `recur.layers.loop.sequence_loop.run`).

A model saved with these layers opens without this package by mapping them to Keras's:
`keras.models.load_model(path, custom_objects={"recur>LSTM": keras.layers.LSTM})`.
"""

import keras
import tensorflow as tf

from recur.layers.loop import sequence_loop
from recur.layers.loop.cells import GRURecurrence, LSTMRecurrence, ResetBeforeGRURecurrence, SimpleRecurrence

_TANH = (keras.activations.tanh, keras.ops.tanh, tf.tanh)
_SIGMOID = (keras.activations.sigmoid, keras.ops.sigmoid, tf.sigmoid)
_RELU = (keras.activations.relu, keras.ops.relu, tf.nn.relu)

# The loops are traced once for each of these objects, so that all layers of a kind share them.
_LSTM = LSTMRecurrence()
_GRU = {True: GRURecurrence(), False: ResetBeforeGRURecurrence()}
_SIMPLE = {True: SimpleRecurrence(rectified=True), False: SimpleRecurrence(rectified=False)}


@keras.saving.register_keras_serializable("recur")
class LSTM(keras.layers.LSTM):
    """Long short-term memory: `keras.layers.LSTM` with a faster loop.

    Example:
        >>> layer = LSTM(64, return_sequences=True)
        >>> layer(keras.ops.ones((8, 20, 16))).shape
        TensorShape([8, 20, 64])
    """

    watch_gradient = None

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the loop through time; see `keras.layers.RNN`."""
        cell = self.cell
        if not (_is_ours(self) and cell.activation in _TANH and cell.recurrent_activation in _SIGMOID):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        bias = None if cell.bias is None else _tensor(cell.bias)
        weights = (_tensor(cell.recurrent_kernel),)
        return _run(self, _LSTM, weights, bias, sequences, initial_state, mask, training)


@keras.saving.register_keras_serializable("recur")
class GRU(keras.layers.GRU):
    """Gated recurrent unit: `keras.layers.GRU` with a faster loop, for both values of `reset_after`.

    Example:
        >>> layer = GRU(64, return_state=True)
        >>> [part.shape for part in layer(keras.ops.ones((8, 20, 16)))]
        [TensorShape([8, 64]), TensorShape([8, 64])]
    """

    watch_gradient = None

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the loop through time; see `keras.layers.RNN`."""
        cell = self.cell
        if not (_is_ours(self) and cell.activation in _TANH and cell.recurrent_activation in _SIGMOID):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        kernel, bias = _tensor(cell.recurrent_kernel), None if cell.bias is None else _tensor(cell.bias)
        if cell.reset_after:
            bias, inner_bias = (None, tf.zeros_like(kernel[0])) if bias is None else (bias[0], bias[1])
            weights = (kernel, inner_bias)
        else:
            weights = (kernel[:, : 2 * cell.units], kernel[:, 2 * cell.units :])
        return _run(self, _GRU[cell.reset_after], weights, bias, sequences, initial_state, mask, training)


@keras.saving.register_keras_serializable("recur")
class SimpleRNN(keras.layers.SimpleRNN):
    """Plain recurrent network: `keras.layers.SimpleRNN` with a faster loop, for tanh and ReLU.

    Example:
        >>> layer = SimpleRNN(64, activation="relu", recurrent_initializer="identity")
        >>> layer(keras.ops.ones((8, 20, 16))).shape
        TensorShape([8, 64])
    """

    watch_gradient = None

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the loop through time; see `keras.layers.RNN`."""
        cell = self.cell
        rectified = cell.activation in _RELU
        if not (_is_ours(self) and (rectified or cell.activation in _TANH)):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        bias = None if cell.bias is None else _tensor(cell.bias)
        weights = (_tensor(cell.recurrent_kernel),)
        return _run(self, _SIMPLE[rectified], weights, bias, sequences, initial_state, mask, training)


def _is_ours(layer) -> bool:
    """Whether the layer's options and the device allow our loop."""
    if layer.unroll or layer.cell.recurrent_dropout or getattr(layer, "use_cudnn", None) is True:
        return False
    return not tf.config.list_logical_devices("GPU")


def _run(layer, recurrence, weights, bias, sequences, states, mask, training):
    """Runs the loop with Keras's conventions on dropout, the order of time, masked outputs and what is returned.

    Args:
        layer: A layer whose cell has a `kernel`.
        recurrence: What the cell computes.
        weights: The recurrent weights, as `recurrence` takes them.
        bias: The bias of the projected inputs, or None.
        sequences: `[batch, time, features]`.
        states: States before the first step, each `[batch, units]`.
        mask: `[batch, time]`, one such tensor in a list, or None.
        training: Whether to drop, and to prepare for gradients.

    Returns:
        The last output, all outputs (batch-major) and a list of the states.
    """
    sequences = _dropped(sequences, layer.cell, training)
    mask = mask[0] if isinstance(mask, (list, tuple)) else mask
    mask = None if mask is None else tf.cast(mask, tf.bool)[:, :, None]
    if layer.go_backwards:
        sequences = [tf.reverse(sequence, [1]) for sequence in sequences]
        mask = None if mask is None else tf.reverse(mask, [1])
    outputs, states = sequence_loop.run(
        recurrence,
        sequences,
        _tensor(layer.cell.kernel),
        bias,
        tuple(states),
        weights,
        mask,
        training is True,
        layer.return_sequences,
        layer.watch_gradient,
    )
    last = states[0]
    if mask is not None:
        # Keras shows a masked step the output before it, and zeros where there was none; or always zeros.
        shown = mask if layer.zero_output_for_mask else tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
        last = tf.where(shown[:, -1], last, tf.zeros_like(last))
        outputs = None if outputs is None else tf.where(shown, outputs, tf.zeros_like(outputs))
    return last, last[:, None] if outputs is None else outputs, list(states)


def _dropped(sequences, cell, training):
    """Applies the cell's dropout of inputs, the same at all steps.

    Returns:
        A list of one `[batch, time, features]` tensor, or of one a gate where the cell drops for each gate.
    """
    mask = cell.get_dropout_mask(sequences[:, 0]) if training and 0 < cell.dropout < 1 else None
    if mask is None:
        return [sequences]
    return [sequences * gate[:, None] for gate in (mask if isinstance(mask, list) else [mask])]


def _tensor(variable):
    """Returns the value of a weight in the layer's compute type, as a tensor and never as a `tf.Variable`."""
    return tf.convert_to_tensor(keras.ops.convert_to_tensor(variable))
