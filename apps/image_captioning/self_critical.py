"""Self-critical sequence training: captions that the model draws are made likelier where they are worth more."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.image_captioning.model import CaptioningModel
from recur.text.subwords import BEGIN, END
from recur.text.words import PADDING, UNKNOWN

Tensor = Any
Rewards = Callable[[np.ndarray, np.ndarray], np.ndarray]

NEVER = -1e9  # the logit of what no caption says


class SelfCriticalModel(CaptioningModel):
    """A captioning model that learns from what its own captions are worth (Rennie et al. 2017).

    Of each image some captions are drawn; the gradient is that of -(r - b) log p(caption), where r is what it is worth
    and the baseline b is what the others of the same image are worth on average, which costs nothing and varies less
    than the worth of the greedy caption (Luo 2020, "A Better Variant of Self-Critical Sequence Training"; Kool et al.
    2019). `context_dropout` drops regions, the same ones when captions are drawn and when they are learnt from; other
    rates must be 0, or what is learnt from is not what drew. Its weights are those of a `CaptioningModel`.

    Batches are `features` [images, rows, columns, channels] and `image` int32 [images], their numbers in the part. The
    loss is minus the mean worth: of the drawn captions in training, of greedy ones in validation.

    Args:
        rewards: From numbers of train images int32 [captions] and words int32 [captions, steps], ended by END and
            padded, to worths float32 [captions].
        validation_rewards: The same of validation images.
        samples: Captions drawn of each image, at least two.
        longest: Words of a drawn caption at most.
        **settings: Those of `CaptioningModel`.
    """

    def __init__(self, rewards: Rewards, validation_rewards: Rewards, samples: int, longest: int, **settings: Any):
        super().__init__(**settings)
        self.rewards, self.validation_rewards = rewards, validation_rewards
        self.samples, self.longest = samples, longest
        self.drawing = keras.random.SeedGenerator()

    def train_step(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Draws captions of a batch of images and learns from them."""
        images = tf.repeat(data["image"], self.samples)
        with tf.GradientTape() as tape:
            regions = self.regions(data["features"])
            summary, memory = tf.reduce_mean(regions, axis=1), self.context_dropout(regions, training=True)
            with tape.stop_recording():
                written = self.write(summary, memory, self.samples, self.drawing.next())
                worth = worths(self.rewards, images, written)
                gained = advantages(tf.reshape(worth, [-1, self.samples]))
            likelihoods = self.log_likelihoods(written, summary, memory)
            loss = -tf.reduce_mean(tf.reshape(gained, [-1]) * likelihoods)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self._loss_tracker.update_state(-tf.reduce_mean(worth))
        return self.get_metrics_result()

    def test_step(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Measures the greedy captions of a batch of images."""
        regions = self.regions(data["features"])
        worth = worths(self.validation_rewards, data["image"], self.write(tf.reduce_mean(regions, axis=1), regions))
        self._loss_tracker.update_state(-tf.reduce_mean(worth), sample_weight=tf.shape(worth)[0])
        return self.get_metrics_result()

    def write(self, summary: Tensor, memory: Tensor, samples: int = 1, seed: Tensor | None = None) -> Tensor:
        """Captions of images, drawn where there is a seed and else of the likeliest word at every step.

        Args:
            summary: The mean regions [images, units].
            memory: The regions [images, regions, units].
            samples: Captions of each image.
            seed: uint32 [2].

        Returns:
            int32 [images * samples, longest], the captions of an image one after the other; padding from the end on.
        """
        if self.attends:
            states, memory = self.decoder.begin(memory, summary)
        else:
            states, memory = self.decoder.initial_states(summary), ()
        states, memory = tf.nest.map_structure(lambda each: tf.repeat(each, samples, axis=0), (states, memory))
        rows = tf.shape(summary)[0] * samples
        turns = None if seed is None else tf.cast(seed, tf.int64)

        def advance(turn: Tensor, last: Tensor, states: Sequence[Tensor], written: tf.TensorArray) -> tuple:
            logits, states, _ = self.step(last, states, memory)
            logits += impossible(logits.shape[-1])
            if turns is None:
                symbols = tf.argmax(logits, axis=-1, output_type=tf.int32)
            else:
                here = turns + tf.stack([tf.cast(turn, tf.int64), 0])
                symbols = tf.random.stateless_categorical(logits, 1, here, dtype=tf.int32)[:, 0]
            symbols = tf.where((last == END) | (last == PADDING), PADDING, symbols)
            return turn + 1, symbols, states, written.write(turn, symbols)

        _, _, _, written = tf.while_loop(
            lambda turn, last, *_: (turn < self.longest) & tf.reduce_any((last != END) & (last != PADDING)),
            advance,
            (
                tf.constant(0),
                tf.fill([rows], BEGIN),
                states,
                tf.TensorArray(tf.int32, self.longest, element_shape=[None]),
            ),
        )
        return tf.transpose(tf.ensure_shape(written.stack(), [self.longest, None]))

    def log_likelihoods(self, written: Tensor, summary: Tensor, memory: Tensor) -> Tensor:
        """Log-probabilities float32 [captions] of what `write` drew from the same regions."""
        samples = tf.shape(written)[0] // tf.shape(summary)[0]
        summary, memory = (tf.repeat(each, samples, axis=0) for each in (summary, memory))
        wanted = written[:, : tf.reduce_max(tf.reduce_sum(tf.cast(written != PADDING, tf.int32), axis=1))]
        words = tf.concat([tf.fill([tf.shape(wanted)[0], 1], BEGIN), wanted[:, :-1]], axis=1)
        embedded, there = self._embed(words), wanted != PADDING
        if self.attends:
            outputs, _, _ = self.decoder(embedded, memory, summary, training=True)
        else:
            outputs, _ = self.decoder(embedded, summary, training=True)
        logits = self._logits(tf.boolean_mask(outputs, there))
        costs = tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.boolean_mask(wanted, there), logits + impossible(logits.shape[-1])
        )
        return -tf.math.segment_sum(costs, tf.cast(tf.where(there)[:, 0], tf.int32))


def impossible(vocabulary_size: int) -> Tensor:
    """What is added to logits, so that no caption has padding, unknown words or a begin: float32 [vocabulary_size]."""
    return tf.reduce_sum(tf.one_hot([PADDING, UNKNOWN, BEGIN], vocabulary_size, on_value=NEVER), axis=0)


def worths(rewards: Rewards, images: Tensor, written: Tensor) -> Tensor:
    """Calls rewards, which are no part of a graph: float32 [captions]."""
    found = tf.numpy_function(rewards, [images, written], tf.float32, stateful=False)
    return tf.ensure_shape(found, [None])


def advantages(worth: Tensor) -> Tensor:
    """What each caption of an image is worth beyond the mean of the others: float32 [images, samples].

    Example:
        >>> advantages(tf.constant([[1.0, 2.0, 6.0]])).numpy()
        array([[-3. , -1.5,  4.5]], dtype=float32)
    """
    samples = worth.shape[1]
    others = (tf.reduce_sum(worth, axis=1, keepdims=True) - worth) / (samples - 1)
    return worth - others
