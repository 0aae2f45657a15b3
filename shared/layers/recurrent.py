"""Recurrent layers for Keras that are fast on a CPU: same weights, same results, same files as Keras's own.

`LSTM` is a subclass of Keras's layer and takes its arguments. Only the loop through time differs: see
`shared.layers.sequence_loop`. A model saved with these layers opens without this package by mapping them to Keras's:
`keras.models.load_model(path, custom_objects={"recur>LSTM": keras.layers.LSTM})`.
"""

import keras
import tensorflow as tf

from shared.layers import sequence_loop
from shared.layers.recurrences import LSTMRecurrence

_TANH = (keras.activations.tanh, keras.ops.tanh, tf.tanh)
_SIGMOID = (keras.activations.sigmoid, keras.ops.sigmoid, tf.sigmoid)


@keras.saving.register_keras_serializable("recur")
class LSTM(keras.layers.LSTM):
    """Long short-term memory: `keras.layers.LSTM`, with a faster loop.

    Takes the arguments of `keras.layers.LSTM`. Where these, or the device, ask for what only Keras does (activations
    other than tanh and sigmoid, `unroll`, cuDNN on a GPU), Keras does it.

    Example:
        >>> layer = LSTM(64, return_sequences=True)
        >>> layer(keras.ops.ones((8, 20, 16))).shape
        TensorShape([8, 20, 64])
    """

    _recurrence = LSTMRecurrence()

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the loop through time; see `keras.layers.RNN`."""
        cell = self.cell
        if not (_is_ours(self) and cell.activation in _TANH and cell.recurrent_activation in _SIGMOID):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        projected = _project(_dropped(sequences, cell, training), cell, gates=4)
        weights = (_tensor(cell.recurrent_kernel),)
        return _run(self, self._recurrence, projected, initial_state, weights, mask, training)


def _is_ours(layer) -> bool:
    """Whether the layer's options and the device allow our loop."""
    if layer.unroll or layer.cell.recurrent_dropout or getattr(layer, "use_cudnn", None) is True:
        return False
    return not tf.config.list_logical_devices("GPU")


def _dropped(sequences, cell, training):
    """Applies the cell's dropout of inputs, one mask for all steps; the cell may have one mask a gate.

    Returns:
        A list of one `[batch, time, features]` tensor, or of one a gate.
    """
    mask = cell.get_dropout_mask(sequences[:, 0]) if training and cell.dropout else None
    if mask is None:
        return [sequences]
    return [sequences * gate[:, None] for gate in (mask if isinstance(mask, list) else [mask])]


def _project(sequences, cell, gates):
    """Returns `x W + b` for all steps, time-major, `[time, batch, gates * units]`."""
    kernel = _tensor(cell.kernel)
    sequences = [tf.transpose(sequence, [1, 0, 2]) for sequence in sequences]
    if len(sequences) == 1:
        projected = _times(sequences[0], kernel)
    else:
        pairs = zip(sequences, tf.split(kernel, gates, axis=1), strict=True)
        projected = tf.concat([_times(sequence, part) for sequence, part in pairs], axis=-1)
    return projected if cell.bias is None else tf.nn.bias_add(projected, _tensor(cell.bias))


def _tensor(variable):
    """Returns the value of a weight in the layer's compute type, as a tensor and never as a `tf.Variable`."""
    return tf.convert_to_tensor(keras.ops.convert_to_tensor(variable))


def _times(sequence, kernel):
    """Multiplies `[time, batch, features]` by `[features, columns]` as one product of matrices."""
    shape = tf.shape(sequence)
    product = tf.matmul(tf.reshape(sequence, [-1, kernel.shape[0]]), kernel)
    product = tf.reshape(product, [shape[0], shape[1], kernel.shape[1]])
    product.set_shape([*sequence.shape[:2], kernel.shape[1]])
    return product


def _run(layer, recurrence, projected, states, weights, mask, training):
    """Runs the loop with Keras's conventions about time order, masked outputs and what is returned.

    Returns:
        The last output, all outputs (batch-major) and the states.
    """
    if isinstance(mask, (list, tuple)):
        mask = mask[0]
    if mask is not None:
        mask = tf.transpose(tf.cast(mask, tf.bool))[:, :, None]
    if layer.go_backwards:
        projected = tf.reverse(projected, [0])
        mask = None if mask is None else tf.reverse(mask, [0])
    outputs, states = sequence_loop.run(
        recurrence, projected, tuple(states), weights, mask, bool(training), layer.return_sequences
    )
    last = states[0]
    if mask is not None:
        # Keras shows a masked step the output before it, and zeros where there was none; or always zeros.
        shown = mask if layer.zero_output_for_mask else tf.cumsum(tf.cast(mask, tf.int32)) > 0
        last = tf.where(shown[-1], last, tf.zeros_like(last))
        if outputs is not None:
            outputs = tf.where(shown, outputs, tf.zeros_like(outputs))
    outputs = last[:, None] if outputs is None else tf.transpose(outputs, [1, 0, 2])
    return last, outputs, list(states)
