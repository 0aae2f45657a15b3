"""How gradients flow back through the steps of a recurrent layer, measured exactly. Pure TensorFlow."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

States = Sequence[tf.Tensor]
Step = Callable[[tf.Tensor, States], tuple[States, tf.Tensor]]


def watched_zeros(
    source: tf.Tensor, shape: Sequence[int | tf.Tensor], dtype: tf.DType, watch: Callable[[tf.Tensor], None]
) -> tf.Tensor:
    """Returns zeros that tell back propagation's verdict on them.

    Added to the output h_t of every step of a recurrent layer they change nothing, and the gradient by them is ∂L/∂h_t,
    through the output at t and through all later steps: exact, whatever the cell.

    Args:
        source: A tensor by which the gradient is asked for anyway, a weight say; it gets a gradient of zero.
        shape: Of the zeros.
        dtype: Of the zeros.
        watch: Called by back propagation, in the graph, with the gradient by the zeros.
    """

    @tf.custom_gradient
    def zeros(source):
        def gradient(upstream):
            watch(upstream)
            return tf.zeros_like(source)

        return tf.zeros(shape, dtype), gradient

    return zeros(source)


def norms_through_time(gradients: tf.Tensor, mask: tf.Tensor | None = None, backwards: bool = False) -> tf.Tensor:
    """Returns ‖∂L/∂h_t‖ for all steps, in the order in which the layer makes them.

    Args:
        gradients: ∂L/∂h_t, `[batch, time, units]`.
        mask: Boolean `[batch, time]`. The state passes a masked step unchanged, so the gradient by it is that of the
            last step before that counts.
        backwards: Whether the layer reads from the end.

    Returns:
        float32 `[time]`: the root of the sum of squares over batch and units.
    """
    squares = tf.reduce_sum(tf.square(tf.cast(gradients, tf.float32)), axis=-1)
    if backwards:
        squares, mask = squares[:, ::-1], None if mask is None else mask[:, ::-1]
    if mask is not None:
        counted = tf.cumsum(tf.cast(mask, tf.int32), axis=1)
        last = tf.gather(counting_first(mask), tf.maximum(counted - 1, 0), batch_dims=1)
        squares = tf.where(counted > 0, tf.gather(squares, last, batch_dims=1), 0)
    return tf.sqrt(tf.reduce_sum(squares, axis=0))


def counting_first(mask: tf.Tensor) -> tf.Tensor:
    """Returns the order of steps, int32 `[batch, time]`, in which those that a mask of that shape counts come first."""
    return tf.argsort(tf.cast(mask, tf.int32), axis=1, direction="DESCENDING", stable=True)


def flow(step: Step, x: tf.Tensor, states: States, lengths: tf.Tensor, seed: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
    """Carries a gradient back through a recurrence, and through nothing else.

    Where every step has a loss of its own, ‖∂L/∂h_t‖ says little about memory: each step's own gradient hides what
    comes from later ones. Here the last state alone gets a gradient, a random direction v of norm one for each row:
    what arrives k steps earlier is the product of k Jacobians with v, whatever the loss (Pascanu et al. 2013, eq. 5).

    Args:
        step: From the input `[batch, features]` and the states to the states after, h first, and any statistics of the
            step, float32 `[batch, n]`.
        x: Inputs `[batch, time, features]`.
        states: States before the first step, each `[batch, units]`.
        lengths: How many steps of each row count, int32 `[batch]`.
        seed: Of the directions.

    Returns:
        The norm of the gradient after each step, float32 `[time, batch]`, and the mean of the statistics, `[n]`.
    """
    x, states = tf.transpose(x, [1, 0, 2]), tuple(states)
    time, shape = tf.shape(x)[0], tf.shape(states[0])
    width = step(x[0], states)[1].shape[-1]
    pushes = tf.zeros([time, shape[0], shape[1]], states[0].dtype)
    direction = tf.random.stateless_normal(shape, [seed, 0])
    direction = tf.cast(direction / tf.norm(direction, axis=1, keepdims=True), states[0].dtype)
    with tf.GradientTape() as tape:
        tape.watch(pushes)
        push = tf.TensorArray(pushes.dtype, time, element_shape=states[0].shape).unstack(pushes)

        def body(t, states, totals):
            counts = (t < lengths)[:, None]
            after, statistics = step(x[t], states)
            after = (after[0] + push.read(t), *after[1:])
            after = tuple(tf.where(counts, new, old) for new, old in zip(after, states, strict=True))
            return t + 1, after, totals + tf.reduce_sum(tf.where(counts, statistics, 0), axis=0)

        _, states, totals = tf.while_loop(
            lambda t, *_: t < tf.reduce_max(lengths),
            body,
            (tf.constant(0), states, tf.zeros([width])),
            maximum_iterations=x.shape[0],
        )
        reached = tf.reduce_sum(direction * states[0])
    gradient = tf.cast(tape.gradient(reached, pushes), tf.float32)
    return tf.norm(gradient, axis=2), totals / tf.cast(tf.maximum(tf.reduce_sum(lengths), 1), tf.float32)


def carried(norms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns what share of a gradient arrives k steps earlier, for k from 0.

    Args:
        norms: The first result of `flow`, `[time, batch]`.
        lengths: `[batch]`.

    Returns:
        `[longest]`: the root of the mean square over the rows that are as long as that; the first is 1.

    Example:
        >>> carried(np.array([[0.25, 0.5], [0.5, 1.0], [1.0, 0.0]]), np.array([3, 2])).tolist()
        [1.0, 0.5, 0.25]
    """
    rows = np.arange(len(lengths))
    lags = [norms[lengths[lengths > k] - 1 - k, rows[lengths > k]] for k in range(max(lengths))]
    return np.array([np.sqrt(np.mean(np.square(lag))) for lag in lags])
