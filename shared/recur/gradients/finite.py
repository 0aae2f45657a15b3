"""Gradients that are not finite."""

from collections.abc import Sequence

import tensorflow as tf

from recur.gradients.norms import Gradient, global_norm


def all_finite(gradients: Sequence[Gradient]) -> tf.Tensor:
    """Says whether gradients can be used: a boolean scalar, False where one holds a NaN or an infinity.

    It is also False where the global norm overflows float32 (from 1.8e19 on): such gradients have no usable direction
    and no rule could scale them. So one pass over the gradients, which clipping by norm needs anyway, tells it all.

    Example:
        >>> bool(all_finite([tf.constant([1.0, float("nan")])]))
        False
    """
    return tf.math.is_finite(global_norm(gradients))
