"""A callback that clips gradients, and skips the steps that have none to speak of."""

import warnings
from typing import Any

import keras
import tensorflow as tf

from recur.callbacks.gradient_tap import Gradients, GradientTap
from recur.gradients.clipping import ClippingRule
from recur.gradients.statistics import all_finite, dense

_KEY = "gradient clipping"
_UPDATES, _CLIPPED, _SCALES, _SKIPPED = range(4)


class GradientClipping(keras.callbacks.Callback):
    """Clips the gradients of any Keras model by any rule, and says how much it clipped.

    A step whose gradients hold a NaN or an infinity is skipped: trainable weights, their moving averages and the
    optimizer's variables stay as they are, a dynamic loss scale excepted, which falls as it must. (What the forward
    pass itself changed, such as the moving statistics of `BatchNormalization` and the mean loss of the epoch, is not
    undone.) Under gradient accumulation the whole update is skipped and accumulation begins anew.

    `logs` has for every epoch `clipped` (the fraction of updates that were clipped), `clip_scale` (the mean of the
    global norm after clipping over the one before) and `skipped` (the number of steps skipped); `report()` has the same
    since the callback was made.

    | rule | threshold | default | source |
    |---|---|---|---|
    | `value` | largest element | 1 | Mikolov 2012 |
    | `norm` | largest norm of one variable's gradient | 1 | |
    | `global_norm` | largest norm of all gradients | 1 | Pascanu et al. 2013, algorithm 1 |
    | `pascanu` | multiple of the mean norm so far | 2 | Pascanu et al. 2013, section 3.2 |
    | `autoclip` | percentile of the norms so far | 10 | Seetharaman et al. 2020 |
    | `agc` | fraction of the norm of a unit's weights | 0.01 | Brock et al. 2021 |

    Args:
        rule: The name of a rule.
        threshold: Of the rule; None for its default.
        history: Of how many updates `pascanu` and `autoclip` remember the norm.
        max_skipped: After how many skipped steps in a row training stops, with a warning; `failure` then says why.

    Raises:
        ValueError: There is no such rule, or the threshold cannot be one; when training begins: the model's optimizer
            clips already, or another `GradientClipping` does.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> clipping = GradientClipping("global_norm", 1.0)
        >>> _ = model.fit(tf.ones((8, 2)), tf.zeros((8, 1)), callbacks=[clipping], verbose=0)
        >>> clipping.report()["skipped"]
        0
    """

    def __init__(
        self,
        rule: str = "global_norm",
        threshold: float | None = None,
        history: int = 1000,
        max_skipped: int = 20,
    ):
        super().__init__()
        if max_skipped < 1:
            raise ValueError(f"max_skipped must be at least 1, not {max_skipped}")
        self.rule = ClippingRule(rule, threshold, history)
        self.max_skipped = max_skipped
        self.failure: str | None = None
        self._counts = tf.Variable(tf.zeros(4, tf.float64), trainable=False, name="gradient_clipping_counts")
        self._in_a_row = tf.Variable(0, trainable=False, name="skipped_in_a_row")
        self.before_epoch = tf.Variable(tf.zeros(4, tf.float64), trainable=False, name="counts_before_epoch")

    @property
    def variables(self) -> list[tf.Variable]:
        """All that is remembered from step to step, for checkpoints: the counts, and what the rule remembers."""
        return [self._counts, self.before_epoch, self._in_a_row, *self.rule.variables]

    def report(self) -> dict[str, float]:
        """Returns what happened since the callback was made.

        Returns:
            `updates` (those made), `clipped` (the fraction of them that was clipped), `clip_scale` (their mean scale),
            `skipped` (the number of steps skipped).
        """
        return _summary(self._counts.numpy())

    def report_of_epoch(self) -> dict[str, float]:
        """Returns the same of the epoch that is running, or has just ended."""
        return _summary(self._counts.numpy() - self.before_epoch.numpy())

    def install(self, model: keras.Model) -> None:
        """Makes clipping part of the training step now, where `on_train_begin` would: before the step is traced.

        Raises:
            ValueError: The optimizer clips already, or another `GradientClipping` does.
        """
        optimizer = GradientTap.optimizer_of(model)
        for name in ("clipnorm", "clipvalue", "global_clipnorm"):
            if value := getattr(optimizer, name, None):
                raise ValueError(
                    f"the optimizer {type(optimizer).__name__} clips gradients already ({name}={value}); "
                    f"compile the model without {name}, or train without GradientClipping"
                )
        GradientTap.of(model).add(_KEY, self._clip, after_overflow=self._count_skipped)

    def on_train_begin(self, logs: Any = None) -> None:
        """Makes clipping part of the training step."""
        self.failure = None
        self._in_a_row.assign(0)
        self.install(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begins the counts of the epoch."""
        self.before_epoch.assign(self._counts)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops training after too many skipped steps in a row."""
        if self.failure is None and int(self._in_a_row) >= self.max_skipped:
            self.failure = (
                f"training stopped: the gradients of {int(self._in_a_row)} steps in a row were not finite; "
                f"look for NaN or infinite values in the data, and lower the learning rate"
            )
            self.model.stop_training = True
            warnings.warn(self.failure, RuntimeWarning, stacklevel=2)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Adds the counts of the epoch to `logs`."""
        if logs is not None:
            logs |= self.report_of_epoch()
            del logs["updates"]

    def on_train_end(self, logs: Any = None) -> None:
        """Takes clipping out of the training step."""
        GradientTap.of(self.model).remove(_KEY)

    def _clip(self, gradients: Gradients, variables: list[keras.Variable]) -> tuple[Gradients, tf.Tensor]:
        gradients = dense(gradients)
        finite = all_finite(gradients)
        clipped = self.rule(gradients, [variable.value for variable in variables])
        counts = tf.stack([tf.ones([]), tf.cast(clipped.scale < 1, tf.float32), clipped.scale, tf.zeros([])])
        skipped = tf.one_hot(_SKIPPED, 4)
        self._counts.assign_add(tf.cast(tf.where(finite, counts, skipped), tf.float64))
        self._in_a_row.assign(tf.where(finite, 0, self._in_a_row + 1))
        return clipped.gradients, finite

    def _count_skipped(self) -> None:
        self._counts.assign_add(tf.one_hot(_SKIPPED, 4, dtype=tf.float64))
        self._in_a_row.assign_add(1)


def _summary(counts: Any) -> dict[str, float]:
    updates = int(counts[_UPDATES])
    return {
        "updates": updates,
        "clipped": float(counts[_CLIPPED]) / max(updates, 1),
        "clip_scale": float(counts[_SCALES]) / updates if updates else 1.0,
        "skipped": int(counts[_SKIPPED]),
    }
