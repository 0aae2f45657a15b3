"""Images and their captions in three parts, whatever they were read from."""

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import overload

from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.images import bad_images
from apps.image_captioning.readers import Entry, read_source
from recur.data import sources
from recur.data.archives import NamedBytes
from recur.data.splits import hold_out
from recur.errors import InputError

PARTS = ("train", "validation", "test")
SPLIT_SEED = 0  # not the run's: runs with different seeds are then measured on the same images
BREAKS = re.compile(r"[\t\r\n]+")
"""What would begin another cell or line when a caption is written out."""


class Images(Sequence[bytes]):
    """Contents of images, each read when it is asked for.

    Attributes:
        files: By which name and how to read each.
    """

    def __init__(self, files: Iterable[NamedBytes]):
        self.files = tuple(files)

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> "Images": ...

    def __getitem__(self, index: int | slice) -> "bytes | Images":
        return Images(self.files[index]) if isinstance(index, slice) else self.files[index].read()

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of all contents in this order."""
        return sources.fingerprint(self)


@dataclasses.dataclass(frozen=True)
class Part:
    """Images with captions.

    Attributes:
        images: Their contents.
        captions: Of each image one or more, as found.
        groups: Of each image the group it is evaluated in, or nothing at all: of `sample` what of it was never seen.
    """

    images: Images
    captions: list[list[str]]
    groups: list[str]

    def __len__(self) -> int:
        """How many images."""
        return len(self.images)


@dataclasses.dataclass(frozen=True)
class Album:
    """Images with captions, in three parts that share no image.

    Attributes:
        source: What it was read from.
        fingerprint: A digest of all captions, names and sizes of images as they are divided; images that cannot be
            decoded are included, whether they were left out afterwards or not.
        train: To fit on.
        validation: To choose by; the source's own, or held out.
        test: For `evaluate` alone; the source's own, or held out.
        notes: Lines to tell the user: what was left out and what was held out.
    """

    source: str
    fingerprint: str
    train: Part
    validation: Part
    test: Part
    notes: tuple[str, ...]


def read_album(source: str, config: CaptioningConfig, seed: int = SPLIT_SEED) -> Album:
    """Reads images and captions, and holds out what parts the source does not have, by image.

    Args:
        source: As `readers.read_source` takes it.
        config: Has the shares of the images to hold out, and the columns of a table.
        seed: Of the division, and of the scenes of `sample`.

    Raises:
        InputError: The source is missing or unreadable, or has too few images with captions.
    """
    everything = read_source(source, config, seed)
    entries = [dataclasses.replace(entry, captions=_with_words(entry.captions)) for entry in everything]
    usable = [entry for entry in entries if entry.complete]
    if not usable:
        raise InputError(f"{source} has no image with a caption; give images with captions")
    dropped = _dropped(everything, entries)
    divided = any(entry.part for entry in entries)
    members = {part: [entry for entry in usable if entry.part == part] for part in PARTS}
    if not divided:
        members["train"] = usable
    if not members["train"]:
        parts = " and ".join(part for part in PARTS if members[part])
        raise InputError(f"{source} has no image to train on, but for {parts}; put some in train")
    fractions = {"validation": config.validation_fraction, "test": config.test_fraction}
    if missing := {part: fraction for part, fraction in fractions.items() if not members[part]}:
        candidates = members["train"]
        rows = {entry.name: 1 for entry in candidates}
        part_of = hold_out(source, rows, missing, seed, "images", "with captions")
        for part in ("train", *missing):
            members[part] = [entry for entry in candidates if part_of.get(entry.name, "train") == part]
    notes = {
        "left out": [f"{number:,} {reason}" for reason, number in dropped.items()],
        "images held out of train": [f"{len(members[part]):,} for {part}" for part in missing],
    }
    return Album(
        source,
        _fingerprint(members),
        train=_part(members["train"]),
        validation=_part(members["validation"]),
        test=_part(members["test"]),
        notes=tuple(f"{begin}: {', '.join(rest)}" for begin, rest in notes.items() if rest),
    )


def without_bad_images(album: Album, skip_bad: bool) -> Album:
    """An album all of whose images can be decoded: each is, once.

    Args:
        album: As read.
        skip_bad: Leave images that cannot be decoded out, with their captions, and count them.

    Raises:
        InputError: There is such an image, and it is not to be left out; or none is left.
    """
    parts, bad = {}, []
    for name in PARTS:
        part: Part = getattr(album, name)
        faults = bad_images(part.images, part.images.fingerprint)
        bad += [f"{part.images.files[index].name} {fault}" for index, fault in faults.items()]
        if bad and not skip_bad:
            raise InputError(f"{bad[0]}; to leave out all such images: `skip_bad`")
        if len(faults) == len(part):
            raise InputError(f"no image of the {name} part of {album.source} can be decoded; give others")
        kept = [index for index in range(len(part)) if index not in faults]
        if faults:
            part = Part(
                Images(part.images.files[index] for index in kept),
                [part.captions[index] for index in kept],
                [part.groups[index] for index in kept] if part.groups else [],
            )
        parts[name] = part
    left_out = (f"left out: {len(bad):,} images that cannot be decoded; the first: {bad[0]}",) if bad else ()
    train, validation, test = (parts[name] for name in PARTS)
    return dataclasses.replace(album, train=train, validation=validation, test=test, notes=album.notes + left_out)


class _Plain(dict):
    """What becomes of each character, by its code point: marks and symbols are dropped, others stay."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PS" else code
        return self[code]


