"""Photographs and captions as they are found: Flickr8k as it is published or on Kaggle, or any folder with a table."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from recur.data import sources
from recur.data.archives import ARCHIVE, NamedBytes, list_files, readable
from recur.data.sources import parse_table
from recur.errors import InputError, suggestion

IMAGE = re.compile(r"\.(jpe?g|png|gif|bmp|webp|tiff?)$", re.IGNORECASE)
TABLE = re.compile(r"\.(csv|tsv)$", re.IGNORECASE)
TOKEN = re.compile(r"(?P<image>[^\t]+)#\d+\t(?P<caption>.*)")
"""A line of Flickr8k.token.txt: an image, the number of its caption, a tab and the caption."""
CAPTIONS = ("Flickr8k.token.txt", "captions.txt", "captions.csv", "captions.tsv")
"""Files of captions, the first that there is."""
LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
PARTS = {"train": "train", "restval": "train", "test": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev"), "validation"
)
"""The names that parts go by."""
LAYOUT = (
    "Flickr8k.token.txt and Flickr8k_Dataset.tar, .zip or Flicker8k_Dataset/; or Images/ and captions.txt; "
    "or images and one .csv or .tsv"
)


@dataclasses.dataclass(frozen=True)
class Columns:
    """Of a table of captions, by their names in its header.

    Attributes:
        image: Path of an image, from the table's folder or from any one below it.
        caption: One caption; an image with several has several rows.
        part: `train`, `val` or `test`, where the table has such a column; empty to read none.
    """

    image: str = "image"
    caption: str = "caption"
    part: str = "split"


@dataclasses.dataclass(frozen=True)
class Found:
    """What a source holds, before anything is left out or held out.

    Attributes:
        images: By name.
        captions: As found, by the name of their image; some may have none, and some images no caption.
        parts: The part of each image, where the source has parts of its own; an image of none is not used then.
        groups: For images that are told apart in evaluation, the name of their group.
    """

    images: Mapping[str, NamedBytes]
    captions: Mapping[str, list[str]]
    parts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_photographs(path: Path, columns: Columns) -> Found:
    """Reads a folder, an archive or a table.

    Images are found by their name in the file of captions, in whatever folder they are; archives that lie in a folder
    are looked into where the folder itself lacks images or captions.

    Raises:
        InputError: There is nothing, or not what it should be.
    """
    with readable(path):
        if not path.is_dir() and path.stat().st_size == 0:
            raise InputError(f"{path} is empty; give {LAYOUT}")
    is_table = not path.is_dir() and not ARCHIVE.search(path.name)
    folder = path.parent if is_table else path
    files = list_files(folder)
    if not _has_images(files) or not (is_table or _has_captions(files)):
        files = _with_archives(files)
    table = NamedBytes(str(path), 0, path.read_bytes) if is_table else files[_captions_file(files, path)]
    if not _has_images(files):
        raise InputError(f"{folder} has no images; give {LAYOUT}")
    content = table.read()
    if TOKEN.match(content[:1000].decode("utf-8", "replace")):
        captions, parts = _read_tokens(sources.decoded(content, Path(table.name)), table.name), {}
    else:
        captions, parts = _read_table(content, table.name, columns)
    images = {name: each for name, each in files.items() if IMAGE.search(name)}
    return _joined(table.name, images, captions, _read_lists(files) or parts)


def _with_archives(files: Mapping[str, NamedBytes]) -> dict[str, NamedBytes]:
    """The files of a folder, and of the archives directly in it those of other names."""
    found = dict(files)
    for name in (name for name in files if ARCHIVE.search(name) and "/" not in name):
        known = {PurePosixPath(other).name for other in found}
        inside = list_files(Path(files[name].name))
        found |= {other: each for other, each in inside.items() if PurePosixPath(other).name not in known}
    return found


def _has_images(files: Iterable[str]) -> bool:
    return any(IMAGE.search(name) for name in files)


def _has_captions(files: Iterable[str]) -> bool:
    return any(PurePosixPath(name).name in CAPTIONS or TABLE.search(name) for name in files)


def _captions_file(files: Iterable[str], path: Path) -> str:
    """The file of captions by its name, the one least deep; else the one table that there is.

    Raises:
        InputError: There is none, or there are several.
    """
    found = sorted(files, key=lambda name: name.count("/"))
    for wanted in CAPTIONS:
        if named := next((name for name in found if PurePosixPath(name).name == wanted), None):
            return named
    tables = [name for name in found if TABLE.search(name)]
    if not tables:
        raise InputError(f"{path} has no captions; give {LAYOUT}")
    if len(tables) > 1:
        advice = "give the one with the captions" if path.is_dir() else "leave the one with the captions"
        raise InputError(f"{path} has {len(tables):,} tables, {tables[0]} and {tables[1]} among them; {advice}")
    return tables[0]


def _read_tokens(text: str, name: str) -> dict[str, list[str]]:
    """Lines `IMAGE#NUMBER`, a tab and a caption.

    Raises:
        InputError: A line is something else.
    """
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if match := TOKEN.fullmatch(line.rstrip("\r")):
            captions.setdefault(match["image"].strip(), []).append(match["caption"])
        elif line.strip():
            raise InputError(f"{name}, line {number:,}, is not IMAGE#NUMBER, a tab and a caption; mend or delete it")
    return captions


def _read_table(content: bytes, name: str, columns: Columns) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Captions by image, and the part of each image where the table says it.

    Raises:
        InputError: It is no table, lacks a column, has an unknown part, or has an image in two.
    """
    needed = {columns.image: "--image-column", columns.caption: "--caption-column"}
    delimiter = "\t" if b"\t" in content.lstrip().split(b"\n", 1)[0] else ","
    table = parse_table(content, name, delimiter, needed, "a caption a row")
    divided = columns.part in table.columns
    if not divided and columns.part not in ("", Columns.part):
        present = ", ".join(table.columns)[:300]
        hint = suggestion(columns.part, list(table.columns), "name it with --split-column")
        raise InputError(f"{name} has no column named {columns.part}; it has {present}; {hint}")
    captions: dict[str, list[str]] = {}
    parts: dict[str, str] = {}
    for image, caption in zip(table[columns.image].str.strip(), table[columns.caption], strict=True):
        captions.setdefault(image, []).append(caption)
    if divided:
        for image, part in zip(
            table[columns.image].str.strip(), table[columns.part].str.strip().str.lower(), strict=True
        ):
            if part not in PARTS:
                advice = f"the parts are {', '.join(PARTS)}; mend it, or give --split-column another"
                raise InputError(f"{name} has {image!r} in a part named {part!r}; {advice}")
            if parts.setdefault(image, PARTS[part]) != PARTS[part]:
                raise InputError(
                    f"{name} has {image!r} in {parts[image]} and in {PARTS[part]}; leave it in one of them"
                )
    return captions, parts


