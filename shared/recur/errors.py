"""Errors whose message is the one line that a user reads, and how they help."""

import difflib
from collections.abc import Collection, Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


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


def lookup(kind: str, name: str, entries: Mapping[str, Entry]) -> Entry:
    """Returns what goes by a name, a class or a function say.

    Args:
        kind: What the entries are, for the message: `cell`, `attention`, …
        name: One of the entries' names.
        entries: By name.

    Raises:
        ValueError: There is no such entry; the message lists those there are.

    Example:
        >>> lookup("cell", "gru", {"lstm": 1, "gru": 2})
        2
    """
    if name not in entries:
        raise ValueError(f"unknown {kind} {name!r}; the {kind}s are: {', '.join(entries)}")
    return entries[name]
