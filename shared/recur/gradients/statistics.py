"""What a gradient, a weight or a gate says about training, in a few numbers. Pure TensorFlow, and fit for XLA."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


def dense(gradients: Sequence[Gradient]) -> list[tf.Tensor]:
    """Returns gradients as tensors: rows of `tf.IndexedSlices` that share an index are added up.

    Both the norm of a gradient and its largest element need that sum. Keras's optimizers, all but plain SGD, form it
    anyway.

    Example:
        >>> slices = tf.IndexedSlices(tf.ones((2, 3)), indices=[1, 1], dense_shape=[2, 3])
        >>> dense([slices])[0].numpy().tolist()
        [[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]]
    """
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def norms(gradients: Sequence[Gradient]) -> tf.Tensor:
    """Returns the Euclidean norm of every gradient.

    Args:
        gradients: `n` of them, of any shapes and floating types.

    Returns:
        float32, `[n]`. The squares are added up in float32 whatever the type of the gradient: in float16 those of 256
        and more overflow.

    Example:
        >>> norms([tf.constant([3.0, 4.0]), tf.constant(-2.0)]).numpy().tolist()
        [5.0, 2.0]
    """
    squares = [2.0 * tf.nn.l2_loss(tf.cast(gradient, tf.float32)) for gradient in dense(gradients)]
    return tf.sqrt(tf.stack(squares))


def global_norm(gradients: Sequence[Gradient]) -> tf.Tensor:
    """Returns the Euclidean norm of all gradients taken as one vector, a float32 scalar.

    Example:
        >>> float(global_norm([tf.constant([2.0, 3.0]), tf.constant(6.0)]))
        7.0
    """
    return tf.norm(norms(gradients))


def all_finite(gradients: Sequence[Gradient]) -> tf.Tensor:
    """Says whether gradients can be used: a boolean scalar, False where one holds a NaN or an infinity.

    It is also False where the global norm overflows float32 (from 1.8e19 on): such gradients have no usable direction
    and no rule could scale them. So one pass over the gradients, which clipping by norm needs anyway, tells it all.

    Example:
        >>> bool(all_finite([tf.constant([1.0, float("nan")])]))
        False
    """
    return tf.math.is_finite(global_norm(gradients))


# Back propagation through a saturated unit is multiplied by at most 4 % (logistic) or 2 % (tanh) of what it could be.
SATURATED = 0.01

# The spectral radius comes from powers of the matrix up to the 2^8th.
SQUARINGS = 8


def norm(tensor: tf.Tensor) -> tf.Tensor:
    """The root of the sum of squares: a float32 scalar."""
    return norms([tensor])[0]


def share_of_zeros(tensor: tf.Tensor) -> tf.Tensor:
    """The share of elements that are exactly zero, 0 to 1."""
    return tf.reduce_mean(tf.cast(tf.equal(tensor, 0), tf.float32))


def without_gradient(gradient: tf.Tensor) -> tf.Tensor:
    """Which units have no weight that gets a gradient.

    Units are the last axis, as in the kernels and biases of Keras. A unit of a rectifier whose input is negative for
    all examples of a batch is such a one; one that stays so is dead (Maas et al. 2013, section 2).

    Returns:
        Boolean `[units]`.
    """
    return tf.reduce_all(tf.equal(gradient, 0), axis=list(range(len(gradient.shape) - 1)))


def update_ratio(before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """The norm of a weight's change over its norm: the larger of before and after, lest a weight that was zero count.

    About 1e-3 is usual (Karpathy, Stanford CS231n, "Neural Networks Part 3", ratio of weights to updates).

    Example:
        >>> round(float(update_ratio(tf.constant([3.0, 4.0]), tf.constant([3.0, 4.5]))), 3)
        0.092
    """
    return tf.math.divide_no_nan(norm(after - before), tf.maximum(norm(before), norm(after)))


def usual_norm(shape: Sequence[int]) -> float:
    """The norm that a kernel has, by expectation, after Glorot's initialisation (Glorot and Bengio 2010, eq. 16).

    Example:
        >>> usual_norm([6, 2])
        1.7320508075688772
    """
    size = math.prod(shape)
    return math.sqrt(2 * size / (size / shape[-1] + shape[-1])) if size else 0.0


def changes(before: Sequence[tf.Tensor], after: Sequence[tf.Tensor]) -> tf.Tensor:
    """The norm of each weight after an update, and its `update_ratio`: float32 `[2, weights]`."""
    pairs = zip(before, after, strict=True)
    return tf.stack([norms(after), tf.stack([update_ratio(*pair) for pair in pairs])])


def spectral_radii(recurrent_kernel: tf.Tensor) -> tf.Tensor:
    """The largest absolute eigenvalue of each gate's recurrent kernel.

    By Gelfand's formula, ‖W^n‖^(1/n) → ρ(W), taken between n = 128 and 256 so that constant factors cancel: within
    about one per cent, by products alone. A gradient carried back through k steps of a linear recurrence scales as ρ^k
    (Pascanu et al. 2013, section 2.1).

    Args:
        recurrent_kernel: `[units, gates * units]`.

    Returns:
        `[gates]`.

    Example:
        >>> [round(float(radius), 3) for radius in spectral_radii(tf.constant([[0.0, 2.0, 0.5, 0.0],
        ...                                                                  [-2.0, 0.0, 0.0, 0.25]]))]
        [2.0, 0.5]
    """
    kernel = tf.cast(recurrent_kernel, tf.float32)
    units = kernel.shape[0]
    powers = tf.transpose(tf.reshape(kernel, [units, -1, units]), [1, 0, 2])
    scale, logarithms = tf.zeros([powers.shape[0]]), []
    for step in range(SQUARINGS + 1):
        if step:
            powers, scale = tf.matmul(powers, powers), 2 * scale
        # W^n = exp(scale) * powers, lest anything overflow.
        size = tf.norm(powers, axis=[1, 2])
        powers, scale = tf.math.divide_no_nan(powers, size[:, None, None]), scale + tf.math.log(size)
        logarithms.append(scale)
    radii = tf.exp((logarithms[-1] - logarithms[-2]) / 2 ** (SQUARINGS - 1))
    return tf.where(tf.equal(size, 0), tf.zeros_like(radii), radii)


def saturated(activations: tf.Tensor, function: str) -> tf.Tensor | None:
    """The share of each row's units that are saturated, 0 to 1.

    Args:
        activations: `[batch, units]`, of a logistic function or a hyperbolic tangent.
        function: Its name in Keras.

    Returns:
        `[batch]`, or None for a function that does not saturate at both ends.
    """
    if function in ("sigmoid", "hard_sigmoid"):
        edge = (activations < SATURATED) | (activations > 1 - SATURATED)
    elif function in ("tanh", "hard_tanh"):
        edge = tf.abs(activations) > 1 - SATURATED
    else:
        return None
    return tf.reduce_mean(tf.cast(edge, tf.float32), axis=-1)
