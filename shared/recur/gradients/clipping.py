"""Rules that clip gradients.

Every rule takes gradients of any shapes, `tf.IndexedSlices` among them, and returns them as dense tensors of the same
types. Below its threshold it returns them unchanged. Norms are formed in float32.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from recur.errors import lookup
from recur.gradients.statistics import Gradient, dense, global_norm, norms


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


class Clipped(NamedTuple):
    """What a rule returns.

    Attributes:
        gradients: The clipped gradients, as many and of the same shapes as there were.
        scale: The global norm after clipping over the one before, a float32 scalar: 1 where nothing was clipped.
    """

    gradients: list[tf.Tensor]
    scale: tf.Tensor


def by_value(gradients: Sequence[Gradient], threshold: float = 1.0) -> Clipped:
    """Clips every element to [-threshold, threshold]; the direction of the gradient changes.

    Source: Mikolov, "Statistical language models based on neural networks", 2012.

    Example:
        >>> by_value([tf.constant([3.0, -0.5])]).gradients[0].numpy().tolist()
        [1.0, -0.5]
    """
    before = dense(gradients)
    after = [tf.clip_by_value(gradient, -threshold, threshold) for gradient in before]
    return Clipped(after, _kept(before, after))


def by_norm(gradients: Sequence[Gradient], threshold: float = 1.0) -> Clipped:
    """Scales every gradient whose own norm is above the threshold down to it: the directions of each are kept.

    Example:
        >>> by_norm([tf.constant([3.0, 4.0]), tf.constant(0.5)], threshold=2.5).gradients[0].numpy().tolist()
        [1.5, 2.0]
    """
    before = dense(gradients)
    scales = tf.unstack(_scale(norms(before), threshold))
    after = [_scaled(gradient, scale) for gradient, scale in zip(before, scales, strict=True)]
    return Clipped(after, _kept(before, after))


def by_global_norm(gradients: Sequence[Gradient], threshold: float | tf.Tensor = 1.0) -> Clipped:
    """Scales all gradients by one factor where their global norm is above the threshold: the direction is kept.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.

    Example:
        >>> float(by_global_norm([tf.constant([3.0]), tf.constant([4.0])], threshold=2.5).scale)
        0.5
    """
    gradients = dense(gradients)
    scale = _scale(global_norm(gradients), threshold)
    return Clipped([_scaled(gradient, scale) for gradient in gradients], scale)


def by_mean_norm(gradients: Sequence[Gradient], history: NormHistory, factor: float = 2.0) -> Clipped:
    """Clips by the global norm, at a multiple of the mean global norm of the last updates, this one included.

    Source: Pascanu, Mikolov and Bengio 2013, section 3.2, who suggest to set the threshold of their algorithm 1 by the
    average norm over many updates.

    Args:
        gradients: What to clip.
        history: The norms of the last gradients; this one's is recorded.
        factor: Of the mean.

    Example:
        >>> history = NormHistory()
        >>> [float(by_mean_norm([tf.constant([norm])], history).scale) for norm in (1.0, 1.0, 10.0)]
        [1.0, 1.0, 0.800000011920929]
    """
    history.record(global_norm(gradients))
    return by_global_norm(gradients, factor * history.mean())


def by_percentile(gradients: Sequence[Gradient], history: NormHistory, percent: float = 10.0) -> Clipped:
    """AutoClip: clips by the global norm, at a percentile of the global norms so far, this one included.

    Source: Seetharaman, Wichern, Pardo and Le Roux, "AutoClip: adaptive gradient clipping for source separation
    networks", 2020, algorithm 1. The norms are those of the last updates, as many as the history keeps.

    Args:
        gradients: What to clip.
        history: The norms of the last gradients; this one's is recorded.
        percent: The percentile, from 0 (the smallest norm) to 100 (no clipping but of new maxima).

    Example:
        >>> history = NormHistory()
        >>> [float(by_percentile([tf.constant([norm])], history).scale) for norm in (1.0, 2.0)]
        [1.0, 0.550000011920929]
    """
    history.record(global_norm(gradients))
    return by_global_norm(gradients, history.percentile(percent))


def by_weight_norm(
    gradients: Sequence[Gradient], weights: Sequence[tf.Tensor], threshold: float = 0.01, epsilon: float = 1e-3
) -> Clipped:
    """Adaptive gradient clipping (AGC): no unit's gradient is larger than a fraction of the unit's weights.

    Source: Brock, De, Smith and Simonyan, "High-performance large-scale image recognition without normalization", 2021,
    equation 3. A unit is a column of a kernel, whose last axis Keras gives to the outputs; a vector is one unit.

    Args:
        gradients: What to clip.
        weights: The weights that they belong to.
        threshold: The largest norm of a unit's gradient, as a fraction of the norm of its weights.
        epsilon: The norm that smaller ones of weights are taken for: units that begin at zero can move.

    Example:
        >>> clipped = by_weight_norm([tf.constant([3.0, 4.0])], [tf.constant([0.0, 10.0])], threshold=0.25)
        >>> clipped.gradients[0].numpy().tolist()
        [1.5, 2.0]
    """
    before, after = dense(gradients), []
    for gradient, weight in zip(before, weights, strict=True):
        largest = threshold * tf.maximum(_unit_norms(tf.convert_to_tensor(weight)), epsilon)
        after.append(_scaled(gradient, _scale(_unit_norms(gradient), largest)))
    return Clipped(after, _kept(before, after))


def _unit_norms(tensor: tf.Tensor) -> tf.Tensor:
    """Returns the norms over all axes but the last, `[1, …, units]`; of a vector its norm, `[1]`."""
    axes = list(range(max(tensor.shape.rank - 1, 1))) if tensor.shape.rank else None
    return tf.sqrt(tf.reduce_sum(tf.square(tf.cast(tensor, tf.float32)), axes, keepdims=True))


def _scale(norm: tf.Tensor, threshold: float | tf.Tensor) -> tf.Tensor:
    """Returns the factor that brings a norm down to the threshold: 1 below it."""
    return tf.where(norm > threshold, threshold / norm, 1.0)


def _scaled(gradient: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    wide = tf.float64 if gradient.dtype == tf.float64 else tf.float32
    return tf.cast(tf.cast(gradient, wide) * tf.cast(scale, wide), gradient.dtype)


def _kept(before: list[tf.Tensor], after: list[tf.Tensor]) -> tf.Tensor:
    """Returns the part of the global norm that clipping left: exactly 1 where it changed nothing."""
    changed = tf.reduce_any([tf.reduce_any(old != new) for old, new in zip(before, after, strict=True)])
    return tf.where(changed, global_norm(after) / global_norm(before), 1.0)


RULES: dict[str, Callable[..., Clipped]] = {
    "value": by_value,
    "norm": by_norm,
    "global_norm": by_global_norm,
    "pascanu": by_mean_norm,
    "autoclip": by_percentile,
    "agc": by_weight_norm,
}
_HISTORIC = ("pascanu", "autoclip")


class ClippingRule:
    """A rule of `recur.gradients.clipping` by name, with its threshold and, where it has one, its history.

    Args:
        name: One of `RULES`.
        threshold: What the rule compares with: the largest element (`value`) or norm (`norm`, `global_norm`), the
            multiple of the mean norm (`pascanu`), the percentile of the norms so far (`autoclip`), the fraction of the
            norm of the weights (`agc`). None for the rule's own default.
        history: Of how many updates `pascanu` and `autoclip` remember the norm.

    Raises:
        ValueError: There is no such rule, or the threshold cannot be one.

    Example:
        >>> float(ClippingRule("global_norm", 1.0)([tf.constant([3.0, 4.0])], [tf.zeros(2)]).scale)
        0.20000000298023224
    """

    def __init__(self, name: str = "global_norm", threshold: float | None = None, history: int = 1000):
        self._rule = lookup("clipping rule", name, RULES)
        if threshold is not None and not 0 < threshold < float("inf"):
            raise ValueError(f"the threshold must be a positive number, not {threshold}")
        if name == "autoclip" and threshold is not None and threshold > 100:
            raise ValueError(f"the threshold of autoclip is a percentile, at most 100, not {threshold}")
        self.name = name
        self._threshold = () if threshold is None else (threshold,)
        self._history = NormHistory(history) if name in _HISTORIC else None

    @property
    def variables(self) -> list[tf.Variable]:
        """What the rule remembers from update to update, for checkpoints."""
        return [] if self._history is None else self._history.variables

    def __call__(self, gradients: Sequence[Gradient], weights: Sequence[tf.Tensor]) -> Clipped:
        """Clips gradients.

        Args:
            gradients: Of any shapes.
            weights: Those that the gradients belong to, of the same shapes.
        """
        if self._history is not None:
            return self._rule(gradients, self._history, *self._threshold)
        if self.name == "agc":
            return self._rule(gradients, weights, *self._threshold)
        return self._rule(gradients, *self._threshold)
