"""Batches of captions with what the model is shown of their images."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from apps.image_captioning.application import APPLICATION
from apps.image_captioning.assets import CaptionVocabulary
from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.data import Album, Part
from apps.image_captioning.efficientnet_lite import SIZE
from apps.image_captioning.encoders import encoder
from apps.image_captioning.features import image_features, pixels_of, random_views
from recur.data.batches import batches_of_similar_length, padded
from recur.data.pipeline import endless, in_order, once
from recur.text.subwords import BEGIN, END
from recur.training.loading import load
from recur.training.runs import open_run
from recur.training.task import Datasets

Shown = dict[str, np.ndarray]


def datasets(album: Album, assets: CaptionVocabulary, config: CaptioningConfig) -> Datasets:
    """A caption a row, with the features of its image, or its pixels where the encoder is trained along."""
    if config.trained_blocks:
        train, validation = album.train.images, album.validation.images
        return caption_datasets(
            album,
            assets,
            config,
            lambda images, seed: {"pixels": random_views(pixels_of(train, images), config.mirror, seed)},
            lambda images: {"pixels": pixels_of(validation, images)},
            {"pixels": tf.TensorSpec([None, SIZE, SIZE, 3], tf.uint8)},
        )
    features, validation_features = album_features(album, config)
    return caption_datasets(
        album,
        assets,
        config,
        lambda images, seed: {"features": features[images]},
        lambda images: {"features": validation_features[images]},
        {"features": tf.TensorSpec([None, *features.shape[1:]], tf.float16)},
    )


def album_features(album: Album, config: CaptioningConfig) -> tuple[np.ndarray, np.ndarray]:
    """What the encoder to begin with sees in the images of train and of validation, computed once."""
    if config.pretrained:
        looking = load(APPLICATION, open_run(APPLICATION.name, config.pretrained)).model.encoder
    else:
        looking = encoder(config.encoder).pretrained()
    train, validation = (
        image_features(part.images, part.images.fingerprint, looking) for part in (album.train, album.validation)
    )
    return train, validation


def caption_datasets(
    album: Album,
    vocabulary: CaptionVocabulary,
    config: CaptioningConfig,
    show: Callable[[np.ndarray, int], Shown],
    show_validation: Callable[[np.ndarray], Shown],
    signature: dict[str, tf.TensorSpec],
) -> Datasets:
    """A caption a row: train in another order each pass, validation by length.

    Captions of more than `longest` words are in neither.

    Args:
        album: The data.
        vocabulary: The words of captions.
        config: The settings.
        show: From the numbers of train images and a seed to arrays by the name of an input, an image a row.
        show_validation: The same of validation images; it needs no seed.
        signature: Of these arrays.
    """
    images, captions = encoded(album.train, vocabulary, config.longest)
    lengths, size = [len(caption) for caption in captions], min(config.batch_size, len(captions))
    validation_images, validation_captions = encoded(album.validation, vocabulary, config.longest)
    by_length = np.argsort([len(caption) for caption in validation_captions], kind="stable")
    whole = (signature | {"words": tf.TensorSpec([None, None], tf.int32)}, tf.TensorSpec([None], tf.int32))

    def order(turn: int) -> list[np.ndarray]:
        return batches_of_similar_length(lengths, size, config.seed + 10_007 * turn)

    return Datasets(
        train=endless(
            order, lambda rows, step: batch(show(images[rows], step), [captions[row] for row in rows]), whole
        ),
        steps_per_pass=len(order(0)),
        validation=once(
            in_order(by_length, config.batch_size),
            lambda rows: batch(show_validation(validation_images[rows]), [validation_captions[row] for row in rows]),
            whole,
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


def batch(shown: Shown, captions: Sequence[np.ndarray]) -> tuple[Shown, np.ndarray]:
    """Captions as the model reads them.

    Args:
        shown: What is shown of the image of each caption.
        captions: Ids of words, without marks.

    Returns:
        What is shown, and `words` int32 [captions, steps] with the begin; and what comes next, the end too, int32
        [tokens], one caption after the other.
    """
    words = padded([np.insert(caption, 0, BEGIN) for caption in captions])
    wanted = np.concatenate([np.append(caption, END) for caption in captions]).astype(np.int32)
    return shown | {"words": words}, wanted
