"""The loop through time of the recurrent layers, with back propagation written by hand.

`run` differentiates like any TensorFlow function. There are two ways through the sequence, chosen by what is asked:

* In training the loop is one XLA program (`recur.layers.loop.xla_loop`): no cost per operation and step, and the
  elementwise work of a step fused. It saves the activations of every step.
* Otherwise the loop is an ordinary graph (`recur.layers.loop.graph_loop`), which every TensorFlow runtime can load. It
  saves nothing; should gradients be asked for all the same, the loop runs again to save the states, and the
  activations of all steps follow in one product.

Both ways give exact gradients.
"""

import functools
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from recur.layers.loop import graph_loop, xla_loop
from recur.layers.loop.cells import Recurrence, Tensors

# XLA compiles anew for every length. A length that is unknown when the graph is traced is padded to a multiple of this;
# the loop itself stops at the real length. Where sequences are short, so much padding would be most of the work.
LENGTH_BUCKET = 32
SHORT_BUCKET = 8

# From this batch size on two halves of the batch, each with its loop, keep two cores busier than one loop does.
PARALLEL_BATCH = 16

# A longer sequence is read in segments of equal length: what back propagation makes of one is gone before the next.
SEGMENT = 256


def run(
    recurrence: Recurrence,
    sequences: list[tf.Tensor],
    kernel: tf.Tensor,
    bias: tf.Tensor | None,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None = None,
    training: bool = False,
    return_sequences: bool = True,
    watch: Callable[..., None] | None = None,
) -> tuple[tf.Tensor | None, Tensors]:
    """Runs a recurrence over a sequence.

    Args:
        recurrence: The cell.
        sequences: Inputs `[batch, time, features]`: one tensor, or one for each gate.
        kernel: The kernel of the inputs, `[features, gates * units]`.
        bias: Of the projected inputs, `[gates * units]`, or None.
        states: States before the first step, each `[batch, units]`.
        weights: The recurrent weights of the cell.
        mask: Boolean, `[batch, time, 1]`; the states pass unchanged through steps where it is False.
        training: Whether gradients will surely be asked for.
        return_sequences: Whether the outputs of all steps are wanted.
        watch: Called in back propagation with the norm of the gradient of the loss by h_t, `[steps]`: the root of the
            sum of squares over batch and units. Long sequences come in parts, `begin` being the first step of one.

    Returns:
        The outputs of all steps, `[batch, time, units]` (None unless asked for), and the states after the last.
    """
    compiled = training and not is_op_determinism_enabled()
    if compiled and (sequences[0].shape[0] or 0) >= PARALLEL_BATCH:
        parts = _halves(sequences, states, mask)
        watch = watch and _of_halves(watch)
    else:
        parts = [(sequences, states, mask)]
    results = [
        _read(recurrence, some, kernel, bias, first, weights, counts, compiled, return_sequences, watch)
        for some, first, counts in parts
    ]
    if len(results) == 1:
        return results[0]
    outputs, after = zip(*results, strict=True)
    final = tuple(tf.concat(halves, axis=0) for halves in zip(*after, strict=True))
    return tf.concat(outputs, axis=0) if return_sequences else None, final


def _halves(sequences, states, mask):
    """Divides a batch in two, whose loops have nothing to do with each other, so that they run side by side."""
    middle = sequences[0].shape[0] // 2
    return [
        ([x[part] for x in sequences], tuple(state[part] for state in states), None if mask is None else mask[part])
        for part in (slice(0, middle), slice(middle, None))
    ]


def _of_halves(watch):
    """Returns a function that is called with the norms of each half, and calls `watch` with those of both."""
    waiting: dict[int, tf.Tensor] = {}

    def watch_half(norms, begin=0):
        if begin in waiting:
            watch(tf.sqrt(norms**2 + waiting.pop(begin) ** 2), begin=begin)
        else:
            waiting[begin] = norms

    return watch_half


