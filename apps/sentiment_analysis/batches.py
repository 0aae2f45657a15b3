"""Batches of reviews of similar length."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from apps.sentiment_analysis.assets import SentimentAssets
from apps.sentiment_analysis.data import Corpus, encode_all
from apps.sentiment_analysis.teaching import teacher_probabilities
from recur.data.batches import batches_of_similar_length, padded
from recur.layers.loop.sequence_loop import LENGTH_BUCKET
from recur.text.words import UNKNOWN, clip_length
from recur.training.task import Datasets

if TYPE_CHECKING:
    from apps.sentiment_analysis.application import SentimentConfig

EVALUATION_BATCH = 128


def classification_datasets(corpus: Corpus, assets: SentimentAssets, config: "SentimentConfig") -> Datasets:
    """Train, and what a teacher labels, in batches of similar length, in another order each pass; validation in one."""
    train = read_part(encode_all(corpus.train.texts, assets.vocabulary), config)
    validation = read_part(encode_all(corpus.validation.texts, assets.vocabulary), config)
    certain = np.eye(len(assets.labels), dtype=np.float32)
    wanted = certain[corpus.train.labels]
    if config.teacher != "none":
        train += read_part(encode_all(corpus.unlabelled, assets.vocabulary), config)
        wanted = np.concatenate([wanted, teacher_probabilities(corpus)])
    return Datasets(
        train=lambda first: train_batches(train, wanted, config.batch_size, config.seed, first),
        steps_per_pass=len(train) // config.batch_size,
        validation=ordered_batches(validation, certain[corpus.validation.labels]),
    )


def read_part(ids: Sequence[np.ndarray], config: "SentimentConfig") -> list[np.ndarray]:
    """The words of each review that the model reads; one without words has a single unknown one."""
    if not len(ids):
        return []
    clipped = clip_length(tf.ragged.stack(list(ids)), config.longest, config.keep)
    values, ends = clipped.flat_values.numpy(), clipped.row_splits.numpy()
    return [row if len(row) else np.array([UNKNOWN], np.int32) for row in np.split(values, ends[1:-1])]


def train_batches(
    reviews: Sequence[np.ndarray], probabilities: np.ndarray, batch_size: int, seed: int, first: int
) -> tf.data.Dataset:
    """Endless batches from a step on.

    Args:
        reviews: Ids, one array [words] a review.
        probabilities: float32 [reviews, classes], what they are taken for.
        batch_size: Reviews of a batch.
        seed: Of the order.
        first: Step of the first batch.

    Returns:
        ids int32 [batch_size, words], padded to a multiple that recurrent layers are compiled for, and probabilities.
    """
    lengths = [len(review) for review in reviews]
    steps = len(reviews) // batch_size

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        turn, skipped = divmod(first, steps)
        while True:
            order = batches_of_similar_length(lengths, batch_size, seed=seed + 10_007 * turn)
            for index in order[skipped:]:
                yield padded([reviews[i] for i in index], LENGTH_BUCKET), probabilities[index]
            turn, skipped = turn + 1, 0

    signature = (
        tf.TensorSpec([batch_size, None], tf.int32),
        tf.TensorSpec([batch_size, probabilities.shape[1]], tf.float32),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)


def ordered_batches(reviews: Sequence[np.ndarray], probabilities: np.ndarray) -> tf.data.Dataset:
    """All reviews once, sorted by length."""
    order = np.argsort([len(review) for review in reviews], kind="stable")

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for begin in range(0, len(order), EVALUATION_BATCH):
            index = order[begin : begin + EVALUATION_BATCH]
            yield padded([reviews[i] for i in index], LENGTH_BUCKET), probabilities[index]

    signature = _signature(None, probabilities.shape[1])
    count = -(-len(order) // EVALUATION_BATCH)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)


def _signature(batch_size: int | None, classes: int) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    return tf.TensorSpec([batch_size, None], tf.int32), tf.TensorSpec([batch_size, classes], tf.float32)
