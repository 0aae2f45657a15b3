"""What the signatures of serving modules are made with: functions that they share, and outputs of one size."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def padded_to(values: tf.Tensor, sizes: Sequence[int]) -> tf.Tensor:
    """Rows with zeros, or with empty strings, after what they hold: outputs whose rows have one size.

    A server that batches divides requests and puts the parts of an answer together again. TensorFlow Serving does that
    by copying them one after the other, as if rows of all parts were as long as those of the first (tensor_util.cc,
    `Concat`): were they not, it would answer nonsense, or abort. And what is padded no further than to the longest row
    beside it has a shape that says what was beside it.

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


def shared_by_signatures(function: Callable[..., Any], *specs: tf.TensorSpec) -> Callable[..., Callable[..., Any]]:
    """A function as `tf.function`s, one for each choice of what is no tensor, traced when it is first called.

    A beam search is most of a graph. Written into each of three signatures it is traced, and stored, three times.

    Args:
        function: From tensors, and what else it takes by position, to a structure of tensors.
        *specs: Of the tensors.

    Returns:
        From what else the function takes to the `tf.function`. To `tf.Module` that is plain Python: an export has what
        its signatures call, and does not list it beside them.

    Example:
        >>> scaled = shared_by_signatures(lambda x, factor: factor * x, tf.TensorSpec([None]))
        >>> scaled(3)(tf.constant([1.0, 2.0])).numpy().tolist()
        [3.0, 6.0]
    """

    @functools.cache
    def traced(*choices: Any) -> Callable[..., Any]:
        return tf.function(lambda *tensors: function(*tensors, *choices), input_signature=specs, autograph=False)

    return lambda *choices: traced(*choices)
