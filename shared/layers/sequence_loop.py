"""The loop through time of the recurrent layers, with back propagation written by hand.

`run` differentiates like any TensorFlow function. There are two ways through the sequence, chosen by what is asked:

* In training the loop is one XLA program: no cost per operation and step, and the elementwise work of a step fused. It
  saves the factors of back propagation as it goes.
* Otherwise the loop is an ordinary graph, which every TensorFlow runtime can load. It saves nothing; should gradients
  be asked for all the same, the loop runs again to save the states, and the activations of all steps follow in one
  product.

Both ways give exact gradients. All sequences here are time-major.
"""

import functools

import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from shared.layers.recurrences import Recurrence, Tensors

# XLA compiles anew for every length. A length that is unknown when the graph is traced is padded to a multiple of this;
# the loop itself stops at the real length.
LENGTH_BUCKET = 32

# The ordinary graph pays for every turn of the loop, so it makes several steps a turn; more than this gain nothing.
STEPS_A_TURN = 8


def run(
    recurrence: Recurrence,
    x: tf.Tensor,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None = None,
    training: bool = False,
    return_sequences: bool = True,
) -> tuple[tf.Tensor | None, Tensors]:
    """Runs a recurrence over a sequence.

    Args:
        recurrence: The cell.
        x: Projected inputs, `[time, batch, gates * units]`.
        states: States before the first step, each `[batch, units]`.
        weights: The recurrent weights of the cell.
        mask: Boolean, `[time, batch, 1]`; the states pass unchanged through steps where it is False.
        training: Whether gradients will surely be asked for.
        return_sequences: Whether the outputs of all steps are wanted.

    Returns:
        The outputs of all steps, `[time, batch, units]` (None unless asked for), and the states after the last.
    """
    compiled = training and not is_op_determinism_enabled()
    steps = tf.shape(x)[0]
    if compiled and x.shape[0] is None:
        x, mask = _pad_time(x), None if mask is None else _pad_time(mask)
    outputs, states = _differentiable(recurrence, x, states, weights, mask, steps, compiled, return_sequences)
    return outputs if outputs is None else outputs[:steps], states


def _differentiable(recurrence, x, states, weights, mask, steps, compiled, return_sequences):
    """Joins the loop forward and the loop back; at most the first `steps` of the time axis are looked at."""
    count = len(states)

    @tf.custom_gradient
    def loop(x, *rest):
        # Nothing here is for the tape, which would otherwise record the loop a second time.
        x, *rest = (tf.stop_gradient(tensor) for tensor in (x, *rest))
        states, weights = tuple(rest[:count]), tuple(rest[count:])
        forward = _loop(recurrence, compiled, int(return_sequences), _signature(x, mask))
        saved, final = forward(x, states, weights, mask, steps)

        def gradient(*upstream):
            d_outputs, d_final = (upstream[0], upstream[1:]) if return_sequences else (None, upstream)
            if compiled:
                outputs, *factors = saved
            else:
                again = _loop(recurrence, False, count, _signature(x, mask))
                outputs, *others = again(x, states, weights, mask, steps)[0]
                factors = _recompute(recurrence, x, states, weights, (outputs, *others))
            backward = _loop_back(recurrence, compiled, _signature(x, mask, d_outputs))
            kernels = recurrence.transposed(weights)
            d_states, d_steps = backward(kernels, d_final, d_outputs, mask, tuple(factors), steps)
            d_x, d_weights = recurrence.input_and_weight_gradients(states[0], outputs, d_steps, factors)
            return d_x, *d_states, *d_weights

        return (saved[0], *final) if return_sequences else final, gradient

    results = loop(x, *states, *weights)
    return (results[0], tuple(results[1:])) if return_sequences else (None, tuple(results))


def _recompute(recurrence, x, states, weights, histories):
    """Returns the factors of all steps at once, from the states that the loop saved after each step."""

    def flat(tensor):
        return tf.reshape(tensor, [-1, tensor.shape[-1]])

    before = tuple(
        flat(tf.concat([first[None], history[:-1]], axis=0)) for first, history in zip(states, histories, strict=True)
    )
    _, activations = recurrence.step(weights, flat(x), before, tf.sigmoid)
    leading = tf.shape(x)[:2]
    factors = recurrence.derivatives(before, activations)
    return tuple(tf.reshape(factor, [*tf.unstack(leading), factor.shape[-1]]) for factor in factors)


