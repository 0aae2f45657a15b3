"""Images and captions as people have them: the sample, folders, archives and tables, and TensorFlow Datasets."""

import dataclasses
import functools
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.scenes import paint, sample_scenes
from recur.data import sources
from recur.data.archives import ARCHIVE, NamedBytes, list_files, readable
from recur.data.sources import parse_table
from recur.errors import InputError, suggestion

if TYPE_CHECKING:
    import tensorflow as tf

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


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What a source has under one name, before anything is left out or held out.

    Attributes:
        name: As the source has it.
        image: None where the source has captions, or a place in a part, and no image.
        captions: As found; none where it has an image alone.
        part: `train`, `validation` or `test`, where the source has parts of its own; one in none is not used then.
        group: Of images that are told apart in evaluation.
    """

    name: str
    image: NamedBytes | None
    captions: list[str]
    part: str = ""
    group: str = ""

    @property
    def complete(self) -> bool:
        """Whether it has an image and a caption."""
        return self.image is not None and bool(self.captions)


def read_source(source: str, config: CaptioningConfig, seed: int) -> list[Entry]:
    """Reads what `--data` names.

    Args:
        source: `sample` (scenes with captions from a grammar); a folder or an archive with Flickr8k as it is published
            or on Kaggle; a folder with images and one table of captions, or that table; `coco_captions` or the name of
            another TensorFlow dataset with its features.
        config: Names the columns of a table.
        seed: Of the scenes of `sample`.

    Raises:
        InputError: The source is missing or unreadable.
    """
    if source == sources.SAMPLE:
        return read_sample(seed)
    path = sources.existing_path(source)
    return read_tensorflow_dataset(source) if path is None else read_folder(path, config)


def read_sample(seed: int) -> list[Entry]:
    """The scenes, each painted when it is first read.

    Raises:
        InputError: The package with the pictures is not installed.
    """
    entries = []
    for kind, drawn in sample_scenes(seed).items():
        part = kind if kind in ("train", "validation") else "test"
        for index, scene in enumerate(drawn):
            name = f"{kind.replace(' ', '-')}-{index:04d}-{scene.layout:08x}.png"
            image = NamedBytes(name, 0, functools.cache(functools.partial(paint, scene)))
            entries.append(Entry(name, image, [scene.caption], part, kind if part == "test" else ""))
    return entries


def read_folder(path: Path, config: CaptioningConfig) -> list[Entry]:
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
    parts: dict[str, str] = {}
    if TOKEN.match(content[:1000].decode("utf-8", "replace")):
        captions = _read_tokens(sources.decoded(content, Path(table.name)), table.name)
    else:
        captions, parts = _read_table(content, table.name, config)
    images = {name: file for name, file in files.items() if IMAGE.search(name)}
    return _joined(table.name, images, captions, _read_lists(files) or parts)


def _with_archives(files: Mapping[str, NamedBytes]) -> dict[str, NamedBytes]:
    """The files of a folder, and of the archives directly in it those of other names."""
    together = dict(files)
    for name in (name for name in files if ARCHIVE.search(name) and "/" not in name):
        known = {PurePosixPath(other).name for other in together}
        inside = list_files(Path(files[name].name))
        together |= {other: file for other, file in inside.items() if PurePosixPath(other).name not in known}
    return together


def _has_images(files: Iterable[str]) -> bool:
    return any(IMAGE.search(name) for name in files)


def _has_captions(files: Iterable[str]) -> bool:
    return any(PurePosixPath(name).name in CAPTIONS or TABLE.search(name) for name in files)


def _captions_file(files: Iterable[str], path: Path) -> str:
    """The file of captions by its name, the one least deep; else the one table that there is.

    Raises:
        InputError: There is none, or there are several.
    """
    by_depth = sorted(files, key=lambda name: name.count("/"))
    for wanted in CAPTIONS:
        if named := next((name for name in by_depth if PurePosixPath(name).name == wanted), None):
            return named
    tables = [name for name in by_depth if TABLE.search(name)]
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


def _read_table(content: bytes, name: str, config: CaptioningConfig) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Captions by image, and the part of each image where the table says it.

    Raises:
        InputError: It is no table, lacks a column, has an unknown part, or has an image in two.
    """
    needed = {config.image_column: "`image_column`", config.caption_column: "`caption_column`"}
    delimiter = "\t" if b"\t" in content.lstrip().split(b"\n", 1)[0] else ","
    table = parse_table(content, name, delimiter, needed, "a caption a row")
    column = config.split_column
    if column not in table.columns and column not in ("", CaptioningConfig.split_column):
        present = ", ".join(table.columns)[:300]
        hint = suggestion(column, list(table.columns), "name it with `split_column`")
        raise InputError(f"{name} has no column named {column}; it has {present}; {hint}")
    captions: dict[str, list[str]] = {}
    parts: dict[str, str] = {}
    images = table[config.image_column].str.strip()
    for image, caption in zip(images, table[config.caption_column], strict=True):
        captions.setdefault(image, []).append(caption)
    if column in table.columns:
        for image, part in zip(images, table[column].str.strip().str.lower(), strict=True):
            if part not in PARTS:
                advice = f"the parts are {', '.join(PARTS)}; mend it, or give `split_column` another"
                raise InputError(f"{name} has {image!r} in a part named {part!r}; {advice}")
            if parts.setdefault(image, PARTS[part]) != PARTS[part]:
                known = parts[image]
                raise InputError(f"{name} has {image!r} in {known} and in {PARTS[part]}; leave it in one of them")
    return captions, parts


