"""The images of a corpus as training and evaluation read them: checked, and with what an encoder sees in them."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from apps.image_captioning.data import PARTS, Captioned, Corpus
from apps.image_captioning.features import image_features
from apps.image_captioning.image_files import bad_images
from recur.data.archives import NamedBytes
from recur.data.sources import fingerprint
from recur.errors import InputError


class Pictures(Sequence[bytes]):
    """Contents of images, each read when it is asked for; those that are made and not read are made once.

    Attributes:
        images: By which name and how to read each.
    """

    def __init__(self, images: Iterable[NamedBytes]):
        self.images = tuple(images)
        self._made: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> bytes:
        image = self.images[index]
        if image.size:
            return image.read()
        if index not in self._made:
            self._made[index] = image.read()
        return self._made[index]

    @property
    def names(self) -> list[str]:
        """What messages call them."""
        return [image.name for image in self.images]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of all contents in this order."""
        return fingerprint(self)

    def without(self, indices: Iterable[int]) -> "Pictures":
        """All but some."""
        left_out = set(indices)
        kept = [index for index in range(len(self)) if index not in left_out]
        found = Pictures(self.images[index] for index in kept)
        found._made = {place: self._made[index] for place, index in enumerate(kept) if index in self._made}
        return found


@dataclasses.dataclass(frozen=True)
class Part:
    """Images that can be decoded, and their captions.

    Attributes:
        pictures: The images.
        captions: Of each one or more.
        groups: As `data.Captioned` has them.
    """

    pictures: Pictures
    captions: list[list[str]]
    groups: list[str]

    def __len__(self) -> int:
        """How many images."""
        return len(self.pictures)


@dataclasses.dataclass(frozen=True)
class Album:
    """A corpus whose images were all decoded once.

    Attributes:
        source: What it was read from.
        fingerprint: Of the corpus as it was read, images that cannot be decoded included.
        train: To fit on.
        validation: To choose by.
        test: For `evaluate` alone.
        notes: Lines to tell the user.
    """

    source: str
    fingerprint: str
    train: Part
    validation: Part
    test: Part
    notes: tuple[str, ...]


def checked_album(corpus: Corpus, skip_bad: bool) -> Album:
    """A corpus without the images that cannot be decoded.

    Args:
        corpus: As read.
        skip_bad: Leave such images out, with their captions, and count them.

    Raises:
        InputError: There is such an image, and it is not to be left out; or none is left.
    """
    parts, bad = {}, []
    for name in PARTS:
        captioned: Captioned = getattr(corpus, name)
        pictures = Pictures(captioned.images)
        faults = bad_images(pictures, pictures.fingerprint)
        bad += [f"{pictures.images[index].name} {fault}" for index, fault in faults.items()]
        if bad and not skip_bad:
            raise InputError(f"{bad[0]}; to leave out all such images: --skip-bad")
        if len(faults) == len(pictures):
            raise InputError(f"no image of the {name} part of {corpus.source} can be decoded; give others")
        kept = [index for index in range(len(pictures)) if index not in faults]
        parts[name] = Part(
            pictures.without(faults) if faults else pictures,
            [captioned.captions[index] for index in kept],
            [captioned.groups[index] for index in kept] if captioned.groups else [],
        )
    notes = corpus.notes
    if bad:
        notes = (*notes, f"left out: {len(bad):,} images that cannot be decoded; the first: {bad[0]}")
    return Album(corpus.source, corpus.fingerprint, **parts, notes=notes)


def part_features(part: Part, encoder: keras.Model) -> np.ndarray:
    """What an encoder sees in the images of a part, computed once: float16 [images, rows, columns, channels]."""
    return image_features(part.pictures, part.pictures.fingerprint, encoder)


def mean_features(part: Part, encoder: keras.Model) -> np.ndarray:
    """The same, averaged over the regions of each image: float32 [images, channels]."""
    features = part_features(part, encoder)
    return np.stack([each.astype(np.float32).mean(axis=(0, 1)) for each in features])
