"""Functions that several signatures of a serving module call, traced once for all of them."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


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