def _fused_sigmoid(z):
    """The logistic function by way of tanh: as exact, and XLA evaluates it several times faster than by exp."""
    return 0.5 * tf.tanh(0.5 * z) + 0.5


def _signature(*tensors):
    """Returns what a trace depends on: one function for each keeps TensorFlow from warning of many traces of one."""
    return tuple(None if tensor is None else (tensor.dtype, tuple(tensor.shape)) for tensor in tensors)


@functools.cache
def _loop(recurrence: Recurrence, compiled: bool, save: int, signature: tuple):
    """Returns the loop forward. It saves outputs and factors if compiled, else the first `save` states."""
    sigmoid = _fused_sigmoid if compiled else tf.sigmoid

    def forward(x, states, weights, mask, steps):
        def step(t, states):
            after, activations = recurrence.step(weights, x[t], states, sigmoid)
            factors = recurrence.derivatives(states, activations) if compiled else ()
            if mask is not None:
                after = tuple(tf.where(mask[t], new, old) for new, old in zip(after, states, strict=True))
            return after, (after[0], *factors) if compiled else after[:save]

        widths = (1, *recurrence.factor_widths) if compiled else (1,) * save
        return _iterate(step, states, widths, x, steps, turn=1 if compiled else STEPS_A_TURN)

    return tf.function(forward, jit_compile=True if compiled else None, autograph=False)


@functools.cache
def _loop_back(recurrence: Recurrence, compiled: bool, signature: tuple):
    """Returns the loop back through time.

    `d_states[0]`, once `d_outputs` is added, is the gradient of the loss by the state h_t: the place from which a
    monitor of the gradient's flow through time would save its norm.
    """

    def backward(kernels, d_final, d_outputs, mask, factors, steps):
        def step(t, d_states):
            if d_outputs is not None:
                d_states = (d_states[0] + d_outputs[t], *d_states[1:])
            through = d_states
            if mask is not None:
                counts = tf.cast(mask[t], d_states[0].dtype)
                through = tuple(d_state * counts for d_state in d_states)
            d_step, before = recurrence.step_back(kernels, through, tuple(factor[t] for factor in factors))
            if mask is not None:
                before = tuple(d + (whole - part) for d, whole, part in zip(before, d_states, through, strict=True))
            return before, d_step

        turn = 1 if compiled else STEPS_A_TURN
        d_steps, d_states = _iterate(step, d_final, recurrence.step_widths, factors[0], steps, turn, reverse=True)
        return d_states, d_steps

    return tf.function(backward, jit_compile=True if compiled else None, autograph=False)


def _iterate(step, states, widths, sequence, steps, turn, reverse=False):
    """Repeats `step(t, states) -> (states, saved)`; returns what was saved, stacked, and the last states.

    Args:
        step: The body.
        states: Tensors `[batch, units]`.
        widths: Last dimension of each tensor that the body saves, in units.
        sequence: Any sequence that the body reads, `[time, …]`.
        steps: How many steps to make, at most `time`; what is saved is zero beyond.
        turn: How many steps to make in one turn of the loop.
        reverse: Whether to go from step `steps - 1` down to 0.
    """
    time = tf.shape(sequence)[0] if sequence.shape[0] is None else sequence.shape[0]
    batch, units = states[0].shape
    arrays = tuple(tf.TensorArray(states[0].dtype, time, element_shape=[batch, width * units]) for width in widths)

    def body_of(count):
        def body(done, states, arrays):
            for _ in range(count):
                t = steps - 1 - done if reverse else done
                states, saved = step(t, states)
                arrays = tuple(array.write(t, value) for array, value in zip(arrays, saved, strict=True))
                done = done + 1
            return done, states, arrays

        return body

    carried = (tf.constant(0), tuple(states), arrays)
    for count in (turn, 1) if turn > 1 else (1,):
        carried = tf.while_loop(
            lambda done, *_, count=count: done + count <= steps,
            body_of(count),
            carried,
            parallel_iterations=1,
            maximum_iterations=time,
        )
    _, states, arrays = carried
    return tuple(array.stack() for array in arrays), states


def _pad_time(tensor):
    """Pads the first axis with zeros to a multiple of `LENGTH_BUCKET`."""
    missing = -tf.shape(tensor)[0] % LENGTH_BUCKET
    return tf.pad(tensor, [[0, missing]] + [[0, 0]] * (len(tensor.shape) - 1))
