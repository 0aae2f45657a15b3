"""Keeping symbols out of the choice: forbidden ones, and those that would repeat what was said."""

import tensorflow as tf


def completing_symbols(history: tf.Tensor, count: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the symbols that would complete an n-gram that was said already (Paulus, Xiong & Socher 2018, section 2.5).

    Args:
        history: int32 [rows, steps], what was said; what stands after `count` symbols is ignored.
        count: int32 scalar, how much was said.
        size: Symbols in an n-gram, at least 1.

    Returns:
        int32 [rows, places] symbols, and bool [rows, places] whether each is one that would complete an n-gram.

    Example:
        >>> symbols, completing = completing_symbols(tf.constant([[5, 6, 7, 5, 0]]), tf.constant(4), size=2)
        >>> tf.boolean_mask(symbols, completing).numpy().tolist()
        [6]
    """
    places = tf.maximum(tf.shape(history)[1] - size + 1, 0)
    ends = history[:, size - 1 : size - 1 + places]
    completing = tf.broadcast_to(tf.range(places) + size <= count, tf.shape(ends))
    readable = tf.pad(history, [[0, 0], [0, 1]])  # there may be no steps at all
    for offset in range(size - 1):
        # Before there are size - 1 symbols this reads a wrong one, but then no n-gram has been said either.
        latest = tf.gather(readable, tf.maximum(count - size + 1 + offset, 0), axis=1)
        completing &= history[:, offset : offset + places] == latest[:, None]
    return ends, completing


def without(log_probabilities: tf.Tensor, symbols: tf.Tensor, where: tf.Tensor | bool = True) -> tf.Tensor:
    """Makes symbols impossible; the others keep their log-probabilities, for nothing is renormalised.

    Args:
        log_probabilities: float32 [rows, vocabulary].
        symbols: int32 [rows, places].
        where: bool [rows, places], which of the places count.

    Returns:
        float32 [rows, vocabulary].
    """
    rows = tf.broadcast_to(tf.range(tf.shape(symbols)[0])[:, None], tf.shape(symbols))
    # A minimum and not an assignment: the same symbol may stand at a place that counts and at one that does not.
    values = tf.broadcast_to(tf.where(where, -float("inf"), float("inf")), tf.shape(symbols))
    return tf.tensor_scatter_nd_min(log_probabilities, tf.stack([rows, symbols], axis=-1), values)