def _read(recurrence, sequences, kernel, bias, states, weights, mask, compiled, return_sequences, watch):
    """Runs a recurrence as `run` does, long sequences in segments."""
    time = sequences[0].shape[1]
    if not compiled or time is None or time <= SEGMENT:
        return _segment(recurrence, sequences, kernel, bias, states, weights, mask, compiled, return_sequences, watch)
    outputs = []
    length = -(-time // -(-time // SEGMENT))
    for begin in range(0, time, length):
        part = slice(begin, begin + length)
        # Without the dependency the inputs of all segments would be projected before the first is read.
        with tf.control_dependencies(states):
            some, states = _segment(
                recurrence,
                [x[:, part] for x in sequences],
                kernel,
                bias,
                states,
                weights,
                None if mask is None else mask[:, part],
                compiled,
                return_sequences,
                None if watch is None else functools.partial(watch, begin=begin),
            )
        outputs.append(some)
    return tf.concat(outputs, axis=1) if return_sequences else None, states


def _segment(recurrence, sequences, kernel, bias, states, weights, mask, compiled, return_sequences, watch):
    """Runs a recurrence as `run` does, in one piece."""
    time = tf.shape(sequences[0])[1]
    steps = time
    if mask is not None:
        # Nothing happens after the last step of the longest sequence.
        steps = tf.reduce_max(tf.where(tf.reduce_any(mask, axis=[0, 2]), tf.range(1, time + 1), 1))
    if compiled and sequences[0].shape[1] is None:
        sequences, mask = [_pad_time(x) for x in sequences], None if mask is None else _pad_time(mask)
    axis = 1
    if not compiled:
        # Slices of the first axis are views.
        axis = 0
        sequences = [tf.transpose(x, [1, 0, 2]) for x in sequences]
        mask = None if mask is None else tf.transpose(mask, [1, 0, 2])
    x = _project(sequences, kernel, bias)
    loops = xla_loop if compiled else graph_loop
    outputs, states = _differentiable(loops, axis, recurrence, x, states, weights, mask, steps, return_sequences, watch)
    if outputs is not None:
        outputs = outputs[:, :time] if compiled else tf.transpose(outputs, [1, 0, 2])
        if mask is not None:
            reached = (tf.range(time) < steps)[None, :, None]
            outputs = tf.where(reached, outputs, states[0][:, None])
    return outputs, states


def _project(sequences, kernel, bias):
    """Returns `x W + b` for all steps in one product, or in one a gate: as the inputs, `[…, gates * units]`."""
    kernels = tf.split(kernel, len(sequences), axis=1)
    flat = [tf.reshape(sequence, [-1, sequence.shape[-1]]) for sequence in sequences]
    products = [tf.matmul(sequence, part) for sequence, part in zip(flat, kernels, strict=True)]
    projected = products[0] if len(products) == 1 else tf.concat(products, axis=-1)
    projected = projected if bias is None else tf.nn.bias_add(projected, bias)
    projected = tf.reshape(projected, tf.concat([tf.shape(sequences[0])[:2], [kernel.shape[1]]], axis=0))
    projected.set_shape([*sequences[0].shape[:2], kernel.shape[1]])
    return projected


def _differentiable(loops, axis, recurrence, x, states, weights, mask, steps, return_sequences, watch):
    """Joins the loop forward and the loop back; at most the first `steps` of the time axis are looked at."""
    count = len(states)

    @tf.custom_gradient
    def loop(x, *rest):
        # Nothing here is for the tape, which would otherwise record the loop a second time.
        x, *others = (tf.stop_gradient(tensor) for tensor in (x, *rest))
        states, weights = tuple(others[:count]), tuple(others[count:])
        histories, activations, final = loops.forward(recurrence, x, states, weights, mask, steps, return_sequences)

        def gradient(*upstream):
            d_outputs, d_final = (upstream[0], upstream[1:]) if return_sequences else (None, upstream)
            saved, factors = histories, activations
            if factors is None:
                saved, _, _ = loops.forward(recurrence, x, states, weights, mask, steps, True, count)
                factors = _again(recurrence, x, _before(states, saved, axis), weights)
            kernels = recurrence.transposed(weights)
            d_states, d_steps, norms = loops.backward(
                recurrence, kernels, d_final, d_outputs, mask, states, saved, factors, steps, watch is not None
            )
            if watch is not None:
                watch(norms)
            before = _before(states[:1], saved[:1], axis)
            flat = tuple(tuple(_flat(tensor) for tensor in tensors) for tensors in (before, d_steps, factors))
            d_x, d_weights = recurrence.input_and_weight_gradients(flat[0][0], *flat[1:])
            return tf.reshape(d_x, tf.shape(x)), *d_states, *d_weights

        return (histories[0], *final) if return_sequences else final, gradient

    results = loop(x, *states, *weights)
    return (results[0], tuple(results[1:])) if return_sequences else (None, tuple(results))


def _before(initial, histories, axis):
    """Returns the states before each step from those after: one step later, the initial state first."""
    kept = [history[:, :-1] if axis else history[:-1] for history in histories]
    return tuple(tf.concat([tf.expand_dims(i, axis), h], axis) for i, h in zip(initial, kept, strict=True))


def _again(recurrence, x, before, weights):
    """Returns the activations of all steps at once, from the states before them."""
    _, activations = recurrence.step(weights, _flat(x), tuple(_flat(history) for history in before))
    leading = tf.unstack(tf.shape(x)[:2])
    return tuple(tf.reshape(activation, [*leading, activation.shape[-1]]) for activation in activations)


def _flat(tensor):
    return tf.reshape(tensor, [-1, tensor.shape[-1]])


def _pad_time(tensor):
    """Pads the second axis with zeros to a multiple of `LENGTH_BUCKET`, or of `SHORT_BUCKET` up to two of them."""
    time = tf.shape(tensor)[1]
    missing = -time % tf.where(time <= 2 * LENGTH_BUCKET, SHORT_BUCKET, LENGTH_BUCKET)
    return tf.pad(tensor, [[0, 0], [0, missing], [0, 0]])