def _read_lists(files: Mapping[str, NamedBytes]) -> dict[str, str]:
    """The part of each image in Flickr8k's lists; empty where there is no list.

    Raises:
        InputError: An image is in two.
    """
    parts: dict[str, str] = {}
    for part, wanted in LISTS.items():
        name = next((name for name in files if PurePosixPath(name).name == wanted), None)
        if name is None:
            continue
        lines = sources.decoded(files[name].read(), Path(files[name].name)).split("\n")
        for image in filter(None, map(str.strip, lines)):
            if parts.setdefault(image, part) != part:
                raise InputError(f"{files[name].name} has {image!r}, which is in {parts[image]} too; delete it in one")
    return parts


def _joined(
    name: str, images: Mapping[str, NamedBytes], captions: Mapping[str, list[str]], parts: Mapping[str, str]
) -> list[Entry]:
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
    named: dict[str, NamedBytes] = {}
    rest = dict(images)
    for caption_name in captions:
        ending = str(PurePosixPath(caption_name.replace("\\", "/")))
        if by_ending.get(ending, "") is None:
            two = [path for path in images if path == ending or path.endswith(f"/{ending}")][:2]
            raise InputError(f"{name} has {caption_name!r}, which may be {two[0]} or {two[1]}; give more of its path")
        if file := by_ending.get(ending):
            named[caption_name] = images[file]
            rest.pop(file, None)
    if not named:
        first = next(iter(captions), "")
        raise InputError(
            f"{name} names {len(captions):,} images, {first!r} say, and none of them is among the {len(images):,} "
            "images beside it; name them by their path from there"
        )
    named |= rest
    return [
        Entry(entry, named.get(entry), captions.get(entry, []), parts.get(entry, ""))
        for entry in dict.fromkeys((*captions, *named, *parts))
    ]


def read_tensorflow_dataset(name: str) -> list[Entry]:
    """The parts of a dataset whose examples have an `image` and `captions` with a `text` each.

    Captions are kept, images are not: COCO's are 19 GB. They are read again when asked for, fast in the order of the
    dataset and slowly in any other. COCO's split `restval`, the rest of its validation images, is part of train, as in
    Karpathy's division.

    Raises:
        InputError: There is no such dataset, or it lacks a feature.
    """
    splits = sources.load_tensorflow_dataset(name, features=("image", "captions"), undecoded=("image",))
    entries: dict[str, Entry] = {}
    for split, dataset in splits.items():
        if split not in PARTS:
            continue
        stored = StoredImages(dataset)
        for index, example in enumerate(dataset.as_numpy_iterator()):
            file = example["image/filename"].decode("utf-8", "replace") if "image/filename" in example else str(index)
            image = NamedBytes(f"{name}/{split}/{file}", len(example["image"]), functools.partial(stored.read, index))
            captions = [text.decode("utf-8", "replace") for text in _texts(example["captions"])]
            entries[image.name] = Entry(f"{split}/{file}", image, captions, PARTS[split])
    return list(entries.values())


def _texts(captions: Any) -> list[bytes]:
    """Texts of an example's captions: those of COCO have ids beside them, others may be texts alone, or one text."""
    texts = captions["text"] if isinstance(captions, dict) else captions
    return [texts] if isinstance(texts, bytes) else list(texts)


class StoredImages:
    """Images of a dataset, by their number in it.

    Args:
        dataset: Its examples have a scalar string `image`; always in the same order.
    """

    def __init__(self, dataset: "tf.data.Dataset"):
        self._dataset = dataset.map(lambda example: example["image"])
        self._lock = threading.Lock()
        self._next = 0
        self._rest: Iterator[bytes] = iter(())

    def read(self, index: int) -> bytes:
        """The bytes of one, at once if the one before it was read last.

        Raises:
            EOFError: There are not as many.
        """
        with self._lock:
            if index != self._next or index == 0:
                self._rest = self._dataset.skip(index).as_numpy_iterator()
            self._next = index + 1
            try:
                return next(self._rest)
            except StopIteration:
                raise EOFError(f"no image {index:,}") from None
