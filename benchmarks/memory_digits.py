"""Handwritten digits that are read a pixel at a time: a task of long memory on real data."""

import functools
from typing import ClassVar

import numpy as np
import tensorflow as tf

from benchmarks.memory_tasks import Task

PERMUTATION_SEED = 92


class Digits(Task):
    """Handwritten digits, pixel by pixel (Le et al. 2015, §4.3, there with MNIST): 64 steps of one number in [0, 1].

    The pictures are the 1,797 of scikit-learn's `load_digits` (8 × 8 pixels, 16 shades: the test part of UCI's
    Optical Recognition of Handwritten Digits), in the package's order: the first 1,097 train, the next 200 validate,
    the last 500 test. A batch draws training pictures with replacement.

    Raises:
        ModuleNotFoundError: When asked for pictures: scikit-learn is not installed.
    """

    name, title, metric = "digits", "digits, pixel by pixel", "accuracy"
    features, outputs = 1, 10
    lower_is_better = False
    solved_at = 0.97
    held_out_sizes: ClassVar = {"validation": 200, "test": 500}
    fixed_length = True
    permuted: ClassVar[bool] = False

    def __init__(self):
        super().__init__(64)

    def batch(self, seed, size):
        """See `Task`; targets are the digits, `[size]`."""
        pictures, digits = self._part("train")
        chosen = tf.random.stateless_uniform([size], seed, 0, len(pictures), tf.int32)
        return tf.gather(pictures, chosen), tf.gather(digits, chosen)

    def held_out(self, part):
        """See `Task`."""
        return self._part(part)

    def loss(self, targets, outputs):
        """The cross entropy."""
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, outputs))

    def measure(self, targets, outputs):
        """The accuracy."""
        return tf.reduce_mean(tf.cast(tf.equal(tf.argmax(outputs, 1, tf.int32), targets), tf.float32))

    def baselines(self):
        """See `Task`: the commonest digit, and logistic regression on all pixels at once."""
        from sklearn.linear_model import LogisticRegression

        (seen, digits), (unseen, wanted) = self._part("train"), self._part("test")
        commonest = np.mean(wanted == np.argmax(np.bincount(digits)))
        regression = LogisticRegression(max_iter=1_000).fit(seen[..., 0], digits)
        return {"commonest": float(commonest), "logistic regression": float(regression.score(unseen[..., 0], wanted))}

    def _part(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        pixels, digits = _pictures()
        order = np.random.default_rng(PERMUTATION_SEED).permutation(64) if self.permuted else np.arange(64)
        test = len(digits) - self.held_out_sizes["test"]
        validation = test - self.held_out_sizes["validation"]
        rows = {"train": slice(validation), "validation": slice(validation, test), "test": slice(test, None)}[part]
        return pixels[rows][:, order, None], digits[rows]


class PermutedDigits(Digits):
    """The same after one permutation of the pixels, drawn once for all pictures (Le et al. 2015, §4.3)."""

    name, title = "permuted", "digits, pixels permuted"
    permuted = True


@functools.cache
def _pictures() -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels of all pictures, row by row, `[pictures, 64]`, and the digits, `[pictures]`."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return (pixels / 16).astype(np.float32), digits.astype(np.int32)
