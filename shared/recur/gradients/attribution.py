"""Which steps of a sequence make a network's answer what it is. Pure TensorFlow, fit for a graph that is exported."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

Function = Callable[..., tf.Tensor]


class Attribution(NamedTuple):
    """What each step contributes to the answer.

    Attributes:
        weights: float [N, T]. They add up to `at_inputs` - `at_baseline`, up to the error of the integration.
        at_inputs: float [N], the value of the function at the inputs.
        at_baseline: float [N], its value at the baseline.
    """

    weights: tf.Tensor
    at_inputs: tf.Tensor
    at_baseline: tf.Tensor


def integrated_gradients(
    function: Function,
    inputs: tf.Tensor,
    baseline: tf.Tensor,
    mask: tf.Tensor | None = None,
    *,
    context: tuple[tf.Tensor, ...] = (),
    points: int = 16,
    at_once: int = 1,
    rounds: int = 5,
    tolerance: float = 0.01,
    floor: float = 1e-3,
) -> Attribution:
    """Integrated gradients: (x - x') times the mean gradient on the straight line from the baseline x' to the input x.

    The integral is Gauss and Legendre's, which few points do for smooth functions. Kinks (ReLU, the maximum over steps)
    need more: where the weights of a row do not add up to the difference of its values, the line is halved and halved
    again. A row that adds up is left as it is, so that no row depends on its batch mates.

    Memory is that of one pass forward and back on `at_once` * N rows, however many points there are.

    Args:
        function: From [N, T, E], and the tensors of `context`, to [N]. Each row of its answer depends on its own row
            alone.
        inputs: float [N, T, E], embedded tokens say.
        baseline: [N, T, E] or what broadcasts to it ([T, E], [E], a number): the input that says nothing.
        mask: Boolean [N, T], False at padding. Padding stays on the line what it is in the inputs, and weighs 0.
        context: Tensors of N rows that `function` gets beside the inputs and that stay the same, lengths say.
        points: At which the gradient is taken, on each part of the line.
        at_once: Points that are taken together, as more rows. It must divide `points`, and
            `function` must then get all that has N rows from `context` and close over none of it.
        rounds: The last one has 2 ** (rounds - 1) parts. With 1 there is no refinement.
        tolerance: How far from the difference of the values the weights may add up to, as a share of it.
        floor: The same in units of the function, for differences near 0.

    Returns:
        The weights of the steps, each the sum over E, and the value of the function at both ends.

    Raises:
        ValueError: There is no point or no round, or `at_once` does not divide the points.

    Source:
        Sundararajan, M., Taly, A. and Yan, Q. (2017), "Axiomatic Attribution for Deep Networks", ICML: equation 1;
        that the weights add up is proposition 1.

    Example:
        >>> inputs = tf.constant([[[1.0], [2.0]]])
        >>> attributions = integrated_gradients(lambda x: tf.reduce_prod(x, axis=(1, 2)), inputs, tf.zeros(1))
        >>> attributions.weights.numpy().round(3).tolist(), attributions.at_inputs.numpy().tolist()
        ([[1.0, 1.0]], [2.0])
    """
    if min(points, at_once, rounds) < 1 or points % at_once:
        raise ValueError(
            f"need a positive number of points that {at_once} divides, got {points}, and of rounds: {rounds}"
        )
    inputs = tf.convert_to_tensor(inputs)
    way = inputs - tf.cast(baseline, inputs.dtype)
    if mask is not None:
        way = tf.where(mask[..., tf.newaxis], way, 0)
    start = inputs - way
    ends = function(inputs, *context), function(start, *context)
    difference = ends[0] - ends[1]
    allowed = tf.maximum(tolerance * tf.abs(difference), floor)
    starts, ways, *repeated = (tf.repeat(tensor, at_once, axis=0) for tensor in (start, way, *context))

    def refine(done: tf.Tensor, weights: tf.Tensor, unsure: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        estimate = _on_parts(function, starts, ways, repeated, points, at_once, tf.bitwise.left_shift(1, done))
        weights = tf.where(unsure[:, tf.newaxis], estimate, weights)
        return done + 1, weights, unsure & (tf.abs(tf.reduce_sum(weights, axis=1) - difference) > allowed)

    _, weights, _ = tf.while_loop(
        lambda done, _, unsure: (done < rounds) & tf.reduce_any(unsure),
        refine,
        (tf.constant(0), tf.reduce_sum(tf.zeros_like(inputs), axis=-1), tf.ones_like(difference, tf.bool)),
        shape_invariants=(tf.TensorShape([]), inputs.shape[:2], difference.shape),
    )
    return Attribution(weights, *ends)


def _on_parts(
    function: Function,
    start: tf.Tensor,
    way: tf.Tensor,
    context: list[tf.Tensor],
    points: int,
    at_once: int,
    parts: tf.Tensor,
) -> tf.Tensor:
    """Integrates on a line cut into parts of the same length; all tensors have their rows `at_once` times, adjacent."""
    nodes, weights = np.polynomial.legendre.leggauss(points)  # on [-1, 1]
    places = tf.constant(((nodes + 1) / 2).reshape(-1, at_once), way.dtype)
    shares = tf.constant((weights / 2).reshape(-1, at_once), way.dtype)
    groups = points // at_once

    def of_rows(values: tf.Tensor) -> tf.Tensor:
        return tf.tile(values, [tf.shape(way)[0] // at_once])[:, tf.newaxis, tf.newaxis]

    def add(step: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        place = (tf.cast(step // groups, way.dtype) + places[step % groups]) / tf.cast(parts, way.dtype)
        on_line = start + of_rows(place) * way
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(on_line)
            value = function(on_line, *context)
        gradient = tape.gradient(value, on_line, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return step + 1, total + tf.reduce_sum(of_rows(shares[step % groups]) * gradient * way, axis=-1)

    # One after another: side by side, the passes would all hold their activations at the same time.
    _, total = tf.while_loop(
        lambda step, _: step < groups * parts,
        add,
        (tf.constant(0), tf.reduce_sum(tf.zeros_like(way), axis=-1)),
        parallel_iterations=1,
    )
    rows = tf.concat([[tf.shape(way)[0] // at_once, at_once], tf.shape(total)[1:]], axis=0)
    return tf.reduce_sum(tf.reshape(total, rows), axis=1) / tf.cast(parts, way.dtype)
