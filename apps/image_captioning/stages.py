"""Self-critical training after cross-entropy: captions that the model draws become likelier where worth more."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from apps.image_captioning.assets import CaptionVocabulary
from apps.image_captioning.batches import album_features
from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.data import Album
from apps.image_captioning.metrics import CaptionReward, with_endings
from apps.image_captioning.model import CaptioningModel
from recur.data.pipeline import endless, in_order, once
from recur.text.subwords import BEGIN, END
from recur.text.words import PADDING, UNKNOWN
from recur.training.task import Datasets, Stage

Rewards = Callable[[np.ndarray, np.ndarray], np.ndarray]

FIRST_STAGE = "cross_entropy"
NEVER = -1e9  # the logit of what no caption says


def self_critical_stage(
    album: Album, vocabulary: CaptionVocabulary, config: CaptioningConfig, kept: Callable[[], keras.Model]
) -> Stage:
    """Self-critical training as the main one of a run.

    Args:
        album: The data.
        vocabulary: Its words.
        config: `self_critical_epochs` passes over images, in batches that draw about `self_critical_batch_size`
            captions.
        kept: Makes the model that is kept.
    """
    images = min(max(1, config.self_critical_batch_size // config.self_critical_samples), len(album.train))
    epochs, learning_rate = config.self_critical_epochs, config.self_critical_learning_rate

    def learner() -> keras.Model:
        reward = CaptionReward(vocabulary, album.train.captions)
        rewards, validation_rewards = (rewards_of(reward, part.captions) for part in (album.train, album.validation))
        none = {"word_dropout": 0.0, "embedding_dropout": 0.0, "output_dropout": 0.0, "scheduled_sampling": 0.0}
        model = SelfCriticalModel(rewards, validation_rewards, config, vocabulary_size=len(vocabulary), **none)
        model.build()
        return model

    return Stage(
        name="main",
        config=dataclasses.replace(
            config, epochs=epochs, steps_per_epoch=0, batch_size=images, learning_rate=learning_rate
        ),
        build=learner,
        datasets=lambda: image_datasets(*album_features(album, config), images, config.seed),
        objective=dict,
        kept=kept,
    )


def rewards_of(reward: CaptionReward, captions: Sequence[Sequence[str]]) -> Rewards:
    """What captions of the images of a part are worth, beside its captions."""
    references = with_endings(captions)
    return lambda images, written: reward(written, [references[image] for image in images])


def image_datasets(features: np.ndarray, validation_features: np.ndarray, size: int, seed: int) -> Datasets:
    """An image a row: train in another order each pass, those left over in none; validation in order.

    Args:
        features: Of the train images, float16 [images, rows, columns, channels].
        validation_features: Of the validation images.
        size: Images in a batch.
        seed: Of the order.
    """
    steps = len(features) // size
    signature = {
        "features": tf.TensorSpec([None, *features.shape[1:]], tf.float16),
        "image": tf.TensorSpec([None], tf.int32),
    }

    def order(turn: int) -> list[np.ndarray]:
        return in_order(np.random.default_rng(seed + 10_007 * turn).permutation(len(features))[: steps * size], size)

    def batch(part: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"features": part[rows], "image": rows.astype(np.int32)}

    return Datasets(
        train=endless(order, lambda rows, step: batch(features, rows), signature),
        steps_per_pass=steps,
        validation=once(
            in_order(np.arange(len(validation_features)), size),
            lambda rows: batch(validation_features, rows),
            signature,
        ),
    )


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
        config: Its hyperparameters.
        **settings: Those of `CaptioningModel`.
    """

    def __init__(
        self, rewards: Rewards, validation_rewards: Rewards, config: CaptioningConfig | None = None, **settings: Any
    ):
        super().__init__(config, **settings)
        self.rewards, self.validation_rewards = rewards, validation_rewards
        self.samples, self.longest = self.config.self_critical_samples, self.config.self_critical_longest
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
        if self.config.attention:
            states, memory = self.decoder.begin(memory, summary)
        else:
            states, memory = self.decoder.initial_states(summary), ()
        states, memory = tf.nest.map_structure(lambda tensor: tf.repeat(tensor, samples, axis=0), (states, memory))
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
        summary, memory = tf.repeat(summary, samples, axis=0), tf.repeat(memory, samples, axis=0)
        wanted = written[:, : tf.reduce_max(tf.reduce_sum(tf.cast(written != PADDING, tf.int32), axis=1))]
        words = tf.concat([tf.fill([tf.shape(wanted)[0], 1], BEGIN), wanted[:, :-1]], axis=1)
        embedded, there = self._embed(words), wanted != PADDING
        if self.config.attention:
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
    return tf.ensure_shape(tf.numpy_function(rewards, [images, written], tf.float32, stateful=False), [None])


def advantages(worth: Tensor) -> Tensor:
    """What each caption of an image is worth beyond the mean of the others: float32 [images, samples].

    Example:
        >>> advantages(tf.constant([[1.0, 2.0, 6.0]])).numpy()
        array([[-3. , -1.5,  4.5]], dtype=float32)
    """
    samples = worth.shape[1]
    others = (tf.reduce_sum(worth, axis=1, keepdims=True) - worth) / (samples - 1)
    return worth - others
