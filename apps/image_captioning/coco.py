"""Photographs and captions from TensorFlow Datasets: `coco_captions`, and whatever has the same features."""

import functools
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from apps.image_captioning.photographs import PARTS, Found
from recur.data.archives import NamedBytes
from recur.data.sources import load_tensorflow_dataset

IMAGE, NAME, CAPTIONS = "image", "image/filename", "captions"


def read_tensorflow_dataset(name: str) -> Found:
    """The parts of a dataset whose examples have an `image` and `captions` with a `text` each.

    Captions are kept, images are not: COCO's are 19 GB. They are read again when asked for, fast in the order of the
    dataset and slowly in any other. COCO's split `restval`, the rest of its validation images, is part of train, as in
    Karpathy's division.

    Raises:
        InputError: There is no such dataset, or it lacks a feature.
    """
    splits = load_tensorflow_dataset(name, features=(IMAGE, CAPTIONS), undecoded=(IMAGE,))
    images: dict[str, NamedBytes] = {}
    captions: dict[str, list[str]] = {}
    parts: dict[str, str] = {}
    for split, dataset in splits.items():
        if split not in PARTS:
            continue
        stored = StoredImages(dataset)
        for index, example in enumerate(dataset.as_numpy_iterator()):
            file = example[NAME].decode("utf-8", "replace") if NAME in example else str(index)
            key = f"{split}/{file}"
            images[key] = NamedBytes(f"{name}/{key}", len(example[IMAGE]), functools.partial(stored.read, index))
            captions[key] = [text.decode("utf-8", "replace") for text in _texts(example[CAPTIONS])]
            parts[key] = PARTS[split]
    return Found(images, captions, parts)


def _texts(captions: Any) -> list[bytes]:
    """Texts of an example's captions: those of COCO have ids beside them, others may be texts alone, or one text."""
    found = captions["text"] if isinstance(captions, dict) else captions
    return [found] if isinstance(found, bytes) else list(found)


class StoredImages:
    """Images of a dataset, by their number in it.

    Args:
        dataset: Its examples have a scalar string `image`; always in the same order.
    """

    def __init__(self, dataset: tf.data.Dataset):
        self._dataset = dataset.map(lambda example: example[IMAGE])
        self._lock = threading.Lock()
        self._next, self._rest = 0, iter(())

    def read(self, index: int) -> bytes:
        """The bytes of one, at once if the one before it was read last.

        Raises:
            EOFError: There are not as many.
        """
        with self._lock:
            if index != self._next or index == 0:
                self._rest: Iterator[bytes] = self._dataset.skip(index).as_numpy_iterator()
            self._next = index + 1
            try:
                return next(self._rest)
            except StopIteration:
                raise EOFError(f"no image {index:,}") from None
