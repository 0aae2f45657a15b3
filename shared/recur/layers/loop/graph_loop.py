"""The loop through time as an ordinary graph, which needs no compiler. All sequences are time-major."""

import tensorflow as tf

from recur.layers.loop.cells import Recurrence, Tensors

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
    counted = () if mask is None else (mask,)

    def step(now, states):
        x, *counts = now
        after, _ = recurrence.step(weights, x, states)
        if counts:
            after = tuple(tf.where(counts[0], new, old) for new, old in zip(after, states, strict=True))
        return after, after[: save * return_sequences]

    histories, states = _iterate(step, states, (1,) * save * return_sequences, (x, *counted), steps)
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
    """Runs the loop back through time; see `recur.layers.loop.xla_loop.backward`. Sequences are time-major."""
    shifted = tuple(tf.concat([i[None], h[:-1]], axis=0) for i, h in zip(initial, histories, strict=True))
    given = {"d_outputs": d_outputs, "mask": mask}
    given = {name: sequence for name, sequence in given.items() if sequence is not None}
    sequences = (*shifted, *histories, *activations, *given.values())

    def step(now, d_states):
        count = len(shifted)
        before, after, activated = now[:count], now[count : 2 * count], now[2 * count : 2 * count + len(activations)]
        now = dict(zip(given, now[2 * count + len(activations) :], strict=True))
        if d_outputs is not None:
            d_states = (d_states[0] + now["d_outputs"], *d_states[1:])
        through = d_states
        if mask is not None:
            counts = tf.cast(now["mask"], d_states[0].dtype)
            through = tuple(d_state * counts for d_state in d_states)
        d_step, d_before = recurrence.step_back(kernels, through, before, after, activated)
        if mask is not None:
            d_before = tuple(d + (whole - part) for d, whole, part in zip(d_before, d_states, through, strict=True))
        return d_before, (*d_step, d_states[0]) if norms else d_step

    widths = (*recurrence.step_widths, 1) if norms else recurrence.step_widths
    saved, d_states = _iterate(step, tuple(d_final), widths, sequences, steps, reverse=True)
    d_steps = saved[: len(recurrence.step_widths)]
    return d_states, d_steps, tf.norm(saved[-1], axis=[1, 2]) if norms else None


def _iterate(step, states, widths, sequences, steps, reverse=False):
    """Repeats `step(now, states) -> (states, saved)`; returns what was saved, stacked, and the last states.

    A turn of the loop makes several steps, whose part of the sequences it reads at once; those left over come one by
    one.

    Args:
        step: The body; `now` is what the sequences hold at the step.
        states: Tensors `[batch, units]`.
        widths: Last dimension of each tensor that the body saves, in units.
        sequences: Tensors `[time, …]`.
        steps: How many steps to make, at most `time`; what is saved is zero beyond.
        reverse: Whether to go from step `steps - 1` down to 0.
    """
    time = tf.shape(sequences[0])[0] if sequences[0].shape[0] is None else sequences[0].shape[0]
    batch, units = states[0].shape
    arrays = tuple(tf.TensorArray(states[0].dtype, time, element_shape=[batch, width * units]) for width in widths)

    def body_of(count):
        def body(done, states, arrays):
            first = steps - done - count if reverse else done
            # Not a slice: its bounds would have to be constant where XLA compiles this loop with a model around it.
            part = first + tf.range(count)
            blocks = list(zip(*(tf.unstack(tf.gather(sequence, part)) for sequence in sequences), strict=True))
            for place in reversed(range(count)) if reverse else range(count):
                after, saved = step(blocks[place], states)
                for new, old in zip(after, states, strict=True):
                    new.set_shape(old.shape)  # a batch of one and an unknown one broadcast to an unknown one
                states = after
                arrays = tuple(array.write(first + place, value) for array, value in zip(arrays, saved, strict=True))
            return done + count, states, arrays

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
