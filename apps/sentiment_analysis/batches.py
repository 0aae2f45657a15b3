"""Batches of reviews of similar length."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from apps.sentiment_analysis.assets import SentimentAssets, encode_all
from apps.sentiment_analysis.config import SentimentConfig
from apps.sentiment_analysis.data import Corpus
from apps.sentiment_analysis.stages import teacher_probabilities
from recur.data.batches import batches_of_similar_length, padded
from recur.data.pipeline import endless, in_order, once
from recur.layers.loop.sequence_loop import LENGTH_BUCKET
from recur.text.words import UNKNOWN, clip_length
from recur.training.task import Datasets

EVALUATION_BATCH = 128


def datasets(corpus: Corpus, assets: SentimentAssets, config: SentimentConfig) -> Datasets:
    """Train, and what a teacher labels, in batches of similar length, in another order each pass; validation in one."""

    def ids(texts: Sequence[bytes]) -> list[np.ndarray]:
        return read_part(encode_all(texts, assets.vocabulary), config)

    train, certain = ids(corpus.train.texts), np.eye(len(assets.labels), dtype=np.float32)
    wanted = certain[corpus.train.labels]
    if config.teacher != "none":
        train += ids(corpus.unlabelled)
        wanted = np.concatenate([wanted, teacher_probabilities(corpus)])
    return Datasets(
        train=train_batches(train, wanted, config.batch_size, config.seed),
        steps_per_pass=len(train) // config.batch_size,
        validation=validation_batches(ids(corpus.validation.texts), certain[corpus.validation.labels]),
    )


def read_part(ids: Sequence[np.ndarray], config: SentimentConfig) -> list[np.ndarray]:
    """The words of each review that the model reads; one without words has a single unknown one."""
    if not len(ids):
        return []
    clipped = clip_length(tf.ragged.stack(list(ids)), config.longest, config.keep)
    values, ends = clipped.flat_values.numpy(), clipped.row_splits.numpy()
    return [row if len(row) else np.array([UNKNOWN], np.int32) for row in np.split(values, ends[1:-1])]


def train_batches(
    reviews: Sequence[np.ndarray], probabilities: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], tf.data.Dataset]:
    """Endless batches.

    Args:
        reviews: Ids, one array [words] a review.
        probabilities: float32 [reviews, classes], what they are taken for.
        batch_size: Reviews of a batch.
        seed: Of the order.

    Returns:
        From a step to the batches from there on: ids int32 [batch_size, words], padded to a multiple that recurrent
        layers are compiled for, and probabilities.
    """
    lengths = [len(review) for review in reviews]
    return endless(
        lambda turn: batches_of_similar_length(lengths, batch_size, seed=seed + 10_007 * turn),
        lambda rows, step: (rows_of(reviews, rows), probabilities[rows]),
        _signature(batch_size, probabilities),
    )


def validation_batches(reviews: Sequence[np.ndarray], probabilities: np.ndarray) -> tf.data.Dataset:
    """All reviews once, sorted by length."""
    return once(
        by_length(reviews),
        lambda rows: (rows_of(reviews, rows), probabilities[rows]),
        _signature(None, probabilities),
    )


def by_length(reviews: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The indices of all reviews, sorted by length, as many at a time as are read together."""
    return in_order(np.argsort([len(review) for review in reviews], kind="stable"), EVALUATION_BATCH)


def rows_of(reviews: Sequence[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Ids of some reviews, int32 [rows, words], padded to a length that recurrent layers are compiled for."""
    return padded([reviews[row] for row in rows], LENGTH_BUCKET)


def _signature(batch_size: int | None, probabilities: np.ndarray) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    classes = probabilities.shape[1]
    return tf.TensorSpec([batch_size, None], tf.int32), tf.TensorSpec([batch_size, classes], tf.float32)
