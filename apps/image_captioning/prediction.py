"""Captions of many images, in batches."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from apps.image_captioning.images import decode_images
from apps.image_captioning.serving import TOGETHER, Captioner


class Looked(NamedTuple):
    """An image, what was said of it, and where the decoder looked meanwhile.

    Attributes:
        pixels: uint8 [height, width, 3], as the encoder sees them.
        words: Of the caption.
        weights: float32 [words, rows, columns].
    """

    pixels: np.ndarray
    words: list[str]
    weights: np.ndarray


def caption_all(captioner: Captioner, images: Sequence[bytes]) -> list[str]:
    """Captions, as `predict` gives them.

    Args:
        captioner: The serving module of a run.
        images: Contents of files.
    """
    found: list[str] = []
    with tqdm.tqdm(total=len(images), desc="describing", unit="image", file=sys.stderr, delay=2, disable=None) as bar:
        for begin in range(0, len(images), TOGETHER):
            batch = [images[index] for index in range(begin, min(begin + TOGETHER, len(images)))]
            found += [caption.decode() for caption in captioner.caption(tf.constant(batch))["caption"].numpy()]
            bar.update(len(batch))
    return found


def pixels_of(images: Sequence[bytes]) -> np.ndarray:
    """Images as the encoder sees them: uint8 [images, height, width, 3]."""
    return decode_images(tf.constant(list(images), tf.string)).numpy()


def looked_at(captioner: Captioner, images: Sequence[bytes]) -> list[Looked]:
    """Images to draw with the attention to them; none of those of which nothing was said, or without attention."""
    if "attention" not in captioner.signatures:
        return []
    found = {name: value.numpy() for name, value in captioner.attention(tf.constant(list(images))).items()}
    drawn = []
    for pixels, words, weights in zip(pixels_of(images), found["words"], found["weights"], strict=True):
        if said := [word.decode() for word in words if word]:
            drawn.append(Looked(pixels, said, weights[: len(said)]))
    return drawn
