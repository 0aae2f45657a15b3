"""Images and their captions in three parts, whatever they were read from."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from apps.image_captioning.captions import caption_words
from apps.image_captioning.photographs import Columns, Found, read_photographs
from recur.data import sources
from recur.data.archives import NamedBytes
from recur.data.splits import keyed_order
from recur.errors import InputError

PARTS = ("train", "validation", "test")
BREAKS = re.compile(r"[\t\r\n]+")
"""What would begin another cell or line when a caption is written out."""


@dataclasses.dataclass(frozen=True)
class Captioned:
    """Of a corpus.

    Attributes:
        images: By which name and how to read each; nothing is known of what is in it.
        captions: Of each image one or more, as found.
        groups: Of each image the group it is evaluated in, or nothing at all: of `sample` what of it was never seen.
    """

    images: list[NamedBytes]
    captions: list[list[str]]
    groups: list[str]

    def __len__(self) -> int:
        """How many images."""
        return len(self.images)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Images with captions, in three parts that share no image.

    Attributes:
        source: What it was read from.
        fingerprint: A digest of all captions, names and sizes of images as they are divided.
        train: To fit on.
        validation: The source's own, or held out.
        test: For `evaluate` alone; the source's own, or held out.
        dropped: Why images and captions were left out, and how many.
        notes: Lines to tell the user.
    """

    source: str
    fingerprint: str
    train: Captioned
    validation: Captioned
    test: Captioned
    dropped: dict[str, int]
    notes: tuple[str, ...]


def read_corpus(
    source: str, validation_fraction: float, test_fraction: float, seed: int, columns: Columns | None = None
) -> Corpus:
    """Reads images and captions, and holds out what parts the source does not have, by image.

    Args:
        source: `sample` (scenes with captions from a grammar); a folder or an archive with Flickr8k as it is published
            or on Kaggle; a folder with images and one table of captions, or that table; `coco_captions` or the name of
            another TensorFlow dataset with its features.
        validation_fraction: Share of the images to hold out, where the source has no validation part.
        test_fraction: The same for test.
        seed: Of the division, and of the scenes of `sample`.
        columns: Of a table.

    Raises:
        InputError: The source is missing or unreadable, or has too few images with captions.
    """
    found = _read(source, seed, columns or Columns())
    captions = {name: _complete(texts) for name, texts in found.captions.items()}
    complete = [name for name, texts in captions.items() if texts and name in found.images]
    dropped = _dropped(found, captions)
    if not complete:
        raise InputError(f"{source} has no image with a caption; give images with captions")
    if found.parts:
        names = {part: [name for name in complete if found.parts.get(name) == part] for part in PARTS}
        names = {part: members for part, members in names.items() if members}
    else:
        names = {"train": complete}
    if "train" not in names:
        raise InputError(f"{source} has no image to train on, but for {' and '.join(names)}; put some in train")
    fractions = {"validation": validation_fraction, "test": test_fraction}
    if missing := {part: fraction for part, fraction in fractions.items() if part not in names}:
        names |= _hold_out(source, names["train"], missing, seed)
    parts = {
        part: Captioned(
            [found.images[name] for name in names[part]],
            [captions[name] for name in names[part]],
            [found.groups[name] for name in names[part] if name in found.groups],
        )
        for part in PARTS
    }
    held_out = [f"{len(parts[part]):,} for {part}" for part in missing]
    return Corpus(
        source,
        sources.fingerprint(_everything(names, parts)),
        *(parts[part] for part in PARTS),
        dropped,
        tuple(
            f"{begin}: {', '.join(rest)}"
            for begin, rest in (
                ("left out", [f"{number:,} {reason}" for reason, number in dropped.items()]),
                ("images held out of train", held_out),
            )
            if rest
        ),
    )


def _read(source: str, seed: int, columns: Columns) -> Found:
    if source == sources.SAMPLE:
        from apps.image_captioning.scenes import read_scenes

        return read_scenes(seed)
    path = sources.existing_path(source)
    if path is not None:
        return read_photographs(path, columns)
    from apps.image_captioning.coco import read_tensorflow_dataset

    return read_tensorflow_dataset(source)


def _complete(texts: Sequence[str]) -> list[str]:
    """Captions in one line, without those that have no word."""
    return [BREAKS.sub(" ", text).strip() for text in texts if caption_words(text)]


def _dropped(found: Found, captions: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Why images and captions are left out, and how many."""
    there = {name: len(texts) for name, texts in captions.items() if name in found.images}
    counts = {
        "captions without a word": sum(map(len, found.captions.values())) - sum(map(len, captions.values())),
        "captions without an image": sum(len(texts) for name, texts in captions.items() if name not in there),
        "images without a caption": sum(not there.get(name) for name in found.images),
    }
    if found.parts:
        counts["images in no part"] = sum(bool(count) and name not in found.parts for name, count in there.items())
        counts["images of a part, missing or without a caption"] = sum(not there.get(name) for name in found.parts)
    return {reason: number for reason, number in counts.items() if number}


def _hold_out(source: str, names: Sequence[str], fractions: Mapping[str, float], seed: int) -> dict[str, list[str]]:
    """Divides images into train and the parts that fractions name.

    Raises:
        InputError: Too few images to hold out any and to leave some.
    """
    if min(fractions.values()) <= 0 or sum(fractions.values()) >= 1:
        shares = " and ".join(f"{fraction:g}" for fraction in fractions.values())
        raise InputError(f"{shares} of the images cannot be held out; give shares above 0 and below 1 together")
    least = min(fractions.values())
    if len(names) < (needed := math.ceil(1 / least)):
        raise InputError(
            f"{source} has too few images with captions: {len(names):,} to divide, and holding out {100 * least:g}% "
            f"needs {needed:,}; give more, or hold out a larger share"
        )
    part_of: dict[str, str] = {}
    rest = keyed_order(names, seed)
    for part, fraction in fractions.items():
        count = int(len(names) * fraction)
        part_of |= dict.fromkeys(rest[:count], part)
        rest = rest[count:]
    return {part: [name for name in names if part_of.get(name, "train") == part] for part in ("train", *fractions)}


def _everything(names: Mapping[str, Sequence[str]], parts: Mapping[str, Captioned]) -> list[bytes]:
    """What the fingerprint is of; no caption holds a newline, so that one can stand between them."""
    return [
        f"{part}\n{name}\n{image.size}\n{texts}".encode(errors="surrogatepass")
        for part in PARTS
        for name, image, texts in zip(
            names[part], parts[part].images, map("\n".join, parts[part].captions), strict=True
        )
    ]
