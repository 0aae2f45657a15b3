"""Batches of captions with the features of their images."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from apps.image_captioning.captions import CaptionVocabulary
from apps.image_captioning.pictures import Album, Part
from shared.application import Datasets
from shared.batching import batches_of_similar_length, padded
from shared.subwords import BEGIN, END

if TYPE_CHECKING:
    from apps.image_captioning.config import CaptioningConfig

Batch = tuple[dict[str, np.ndarray], np.ndarray]
MakeBatch = Callable[[np.ndarray], Batch]


def captioning_datasets(
    album: Album,
    features: np.ndarray,
    validation_features: np.ndarray,
    vocabulary: CaptionVocabulary,
    config: "CaptioningConfig",
) -> Datasets:
    """A caption a row: train in another order each pass, validation by length.

    Captions of more than `longest` words are in neither.

    Args:
        album: The data.
        features: Of the train images, float16 [images, rows, columns, channels].
        validation_features: Of the validation images.
        vocabulary: The words of captions.
        config: The settings.
    """
    images, captions = encoded(album.train, vocabulary, config.longest)
    lengths, size = [len(caption) for caption in captions], min(config.batch_size, len(captions))
    signature = (
        {
            "features": tf.TensorSpec([None, *features.shape[1:]], tf.float16),
            "words": tf.TensorSpec([None, None], tf.int32),
        },
        tf.TensorSpec([None], tf.int32),
    )

    def order(turn: int) -> list[np.ndarray]:
        return batches_of_similar_length(lengths, size, config.seed + 10_007 * turn)

    def make(rows: np.ndarray) -> Batch:
        return batch(features[images[rows]], [captions[row] for row in rows])

    return Datasets(
        train=lambda first: train_batches(make, order, first, signature),
        steps_per_pass=len(order(0)),
        validation=ordered_batches(
            validation_features, *encoded(album.validation, vocabulary, config.longest), config.batch_size, signature
        ),
    )


def encoded(part: Part, vocabulary: CaptionVocabulary, longest: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Captions as ids of words, without marks, and the image of each: int64 [captions].

    Those of more than so many words are left out.
    """
    texts = [(image, caption) for image, captions in enumerate(part.captions) for caption in captions]
    ids = vocabulary.encode([caption for _, caption in texts])
    kept = [row for row, words in enumerate(ids) if len(words) <= longest]
    return np.array([texts[row][0] for row in kept], np.int64), [ids[row] for row in kept]


def train_batches(
    make: MakeBatch, order: Callable[[int], list[np.ndarray]], first: int, signature: tuple
) -> tf.data.Dataset:
    """Endless batches from a step on.

    Args:
        make: From the indices of captions to their batch.
        order: From the number of a pass over the data to the indices of the captions of each batch, as many batches in
            every pass.
        first: Step of the first batch.
        signature: What a batch is.
    """

    def batches() -> Iterator[Batch]:
        turn, skipped = divmod(first, len(order(0)))
        while True:
            for rows in order(turn)[skipped:]:
                yield make(rows)
            turn, skipped = turn + 1, 0

    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(4)


def ordered_batches(
    features: np.ndarray, images: np.ndarray, captions: Sequence[np.ndarray], size: int, signature: tuple
) -> tf.data.Dataset:
    """All captions once, sorted by length."""
    order = np.argsort([len(caption) for caption in captions], kind="stable")

    def batches() -> Iterator[Batch]:
        for begin in range(0, len(order), size):
            rows = order[begin : begin + size]
            yield batch(features[images[rows]], [captions[row] for row in rows])

    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(-(-len(order) // size))).prefetch(4)


def batch(features: np.ndarray, captions: Sequence[np.ndarray]) -> Batch:
    """Captions as the model reads them.

    Args:
        features: Of the image of each caption, [captions, rows, columns, channels].
        captions: Ids of words, without marks.

    Returns:
        `features`, and `words` int32 [captions, steps] with the begin; and what comes next, the end too, int32
        [tokens], one caption after the other.
    """
    words = padded([np.insert(caption, 0, BEGIN) for caption in captions])
    wanted = np.concatenate([np.append(caption, END) for caption in captions]).astype(np.int32)
    return {"features": features, "words": words}, wanted
