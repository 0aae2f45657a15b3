"""Norms of gradients."""

from collections.abc import Sequence

import tensorflow as tf

Gradient = tf.Tensor | tf.IndexedSlices


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
