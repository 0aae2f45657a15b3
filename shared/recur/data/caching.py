"""Arrays that took long to compute, kept in `~/.cache/recur` (or below `XDG_CACHE_HOME`), which may be emptied."""

import contextlib
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from recur.files import atomically

LIMIT = 2_000_000_000
"""Bytes that all cached arrays have at most; those written first are forgotten first."""


def cache_folder() -> Path:
    """Where cached arrays are; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recur"


def cached_arrays(key: str, compute: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `compute` returned the first time, or returns now.

    A cache that is damaged or was cut short is computed again, and one that cannot be written is done without.

    Args:
        key: Says all that the arrays depend on: a name and fingerprints, fit for the name of a file.
        compute: Its arrays hold no objects.
    """
    path = cache_folder() / f"{key}.npz"
    try:
        # A file of our own, since NumPy leaves the one that it opens open when the archive is damaged.
        with path.open("rb") as file, np.load(file) as stored:
            return dict(stored.items())  # every member's checksum is verified
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
        pass
    arrays = dict(compute())
    with contextlib.suppress(OSError):  # no home, no space, no permission
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomically(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
        forget_oldest(path.parent.glob("*.npz"), LIMIT)
    return arrays


def forget_oldest(paths: Iterable[Path], limit: int) -> None:
    """Removes the files that were written first, until the rest has at most so many bytes."""
    files = sorted(((path.stat(), path) for path in paths), key=lambda item: -item[0].st_mtime_ns)
    total = 0
    for status, path in files:
        total += status.st_size
        if total > limit:
            path.unlink(missing_ok=True)
