"""Reviews and their classes, divided into train, validation and test."""

import dataclasses
import logging
import math
from collections.abc import Sequence

import numpy as np

from apps.sentiment_analysis.readers import Rows, read_reviews
from recur.data import sources
from recur.errors import InputError

logger = logging.getLogger(__name__)

TEST_FRACTION = 0.2
"""Held out of a source that has no test part of its own."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Of a corpus.

    Attributes:
        texts: As found, whatever their bytes.
        labels: int32 [texts], indices into `Corpus.labels`.
    """

    texts: list[bytes]
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Reviews in three parts, and those without a class.

    Attributes:
        source: What it was read from.
        fingerprint: A digest of all texts and classes as they are divided.
        labels: Names of the classes, sorted; of two, the last is the positive one.
        train: To fit on.
        validation: Held out of train.
        test: For `evaluate` alone.
        unlabelled: Empty where there are none.
    """

    source: str
    fingerprint: str
    labels: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    unlabelled: list[bytes]


def read_corpus(source: str, validation_fraction: float, seed: int, text_column: str, label_column: str) -> Corpus:
    """Reads reviews, and holds validation out of train at random, with the same share of every class.

    A test part of the source's own stays as it is; where there is none, a fifth is held out first. Texts that differ
    in white space or case alone are never divided between parts that are split here.

    Args:
        source: `sample` (food reviews), a folder or archive in the layout of aclImdb, a CSV or TSV file, a folder with
            `train.csv` and `test.csv`, or the name of a TensorFlow dataset.
        validation_fraction: Share of train that becomes validation.
        seed: Of the split.
        text_column: Where a table or a TensorFlow dataset has the text.
        label_column: Where it has the class.

    Raises:
        InputError: The source is missing, unreadable, has one class alone or too few reviews of one.
    """
    reviews = read_reviews(source, text_column, label_column)
    rows = {"train": reviews.train, "test": reviews.test or []}
    complete = {part: [(text, label) for text, label in rows[part] if text.strip() and label] for part in rows}
    _report_dropped(rows, complete)
    train, test = complete["train"], complete["test"]
    labels = _classes(source, train, test, reviews.labels)
    if reviews.test is None:
        train, test = _split(source, train, TEST_FRACTION, seed)
    elif not test:
        raise InputError(f"the test part of {source} has no row with both a text and a class")
    train, validation = _split(source, train, validation_fraction, seed)
    unlabelled = [text for text in reviews.unlabelled if text.strip()]
    everything = (part for rows in (train, validation, test) for text, label in rows for part in (text, label))
    return Corpus(
        source,
        sources.fingerprint([*everything, *unlabelled]),
        labels,
        train=_part(train, labels),
        validation=_part(validation, labels),
        test=_part(test, labels),
        unlabelled=unlabelled,
    )


def _part(rows: Rows, labels: Sequence[str]) -> Part:
    index = {label: number for number, label in enumerate(labels)}
    return Part([text for text, _ in rows], np.array([index[label] for _, label in rows], np.int32))


def _report_dropped(rows: dict[str, Rows], complete: dict[str, Rows]) -> None:
    dropped = [
        f"{len(rows[part]) - len(complete[part]):,} of {len(rows[part]):,} in {part}"
        for part in rows
        if len(complete[part]) < len(rows[part])
    ]
    if dropped:
        logger.info(f"left out reviews without a text or a class: {', '.join(dropped)}")


def _classes(source: str, train: Rows, test: Rows, ordered: Sequence[str]) -> tuple[str, ...]:
    """The classes of train in the given order, or as numbers where all are numbers, or by name.

    Raises:
        InputError: There is one alone, or test has another.
    """
    classes = {label for _, label in train}
    if not classes:
        raise InputError(f"{source} has no row with both a text and a class")
    if len(classes) == 1:
        raise InputError(f"every review of {source} is {_named(classes)}; give reviews of two classes or more")
    if unknown := {label for _, label in test} - classes:
        raise InputError(
            f"the test part of {source} has the class {_named(unknown)}, which its train part lacks; "
            f"that has {_named(classes)}"
        )
    if classes <= set(ordered):
        return tuple(label for label in ordered if label in classes)
    try:
        return tuple(sorted(classes, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(sorted(classes))


def _named(labels: set[str], most: int = 5) -> str:
    names = [label if len(label) <= 40 else f"{label[:40]}…" for label in sorted(labels)]
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _split(source: str, rows: Rows, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Divides rows at random into those that stay and those held out, by distinct text, every class in proportion.

    Raises:
        InputError: Too few reviews to hold out any of each class and to leave some.
    """
    if not 0 < fraction < 1:
        raise InputError(f"{fraction} of the reviews cannot be held out; give a share between 0 and 1")
    distinct: dict[bytes, str] = {}
    keys = []
    for text, label in rows:
        keys.append(b" ".join(text.lower().split()))
        distinct.setdefault(keys[-1], label)
    names, counts = np.unique(list(distinct.values()), return_counts=True)
    needed = math.ceil(1 / min(fraction, 1 - fraction))
    if counts.min() < needed:
        rare = str(names[counts.argmin()])
        raise InputError(
            f"{source} has too few reviews of the class {_named({rare})}: {counts.min():,} to divide, and holding out "
            f"{fraction:.0%} of each class needs {needed:,}; give more, or leave that class out"
        )
    from sklearn.model_selection import train_test_split  # an answer need not wait for it

    _, held = train_test_split(list(distinct), test_size=fraction, random_state=seed, stratify=list(distinct.values()))
    held_out = set(held)
    parts: tuple[Rows, Rows] = ([], [])
    for row, key in zip(rows, keys, strict=True):
        parts[key in held_out].append(row)
    return parts
