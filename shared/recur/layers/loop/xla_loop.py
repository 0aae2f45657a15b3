"""The loop through time as one XLA program. All sequences are batch-major, as the layers' inputs and outputs are."""

import functools

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from recur.layers.loop.cells import Recurrence, Tensors


def forward(
    recurrence: Recurrence,
    x: tf.Tensor,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None,
    steps: tf.Tensor,
    return_sequences: bool = True,
) -> tuple[Tensors, Tensors, Tensors]:
    """Runs the loop forward and saves all that back propagation needs.

    Args:
        recurrence: The cell.
        x: Projected inputs, `[batch, time, gates * units]`.
        states: States before the first step, each `[batch, units]`.
        weights: The recurrent weights of the cell.
        mask: Boolean, `[batch, time, 1]`, or None.
        steps: How many steps to make, at most `time`; what is saved is zero beyond.
        return_sequences: Of no consequence: the outputs are saved in any case.

    Returns:
        The states after each step, the activations of each step, all `[batch, time, units]`, and the last states.
    """
    return _forward(recurrence, _signature(x, mask))(x, states, weights, mask, steps)


def backward(
    recurrence: Recurrence,
    kernels: Tensors,
    d_final: Tensors,
    d_outputs: tf.Tensor | None,
    mask: tf.Tensor | None,
    initial: Tensors,
    histories: Tensors,
    activations: Tensors,
    steps: tf.Tensor,
    norms: bool,
) -> tuple[Tensors, Tensors, tf.Tensor | None]:
    """Runs the loop back through time.

    Args:
        recurrence: The cell.
        kernels: The transposed kernels.
        d_final: Gradients of the last states.
        d_outputs: Gradients of the outputs of all steps, or None.
        mask: As in `forward`.
        initial: States before the first step.
        histories: States after each step.
        activations: Of each step.
        steps: As in `forward`.
        norms: Whether the norm of the gradient by h_t is wanted.

    Returns:
        The gradients of the initial states, those inside the steps, `[batch, time, …]`, and the norms, `[time]`.
    """
    call = _backward(recurrence, norms, _signature(histories[0], mask, d_outputs))
    return call(kernels, d_final, d_outputs, mask, initial, histories, activations, steps)


def _signature(*tensors):
    """Returns what a trace depends on: one function for each keeps TensorFlow from warning of many traces of one."""
    return tuple(None if tensor is None else (tensor.dtype, tuple(tensor.shape)) for tensor in tensors)


@functools.cache
def _forward(recurrence, signature):
    def call(x, states, weights, mask, steps):
        histories = tuple(_buffer(x, state) for state in states)
        activations = tuple(_buffer(x, states[0]) for _ in range(recurrence.activations))

        def body(t, states, histories, activations):
            after, now = recurrence.step(weights, _at(x, t), states)
            if mask is not None:
                counts = _at(mask, t)
                after = tuple(tf.where(counts, new, old) for new, old in zip(after, states, strict=True))
            return t + 1, after, _put(histories, after, t), _put(activations, now, t)

        carried = (tf.constant(0), states, histories, activations)
        _, states, histories, activations = tf.while_loop(lambda t, *_: t < steps, body, carried, parallel_iterations=1)
        return histories, activations, states

    return tf.function(call, jit_compile=True, autograph=False)


@functools.cache
def _backward(recurrence, norms, signature):
    def call(kernels, d_final, d_outputs, mask, initial, histories, activations, steps):
        d_steps = tuple(_buffer(histories[0], initial[0], width) for width in recurrence.step_widths)
        wide = tf.float64 if histories[0].dtype == tf.float64 else tf.float32
        lengths = (tf.zeros([tf.shape(histories[0])[1], 1], wide),) if norms else ()

        # The step is what the loop carries: computed from `steps`, it would make XLA compile for every number of steps,
        # for where a slice begins is a constant to it unless it changes from turn to turn.
        def body(t, d_states, d_steps, lengths):
            if d_outputs is not None:
                d_states = (d_states[0] + _at(d_outputs, t), *d_states[1:])
            if norms:
                lengths = _put_row(lengths, _norm(tf.cast(d_states[0], wide)), t)
            through = d_states
            if mask is not None:
                counts = tf.cast(_at(mask, t), d_states[0].dtype)
                through = tuple(d_state * counts for d_state in d_states)
            after = tuple(_at(history, t) for history in histories)
            before = tuple(
                tf.where(t > 0, _at(history, tf.maximum(t - 1, 0)), first)
                for history, first in zip(histories, initial, strict=True)
            )
            now, d_before = recurrence.step_back(kernels, through, before, after, [_at(a, t) for a in activations])
            if mask is not None:
                d_before = tuple(d + (whole - part) for d, whole, part in zip(d_before, d_states, through, strict=True))
            return t - 1, d_before, _put(d_steps, now, t), lengths

        carried = (steps - 1, tuple(d_final), d_steps, lengths)
        _, d_states, d_steps, lengths = tf.while_loop(lambda t, *_: t >= 0, body, carried, parallel_iterations=1)
        return d_states, d_steps, lengths[0][:, 0] if norms else None

    return tf.function(call, jit_compile=True, autograph=False)


def _buffer(sequence, state, width=1):
    """Returns zeros for something saved at every step: `[batch, time, width * units]`."""
    batch, time = (
        tf.shape(sequence)[axis] if sequence.shape[axis] is None else sequence.shape[axis] for axis in (0, 1)
    )
    return tf.zeros([batch, time, width * state.shape[-1]], state.dtype)


def _at(sequence, t):
    """Returns `sequence[:, t]`."""
    batch = tf.shape(sequence)[0] if sequence.shape[0] is None else sequence.shape[0]
    # A size of -1 would have XLA pad the whole sequence first.
    return tf.squeeze(tf.slice(sequence, [0, t, 0], [batch, 1, sequence.shape[2]]), axis=1)


def _put(buffers, values, t):
    """Writes values `[batch, …]` as step t of the buffers; XLA does so in place."""
    return tuple(
        xla.dynamic_update_slice(buffer, value[:, None], tf.stack([0, t, 0]))
        for buffer, value in zip(buffers, values, strict=True)
    )


def _norm(state):
    # By a product: for a plain sum of so many XLA on a CPU adds one after another, a few per cent of the step.
    return tf.sqrt(tf.reduce_sum(tf.matmul(tf.square(state), tf.ones([state.shape[1], 1], state.dtype))))


def _put_row(lengths, value, t):
    return (xla.dynamic_update_slice(lengths[0], tf.reshape(value, [1, 1]), tf.stack([t, 0])),)