_PLAIN = _Plain()


def caption_words(text: str) -> list[str]:
    """Words of a caption, as the splits of Karpathy have them: lower case, punctuation dropped and not parted at.

    Source:
        Karpathy, A. & Fei-Fei, L. (2015), "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR;
        there only the punctuation of ASCII is dropped, which is all that Flickr8k has.

    Example:
        >>> caption_words("A tri-colored dog catches the man's Frisbee .")
        ['a', 'tricolored', 'dog', 'catches', 'the', 'mans', 'frisbee']
    """
    plain = unicodedata.normalize("NFC", text).lower().translate(_PLAIN)
    return unicodedata.normalize("NFC", plain).split()  # again: what was dropped may have stood before an accent


def plain_caption(text: str) -> str:
    """The same words with blanks between."""
    return " ".join(caption_words(text))


def _with_words(texts: Sequence[str]) -> list[str]:
    """Captions in one line, without those that have no word."""
    return [BREAKS.sub(" ", text).strip() for text in texts if caption_words(text)]


def _dropped(everything: Sequence[Entry], entries: Sequence[Entry]) -> dict[str, int]:
    """Why images and captions are left out, and how many, given entries as read and with captions of words alone."""
    as_read, with_words = (sum(len(entry.captions) for entry in some) for some in (everything, entries))
    counts = {
        "captions without a word": as_read - with_words,
        "captions without an image": sum(len(entry.captions) for entry in entries if not entry.image),
        "images without a caption": sum(bool(entry.image and not entry.captions) for entry in entries),
    }
    if any(entry.part for entry in entries):
        counts["images in no part"] = sum(entry.complete and not entry.part for entry in entries)
        counts["images of a part, missing or without a caption"] = sum(
            bool(entry.part) and not entry.complete for entry in entries
        )
    return {reason: number for reason, number in counts.items() if number}


def _part(entries: Sequence[Entry]) -> Part:
    return Part(
        Images(entry.image for entry in entries if entry.image),
        [entry.captions for entry in entries],
        [entry.group for entry in entries if entry.group],
    )


def _fingerprint(members: Mapping[str, Sequence[Entry]]) -> str:
    """Of what is known before images are read; no caption holds a newline, so that one can stand between them."""

    def described(part: str, entry: Entry) -> bytes:
        size, texts = entry.image.size if entry.image else 0, "\n".join(entry.captions)
        return f"{part}\n{entry.name}\n{size}\n{texts}".encode(errors="surrogatepass")

    return sources.fingerprint(described(part, entry) for part in PARTS for entry in members[part])