def _read_lists(files: Mapping[str, NamedBytes]) -> dict[str, str]:
    """The part of each image in Flickr8k's lists; empty where there is no list.

    Raises:
        InputError: An image is in two.
    """
    parts: dict[str, str] = {}
    for part, wanted in LISTS.items():
        name = next((name for name in files if PurePosixPath(name).name == wanted), None)
        lines = sources.decoded(files[name].read(), Path(files[name].name)).split("\n") if name else []
        for image in filter(None, map(str.strip, lines)):
            if parts.setdefault(image, part) != part:
                raise InputError(f"{files[name].name} has {image!r}, which is in {parts[image]} too; delete it in one")
    return parts


def _joined(
    name: str, images: Mapping[str, NamedBytes], captions: Mapping[str, list[str]], parts: Mapping[str, str]
) -> Found:
    """Images under the names that the captions have for them; those that no caption names keep their own.

    Raises:
        InputError: No image has a caption, or a name fits two images.
    """
    by_ending: dict[str, str | None] = {}
    for path in images:
        pieces = path.split("/")
        for begin in range(len(pieces)):
            ending = "/".join(pieces[begin:])
            by_ending[ending] = None if ending in by_ending else path
    found: dict[str, NamedBytes] = {}
    rest = dict(images)
    for caption_name in captions:
        ending = str(PurePosixPath(caption_name.replace("\\", "/")))
        if by_ending.get(ending, "") is None:
            two = [path for path in images if path == ending or path.endswith(f"/{ending}")][:2]
            raise InputError(f"{name} has {caption_name!r}, which may be {two[0]} or {two[1]}; give more of its path")
        if path := by_ending.get(ending):
            found[caption_name] = images[path]
            rest.pop(path, None)
    if not found:
        first = next(iter(captions), "")
        raise InputError(
            f"{name} names {len(captions):,} images, {first!r} say, and none of them is among the {len(images):,} "
            "images beside it; name them by their path from there"
        )
    return Found({**found, **rest}, captions, parts)
