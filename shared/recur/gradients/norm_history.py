"""The norms of the last gradients, kept in the graph."""

import tensorflow as tf


class NormHistory:
    """A ring of the last `size` norms, in variables of fixed shape that a training step, XLA included, can change.

    Args:
        size: How many norms are kept.

    Example:
        >>> history = NormHistory(3)
        >>> for norm in (9.0, 1.0, 2.0, 3.0):
        ...     history.record(tf.constant(norm))
        >>> float(history.mean()), float(history.percentile(50.0))
        (2.0, 2.0)
    """

    def __init__(self, size: int = 1000):
        if size < 1:
            raise ValueError(f"the history must keep at least one norm, not {size}")
        self._norms = tf.Variable(tf.zeros([size]), trainable=False, name="norm_history")
        self._seen = tf.Variable(0, trainable=False, name="norms_seen")

    @property
    def variables(self) -> list[tf.Variable]:
        """The whole state, for checkpoints: the norms `[size]`, and how many have ever been recorded."""
        return [self._norms, self._seen]

    def record(self, norm: tf.Tensor) -> None:
        """Takes a norm in, the oldest going out; one that is not finite is left out."""
        size = self._norms.shape[0]
        finite = tf.math.is_finite(norm)
        here = tf.logical_and(tf.equal(tf.range(size), self._seen % size), finite)
        self._norms.assign(tf.where(here, norm, self._norms))
        self._seen.assign_add(tf.cast(finite, tf.int32))

    def mean(self) -> tf.Tensor:
        """Returns the mean of the norms that are kept: a float32 scalar, NaN where there are none."""
        return tf.reduce_sum(self._norms) / tf.cast(self._count(), tf.float32)

    def percentile(self, percent: float) -> tf.Tensor:
        """Returns a percentile of the norms that are kept, as `numpy.percentile` does (linear interpolation).

        Returns:
            A float32 scalar; infinite where there are none.
        """
        count = self._count()
        kept = tf.range(self._norms.shape[0]) < count
        ordered = tf.sort(tf.where(kept, self._norms, float("inf")))
        position = tf.cast(tf.maximum(count - 1, 0), tf.float32) * (percent / 100)
        below, above = (tf.gather(ordered, tf.cast(end(position), tf.int32)) for end in (tf.floor, tf.math.ceil))
        part = position - tf.floor(position)
        # An interpolation by the difference would make a NaN of two infinities.
        return tf.where(part > 0, below * (1 - part) + above * part, below)

    def _count(self) -> tf.Tensor:
        return tf.minimum(self._seen, self._norms.shape[0])
