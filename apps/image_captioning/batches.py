"""Batches of captions with the features of their images."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from apps.image_captioning.captions import CaptionVocabulary
from apps.image_captioning.pictures import Album, Part
from recur.data.batches import batches_of_similar_length, padded
from recur.text.subwords import BEGIN, END
from recur.training.task import Datasets

if TYPE_CHECKING:
    from apps.image_captioning.config import CaptioningConfig

Seen = dict[str, np.ndarray]
Batch = tuple[Seen, np.ndarray]
MakeBatch = Callable[[np.ndarray, int], Batch]


class Sight(NamedTuple):
    """What the model is shown of the images of train and of validation.

    Attributes:
        train: From the numbers of images and a seed to arrays by the name of an input, an image a row.
        validation: The same of validation images; it needs no seed.
        signature: Of the arrays.
    """

    train: Callable[[np.ndarray, int], Seen]
    validation: Callable[[np.ndarray], Seen]
    signature: dict[str, tf.TensorSpec]


def features_as_computed(features: np.ndarray, validation_features: np.ndarray) -> Sight:
    """Features float16 [images, rows, columns, channels] of the images of both parts, whatever the seed."""
    return Sight(
        lambda images, seed: {"features": features[images]},
        lambda images: {"features": validation_features[images]},
        {"features": tf.TensorSpec([None, *features.shape[1:]], tf.float16)},
    )


def captioning_datasets(
    album: Album, sight: Sight, vocabulary: CaptionVocabulary, config: "CaptioningConfig"
) -> Datasets:
    """A caption a row: train in another order each pass, validation by length.

    Captions of more than `longest` words are in neither.

    Args:
        album: The data.
        sight: What is shown of its images.
        vocabulary: The words of captions.
        config: The settings.
    """
    images, captions = encoded(album.train, vocabulary, config.longest)
    lengths, size = [len(caption) for caption in captions], min(config.batch_size, len(captions))
    signature = (
        sight.signature | {"words": tf.TensorSpec([None, None], tf.int32)},
        tf.TensorSpec([None], tf.int32),
    )

    def order(turn: int) -> list[np.ndarray]:
        return batches_of_similar_length(lengths, size, config.seed + 10_007 * turn)

    def make(rows: np.ndarray, seed: int) -> Batch:
        return batch(sight.train(images[rows], seed), [captions[row] for row in rows])

    return Datasets(
        train=lambda first: train_batches(make, order, first, signature),
        steps_per_pass=len(order(0)),
        validation=ordered_batches(
            sight.validation, *encoded(album.validation, vocabulary, config.longest), config.batch_size, signature
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
        make: From the indices of captions, and a number that no other batch has, to their batch.
        order: From the number of a pass over the data to the indices of the captions of each batch, as many batches in
            every pass.
        first: Step of the first batch.
        signature: What a batch is.
    """

    def batches() -> Iterator[Batch]:
        step, steps = first, len(order(0))
        while True:
            for rows in order(step // steps)[step % steps :]:
                yield make(rows, step)
                step += 1

    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(4)


def ordered_batches(
    look: Callable[[np.ndarray], Seen], images: np.ndarray, captions: Sequence[np.ndarray], size: int, signature: tuple
) -> tf.data.Dataset:
    """All captions once, sorted by length."""
    order = np.argsort([len(caption) for caption in captions], kind="stable")

    def batches() -> Iterator[Batch]:
        for begin in range(0, len(order), size):
            rows = order[begin : begin + size]
            yield batch(look(images[rows]), [captions[row] for row in rows])

    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(-(-len(order) // size))).prefetch(4)


def batch(seen: Seen, captions: Sequence[np.ndarray]) -> Batch:
    """Captions as the model reads them.

    Args:
        seen: What is shown of the image of each caption.
        captions: Ids of words, without marks.

    Returns:
        What is shown, and `words` int32 [captions, steps] with the begin; and what comes next, the end too, int32
        [tokens], one caption after the other.
    """
    words = padded([np.insert(caption, 0, BEGIN) for caption in captions])
    wanted = np.concatenate([np.append(caption, END) for caption in captions]).astype(np.int32)
    return seen | {"words": words}, wanted
