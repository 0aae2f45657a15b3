"""Files of images: read, and checked before anything is computed from them, so that a bad one is named."""

import concurrent.futures
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import tensorflow as tf
import tqdm

from apps.image_captioning.files import read_file
from apps.image_captioning.images import MOST_PIXELS, VERSION, count_pixels, decode_pixels
from recur.data.caches import cached_arrays
from recur.errors import InputError

# One of each kind of file, whatever its content: compiled once.
_count = tf.function(count_pixels, input_signature=[tf.TensorSpec([], tf.string)])
_decode = tf.function(decode_pixels, input_signature=[tf.TensorSpec([], tf.string)])


class ImageFiles(Sequence[bytes]):
    """The contents of files, each read when it is asked for.

    Attributes:
        paths: Of the files.
    """

    def __init__(self, paths: Iterable[Path]):
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> "ImageFiles": ...
    def __getitem__(self, index: int | slice) -> "bytes | ImageFiles":
        return ImageFiles(self.paths[index]) if isinstance(index, slice) else read_file(self.paths[index])


def read_image(path: Path) -> bytes:
    """The content of a file, an image that the graph can decode.

    Raises:
        InputError: There is no such file, it cannot be read, or as `check_image`.
    """
    content = read_file(path)
    check_image(str(path), content)
    return content


def check_image(name: str, content: bytes) -> None:
    """Refuses what the graph cannot decode; an image that is too large is known by its header and not decoded.

    Args:
        name: What to call it.
        content: Of its file.

    Raises:
        InputError: It is no image, of another format, damaged, cut short, or has too many pixels.
    """
    if fault := _fault(content):
        raise InputError(f"{name} {fault}")


def bad_images(images: Sequence[bytes], fingerprint: str) -> dict[int, str]:
    """Which images cannot be decoded, found once for the same images.

    Args:
        images: Contents of files. Those in memory are one a processor.
        fingerprint: Of all of them in this order: `recur.data.sources.fingerprint(images)`.

    Returns:
        What is wrong with each bad one and what to do, to stand behind its name, by its index.
    """

    def compute() -> dict[str, np.ndarray]:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:  # TensorFlow decodes without the lock
            found = threads.map(lambda index: _fault(images[index]), range(len(images)))
            faults = list(
                tqdm.tqdm(found, "checking images", len(images), unit="image", delay=2, leave=False, disable=None)
            )
        bad = [index for index, fault in enumerate(faults) if fault]
        return {"bad": np.array(bad, np.int64), "faults": np.array([faults[index] for index in bad], np.str_)}

    stored = cached_arrays(f"bad-{VERSION}-{fingerprint}", compute)
    return dict(zip(stored["bad"].tolist(), stored["faults"].tolist(), strict=True))


def _fault(content: bytes) -> str:
    """What is wrong with an image, or nothing."""
    if not content:
        return "is empty; replace it, or leave it out"
    try:
        pixels = int(_count(content))
        if not pixels:
            return "is no JPEG, PNG, GIF or plain BMP (24 or 32 bits); convert it to a JPEG, or leave it out"
        if pixels > MOST_PIXELS:
            return f"has {pixels / 1e6:,.1f} megapixels; shrink it to {MOST_PIXELS // 10**6} at most, or leave it out"
        _decode(content)
    except tf.errors.InvalidArgumentError:
        return "is a damaged image, or cut short; replace it, or leave it out"
    return ""
