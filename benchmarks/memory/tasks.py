"""The classic tasks that ask a recurrent network to remember; pure functions of a seed, in the graph.

`batch` draws training examples without end; `held_out` gives parts that never change, drawn from other seeds than any
training batch. Handwritten digits are the one task on real data.
"""

import abc
import functools
import math
from typing import ClassVar

import numpy as np
import tensorflow as tf

# The first half of the seeds of what is held out; training has its own seed there, which is not negative.
HELD_OUT = {"validation": -1, "test": -2}
PERMUTATION_SEED = 92


class Task(abc.ABC):
    """A task: sequences, what should come out of them, and when it counts as solved.

    Attributes:
        name: As the command line calls it.
        title: As tables and plots call it.
        metric: What `measure` measures.
        features: Of the input at a step.
        outputs: Of the network, at a step.
        every_step: Whether an output is wanted at every step, and not after the last alone.
        lower_is_better: Of the metric.
        solved_at: The value of the metric at which training has reached its aim.
        held_out_sizes: Examples in each part that is held out.
        fixed_length: Whether there is only one length.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    metric: ClassVar[str]
    features: ClassVar[int]
    outputs: ClassVar[int]
    every_step: ClassVar[bool] = False
    lower_is_better: ClassVar[bool] = True
    held_out_sizes: ClassVar[dict[str, int]] = {"validation": 1_000, "test": 10_000}
    fixed_length: ClassVar[bool] = False

    def __init__(self, length: int):
        self.length = length

    @property
    def steps(self) -> int:
        """Length of the input sequences."""
        return self.length

    @property
    @abc.abstractmethod
    def solved_at(self) -> float:
        """See the attributes."""

    @abc.abstractmethod
    def batch(self, seed: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws training examples; the same for the same seed.

        Args:
            seed: Two integers, `[2]`; the first is not negative.
            size: How many examples.

        Returns:
            Inputs `[size, steps, features]`, float32, and targets, whose first dimension is `size`.
        """

    @abc.abstractmethod
    def loss(self, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """What training minimises, a mean over the batch: a scalar."""

    @abc.abstractmethod
    def baselines(self) -> dict[str, float]:
        """The metric, on the test part, of answers that remember nothing or that need no recurrence."""

    def held_out(self, part: str) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the examples of a part, `validation` or `test`, which are always the same."""
        return self.batch(tf.constant([HELD_OUT[part], 0], tf.int64), self.held_out_sizes[part])

    def measure(self, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """The metric, a mean over the examples: a scalar."""
        return self.loss(targets, outputs)

    def better(self, value: float, other: float) -> bool:
        """Whether one value of the metric is better than another."""
        return value < other if self.lower_is_better else value > other

    def solved(self, value: float) -> bool:
        """Whether a value of the metric is better than `solved_at`."""
        return self.better(value, self.solved_at)


class Adding(Task):
    """The adding problem (Hochreiter & Schmidhuber 1997, experiment 4), in the form of Arjovsky et al. 2016, §4.2.

    At each step comes a number, uniform in [0, 1), and a mark. Two steps are marked, one in each half of the sequence.
    After the last step the sum of the two marked numbers is asked for.

    Who answers 1 has a mean squared error of 1/6, the variance of the sum. (Le et al. 2015 print 0.1767.)

    Args:
        length: Of the sequences, T; at least 2.

    Raises:
        ValueError: The sequences are too short.
    """

    name, title, metric = "adding", "adding problem", "MSE"
    features, outputs = 2, 1
    solved_at = 0.008  # so that the test part, too, is below the usual 0.01

    def __init__(self, length: int = 200):
        if length < 2:
            raise ValueError(f"length is {length}; the adding problem needs at least 2 steps")
        super().__init__(length)

    def batch(self, seed, size):
        """See `Task`; targets are `[size, 1]`."""
        # One draw for all: numbers in the first columns, what places the two marks in the last.
        drawn = tf.random.stateless_uniform([size, self.length + 2], seed)
        numbers, places = drawn[:, : self.length], drawn[:, self.length :]
        half = self.length // 2
        halves = tf.constant([half, self.length - half], tf.float32)
        positions = tf.cast(places * halves, tf.int32) + tf.constant([0, half])
        marks = tf.reduce_sum(tf.one_hot(positions, self.length), axis=1)
        return tf.stack([numbers, marks], axis=-1), tf.reduce_sum(numbers * marks, axis=1, keepdims=True)

    def loss(self, targets, outputs):
        """The mean squared error."""
        return tf.reduce_mean(tf.square(targets - outputs))

    def baselines(self):
        """See `Task`."""
        _, sums = self.held_out("test")
        return {"constant 1": float(self.loss(sums, tf.ones_like(sums)))}


class Copying(Task):
    """The copying problem (Hochreiter & Schmidhuber 1997, experiment 5), in the form of Arjovsky et al. 2016, §4.1.

    Ten symbols, each one of eight; T - 1 blanks; a delimiter; ten blanks. Wanted are T + 10 blanks and then the ten
    symbols. The metric is the cross entropy of all steps, in nats a step.

    Who remembers nothing knows where blanks are wanted and guesses the rest: 10 ln 8 / (T + 20).

    Args:
        length: T, the delay; at least 1.

    Raises:
        ValueError: The delay is too short.
    """

    name, title, metric = "copying", "copying", "nats a step"
    features, outputs = 10, 9
    every_step = True
    symbols, copied = 8, 10
    blank, delimiter = 8, 9
    held_out_sizes: ClassVar = {"validation": 500, "test": 2_000}

    def __init__(self, length: int = 100):
        if length < 1:
            raise ValueError(f"length is {length}; copying needs a delay of at least 1 step")
        super().__init__(length)

    @property
    def steps(self):
        """See `Task`."""
        return self.length + 2 * self.copied

    @property
    def solved_at(self):
        """A twentieth of the baseline."""
        return 0.05 * self.baselines()["remembers nothing"]

    def batch(self, seed, size):
        """See `Task`; inputs are one-hot vectors, targets `[size, steps]` the numbers of the symbols."""
        data = tf.random.stateless_uniform([size, self.copied], seed, 0, self.symbols, tf.int32)

        def repeated(symbol, times):
            return tf.fill([size, times], symbol)

        before, after = repeated(self.blank, self.length - 1), repeated(self.blank, self.copied)
        read = tf.concat([data, before, repeated(self.delimiter, 1), after], axis=1)
        wanted = tf.concat([repeated(self.blank, self.length + self.copied), data], axis=1)
        return tf.one_hot(read, self.features), wanted

    def loss(self, targets, outputs):
        """The cross entropy of all steps."""
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, outputs))

    def baselines(self):
        """See `Task`."""
        return {"remembers nothing": self.copied * math.log(self.symbols) / self.steps}


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
