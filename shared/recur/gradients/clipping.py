"""Rules that clip gradients.

Every rule takes gradients of any shapes, `tf.IndexedSlices` among them, and returns them as dense tensors of the same
types. Below its threshold it returns them unchanged. Norms are formed in float32.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from recur.gradients.norm_history import NormHistory
from recur.gradients.norms import Gradient, dense, global_norm, norms


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
