"""Sentences and their translations in three parts, whatever they were read from."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping

from apps.translation.config import TranslationConfig
from apps.translation.readers import Rows, read_pairs
from recur.data import sources
from recur.data.splits import hold_out
from recur.errors import InputError

SPLIT_SEED = 0  # not the run's: runs with different seeds then make an ensemble
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


def read_corpus(source: str, config: TranslationConfig, seed: int = SPLIT_SEED) -> Corpus:
    """Reads pairs of sentences, and holds out what parts the source does not have.

    Parts of the source's own stay as they are, but for pairs with an empty side. What is divided here is divided by
    source sentence: pairs with the same one are in the same part, and a pair that is there twice is taken once.

    Args:
        source: `sample` (verses in English and French), a folder with `{train,val,test}.LANGUAGE` in the layout of
            Multi30k, a table with tabs as Tatoeba has it, what the names of two files aligned by line share before
            `.LANGUAGE`, or the name of a TensorFlow dataset. Files may end in `.gz`.
        config: The languages, as in the names of files or features; the columns of a table; the shares of all pairs to
            hold out for the parts that the source does not have.
        seed: Of the division.

    Raises:
        InputError: The source is missing or unreadable, lacks a language, or has too few pairs.
    """
    if config.source == config.target:
        raise InputError(f"both languages are {config.source!r}; give two with `source` and `target`")
    contents = read_pairs(source, (config.source, config.target), config.columns)
    given = {"train": contents.train, "validation": contents.validation, "test": contents.test}
    own = {part: rows for part, rows in given.items() if rows is not None}
    parts = {part: _complete(rows) for part, rows in own.items()}
    dropped = dict(contents.dropped)
    for part, rows in parts.items():
        where = f" in {part}" if len(parts) > 1 else ""
        dropped[f"with an empty side{where}"] = len(own[part]) - len(rows)
    fractions = {"validation": config.validation_fraction, "test": config.test_fraction}
    if missing := {part: fraction for part, fraction in fractions.items() if part not in parts}:
        distinct = list(dict.fromkeys(parts["train"]))
        dropped["that repeat another"] = len(parts["train"]) - len(distinct)
        parts |= divided(source, distinct, missing, seed)
    for part, rows in parts.items():
        if not rows:
            raise InputError(f"no pair of two sentences is left for the {part} part of {source}; give more pairs")
    dropped = {reason: number for reason, number in dropped.items() if number}
    train, validation, test = (_pairs(parts[part]) for part in ("train", "validation", "test"))
    # No sentence holds a newline, so that one can stand between them.
    everything = ("\n".join(texts) for part in (train, validation, test) for texts in (part.sources, part.targets))
    notes = (*contents.notes, *_notes(dropped, parts))
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


def divided(source: str, rows: Rows, fractions: Mapping[str, float], seed: int) -> dict[str, Rows]:
    """Divides rows into train and the parts that fractions name, by source sentence.

    Raises:
        InputError: Too few sentences to hold out any and to leave some.
    """
    counts = Counter(text for text, _ in rows)
    part_of = hold_out(source, counts, fractions, seed, "pairs", "different source sentences")
    parts: dict[str, Rows] = {"train": [], **{part: [] for part in fractions}}
    for row in rows:
        parts[part_of.get(row[0], "train")].append(row)
    return parts
