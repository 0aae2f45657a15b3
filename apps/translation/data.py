"""Sentences and their translations in three parts, whatever they were read from."""

import dataclasses
import math
import re

from apps.translation.pairs import Rows, read_pairs
from recur.data import sources
from recur.data.splits import keyed_order
from recur.errors import InputError

BREAKS = re.compile(r"[\t\r\n]+")
"""What would begin another cell or line when a sentence is written out."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Of a corpus.

    Attributes:
        sources: Sentences.
        targets: Their translations, in the same order.
    """

    sources: list[str]
    targets: list[str]

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.sources)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Pairs of sentences in three parts.

    Attributes:
        source: What it was read from.
        fingerprint: A digest of all sentences as they are divided.
        train: To fit on.
        validation: The source's own, or held out.
        test: For `evaluate` alone; the source's own, or held out.
        dropped: Why pairs were left out, and how many.
        notes: Lines to tell the user: what was left out, which file is the test part, what parts have in common.
    """

    source: str
    fingerprint: str
    train: Pairs
    validation: Pairs
    test: Pairs
    dropped: dict[str, int]
    notes: tuple[str, ...]


def read_corpus(
    source: str,
    source_language: str,
    target_language: str,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    columns: tuple[int, int] = (1, 2),
) -> Corpus:
    """Reads pairs of sentences, and holds out what parts the source does not have.

    Parts of the source's own stay as they are, but for pairs with an empty side. What is divided here is divided by
    source sentence: pairs with the same one are in the same part, and a pair that is there twice is taken once.

    Args:
        source: `sample` (verses in English and French), a folder with `{train,val,test}.LANGUAGE` in the layout of
            Multi30k, a table with tabs as Tatoeba has it, what the names of two files aligned by line share before
            `.LANGUAGE`, or the name of a TensorFlow dataset. Files may end in `.gz`.
        source_language: As in the names of files or features; a table's first column, whatever it is.
        target_language: The same; a table's second column.
        validation_fraction: Share of all pairs to hold out, where the source has no validation part.
        test_fraction: The same for test.
        seed: Of the division.
        columns: Where a table has source and target, from 1.

    Raises:
        InputError: The source is missing or unreadable, lacks a language, or has too few pairs.
    """
    if source_language == target_language:
        raise InputError(f"both languages are {source_language!r}; give two with --source and --target")
    found = read_pairs(source, (source_language, target_language), columns)
    own = {"train": found.train, "validation": found.validation, "test": found.test}
    parts = {part: _complete(rows) for part, rows in own.items() if rows is not None}
    dropped = dict(found.dropped)
    for part, rows in parts.items():
        where = f" in {part}" if len(parts) > 1 else ""
        dropped[f"with an empty side{where}"] = len(own[part]) - len(rows)
    fractions = {"validation": validation_fraction, "test": test_fraction}
    if missing := {part: fraction for part, fraction in fractions.items() if part not in parts}:
        distinct = list(dict.fromkeys(parts["train"]))
        dropped["that repeat another"] = len(parts["train"]) - len(distinct)
        parts |= _hold_out(source, distinct, missing, seed)
    for part, rows in parts.items():
        if not rows:
            raise InputError(f"no pair of two sentences is left for the {part} part of {source}; give more pairs")
    dropped = {reason: number for reason, number in dropped.items() if number}
    train, validation, test = (_pairs(parts[part]) for part in ("train", "validation", "test"))
    # No sentence holds a newline, so that one can stand between them.
    everything = ("\n".join(texts) for part in (train, validation, test) for texts in (part.sources, part.targets))
    notes = (*found.notes, *_notes(dropped, parts))
    return Corpus(source, sources.fingerprint(everything), train, validation, test, dropped, notes)


def _pairs(rows: Rows) -> Pairs:
    return Pairs([text for text, _ in rows], [text for _, text in rows])


def _complete(rows: Rows) -> Rows:
    """Sentences without white space around them, and without the pairs that then have an empty side."""
    plain = ((BREAKS.sub(" ", first).strip(), BREAKS.sub(" ", second).strip()) for first, second in rows)
    return [pair for pair in plain if all(pair)]


def _notes(dropped: dict[str, int], parts: dict[str, Rows]) -> list[str]:
    notes = []
    if dropped:
        notes.append("left out pairs: " + ", ".join(f"{number:,} {reason}" for reason, number in dropped.items()))
    known = {text for text, _ in parts["train"]}
    for part in ("validation", "test"):
        if common := sum(text in known for text, _ in parts[part]):
            notes.append(f"{common:,} of {len(parts[part]):,} source sentences in {part} are in train too; they stay")
    return notes


def _hold_out(source: str, rows: Rows, fractions: dict[str, float], seed: int) -> dict[str, Rows]:
    """Divides rows into train and the parts that fractions name, by source sentence.

    Sentences are taken in the order of a keyed hash: which come first depends on nothing but the seed and themselves.

    Raises:
        InputError: Too few sentences to hold out any and to leave some.
    """
    if min(fractions.values()) <= 0 or sum(fractions.values()) >= 1:
        shares = " and ".join(f"{fraction:g}" for fraction in fractions.values())
        raise InputError(f"{shares} of the pairs cannot be held out; give shares above 0 and below 1 together")
    groups: dict[str, Rows] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row)
    least = min(fractions.values())
    if len(groups) < (needed := math.ceil(1 / least)):
        raise InputError(
            f"{source} has too few pairs: {len(groups):,} different source sentences to divide, and holding out "
            f"{100 * least:g}% needs {needed:,}; give more, or hold out a larger share"
        )
    part_of: dict[str, str] = {}
    order = keyed_order(groups, seed)
    for part, fraction in fractions.items():
        left = int(len(rows) * fraction)
        for text in order:
            if text not in part_of and len(groups[text]) <= left:
                part_of[text] = part
                left -= len(groups[text])
    divided: dict[str, Rows] = {"train": [], **{part: [] for part in fractions}}
    for row in rows:
        divided[part_of.get(row[0], "train")].append(row)
    return divided
