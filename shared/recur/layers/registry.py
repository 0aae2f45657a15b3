"""Looking things up by name."""

from collections.abc import Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


def find(kind: str, name: str, entries: Mapping[str, Entry]) -> Entry:
    """Returns what goes by a name.

    Args:
        kind: What the entries are, for the message: `cell`, `attention`, …
        name: One of the entries' names.
        entries: By name.

    Raises:
        ValueError: There is no such entry; the message lists those there are.

    Example:
        >>> find("cell", "gru", {"lstm": 1, "gru": 2})
        2
    """
    if name not in entries:
        raise ValueError(f"unknown {kind} {name!r}; the {kind}s are: {', '.join(entries)}")
    return entries[name]
