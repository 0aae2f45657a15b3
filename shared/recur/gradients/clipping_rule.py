"""The clipping rules by name."""

from collections.abc import Sequence

import tensorflow as tf

from recur.gradients import clipping
from recur.gradients.norm_history import NormHistory
from recur.gradients.norms import Gradient
from recur.layers.registry import find

RULES = {
    "value": clipping.by_value,
    "norm": clipping.by_norm,
    "global_norm": clipping.by_global_norm,
    "pascanu": clipping.by_mean_norm,
    "autoclip": clipping.by_percentile,
    "agc": clipping.by_weight_norm,
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
        self._rule = find("clipping rule", name, RULES)
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

    def __call__(self, gradients: Sequence[Gradient], weights: Sequence[tf.Tensor]) -> clipping.Clipped:
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
