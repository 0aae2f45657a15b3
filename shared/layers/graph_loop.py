"""The loop through time as an ordinary graph, which needs no compiler. All sequences are time-major."""

import tensorflow as tf

from shared.layers.recurrences import Recurrence, Tensors

# The graph pays for every turn of the loop, so it makes several steps a turn; more than this gain nothing.
STEPS_A_TURN = 8


def forward(
    recurrence: Recurrence,
    x: tf.Tensor,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None,
    steps: tf.Tensor,
    return_sequences: bool = True,
    save: int = 1,
) -> tuple[Tensors, None, Tensors]:
    """Runs the loop forward.

    Args:
        recurrence: The cell.
        x: Projected inputs, `[time, batch, gates * units]`.
        states: States before the first step, each `[batch, units]`.
        weights: The recurrent weights of the cell.
        mask: Boolean, `[time, batch, 1]`, or None.
        steps: How many steps to make, at most `time`; what is saved is zero beyond.
        return_sequences: Whether to save anything.
        save: How many of the states to save, the output first.

    Returns:
        The states after each step, `[time, batch, units]`, None, and the last states.
    """

    def step(t, states):
        after, _ = recurrence.step(weights, x[t], states)
        if mask is not None:
            after = tuple(tf.where(mask[t], new, old) for new, old in zip(after, states, strict=True))
        return after, after[: save * return_sequences]

    histories, states = _iterate(step, states, (1,) * save * return_sequences, x, steps)
    return histories, None, states


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
    """Runs the loop back through time; see `shared.layers.compiled_loop.backward`. Sequences are time-major."""
    shifted = tuple(tf.concat([i[None], h[:-1]], axis=0) for i, h in zip(initial, histories, strict=True))

    def step(t, d_states):
        if d_outputs is not None:
            d_states = (d_states[0] + d_outputs[t], *d_states[1:])
        through = d_states
        if mask is not None:
            counts = tf.cast(mask[t], d_states[0].dtype)
            through = tuple(d_state * counts for d_state in d_states)
        at = [tuple(history[t] for history in group) for group in (shifted, histories, activations)]
        now, d_before = recurrence.step_back(kernels, through, *at)
        if mask is not None:
            d_before = tuple(d + (whole - part) for d, whole, part in zip(d_before, d_states, through, strict=True))
        return d_before, (*now, d_states[0]) if norms else now

    widths = (*recurrence.step_widths, 1) if norms else recurrence.step_widths
    saved, d_states = _iterate(step, d_final, widths, histories[0], steps, reverse=True)
    d_steps = saved[: len(recurrence.step_widths)]
    return d_states, d_steps, tf.norm(saved[-1], axis=[1, 2]) if norms else None


def _iterate(step, states, widths, sequence, steps, reverse=False):
    """Repeats `step(t, states) -> (states, saved)`; returns what was saved, stacked, and the last states.

    Args:
        step: The body.
        states: Tensors `[batch, units]`.
        widths: Last dimension of each tensor that the body saves, in units.
        sequence: Any sequence that the body reads, `[time, …]`.
        steps: How many steps to make, at most `time`; what is saved is zero beyond.
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
    for count in (STEPS_A_TURN, 1):
        carried = tf.while_loop(
            lambda done, *_, count=count: done + count <= steps,
            body_of(count),
            carried,
            parallel_iterations=1,
            maximum_iterations=time,
        )
    _, states, arrays = carried
    return tuple(array.stack() for array in arrays), states
