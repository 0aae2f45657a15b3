"""The one kind of error that a user mends alone, and how it helps."""

import difflib
from collections.abc import Collection


class InputError(ValueError):
    """Bad usage or bad input. The message says in one line what is wrong and what to do; the exit status is 2."""


def suggestion(word: str, known: Collection[str], otherwise: str) -> str:
    """Asks whether the nearest of the known words was meant.

    Example:
        >>> suggestion("trian", ["train", "export"], "see --help")
        'did you mean train?'
    """
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else otherwise
