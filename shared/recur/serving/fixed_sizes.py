"""Outputs whose rows have one size, whatever they hold.

A server that batches divides requests and puts the parts of an answer together again. TensorFlow Serving does that by
copying them one after the other, as if rows of all parts were as long as those of the first (tensor_util.cc, `Concat`):
were they not, it would answer nonsense, or abort. And what is padded no further than to the longest row beside it has a
shape that says what was beside it.
"""

from collections.abc import Sequence

import tensorflow as tf


def padded_to(values: tf.Tensor, sizes: Sequence[int]) -> tf.Tensor:
    """Rows with zeros, or with empty strings, after what they hold.

    Args:
        values: [N, …], of at most `sizes` after the first dimension.
        sizes: Of the result after the first dimension.

    Returns:
        [N, *sizes].

    Raises:
        tf.errors.InvalidArgumentError: A row is longer.

    Example:
        >>> padded_to(tf.constant([["a"], ["b"]]), [2]).numpy().tolist()
        [[b'a', b''], [b'b', b'']]
    """
    missing = tf.constant([0, *sizes]) - tf.concat([[0], tf.shape(values)[1:]], axis=0)
    paddings = tf.stack([tf.zeros_like(missing), missing], axis=1)
    padded = tf.pad(values, paddings, constant_values="" if values.dtype == tf.string else 0)
    return tf.ensure_shape(padded, [None, *sizes])
