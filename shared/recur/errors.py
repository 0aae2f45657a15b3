"""Errors whose message is the one line that a user reads, and how they help."""

import difflib
from collections.abc import Collection


class InputError(ValueError):
    """Bad usage or bad input. The message says in one line what is wrong and what to do; the exit status is 2."""


class CommandFailedError(RuntimeError):
    """What failed while a command ran. The message says it in one line; the exit status is 1."""


def suggestion(word: str, known: Collection[str], otherwise: str) -> str:
    """Asks whether the nearest of the known words was meant.

    Example:
        >>> suggestion("trian", ["train", "export"], "see --help")
        'did you mean train?'
    """
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else otherwise
