"""Arrays that took long to compute, kept in `~/.cache/recur` (or below `XDG_CACHE_HOME`), which may be emptied.

Small ones are kept as they are (`cached_arrays`). Those too large for memory are computed row by row and read where
they lie (`cached_rows`): one file holds everything, a NumPy array of records, each a row and its checksum. It has its
full length from the start; a row that is not there yet, or is damaged, is one whose checksum is wrong. So after a kill
computing goes on at the row where it was, whatever had reached the disk by then, and damage costs the damaged rows
alone.
"""

import contextlib
import fcntl
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from recur.errors import InputError
from recur.files import atomically

ARRAYS_LIMIT = 2_000_000_000
"""Bytes that all cached arrays have at most; those written first are forgotten first."""
ROWS_LIMIT = 20_000_000_000
"""Bytes that all files of rows have at most, the one in use aside; those used longest ago are forgotten first."""

Compute = Callable[[np.ndarray], Iterator[np.ndarray]]


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
        with atomically(path) as temporary, temporary.open("wb") as target:
            np.savez(target, allow_pickle=False, **arrays)
        forget_oldest(path.parent.glob("*.npz"), ARRAYS_LIMIT)
    return arrays


def forget_oldest(paths: Iterable[Path], limit: int) -> None:
    """Removes the files that were written first, until the rest has at most so many bytes."""
    files = sorted(((path.stat(), path) for path in paths), key=lambda item: -item[0].st_mtime_ns)
    total = 0
    for status, path in files:
        total += status.st_size
        if total > limit:
            path.unlink(missing_ok=True)


def cached_rows(key: str, shape: tuple[int, ...], dtype: DTypeLike, compute: Compute) -> np.ndarray:
    """Rows that `compute` gave once; those that are missing or damaged are computed now.

    A second process that asks for the same rows meanwhile waits for the first.

    Args:
        key: Says all that the rows depend on: a name and fingerprints, fit for the name of a file.
        shape: Of the whole array.
        dtype: Of its numbers.
        compute: From the sorted indices of rows to batches of these rows, in order. Each batch is kept when it comes.

    Returns:
        A memory-mapped array that cannot be written to.

    Raises:
        InputError: There is no room or no permission to keep them.
    """
    if not shape[0]:
        return np.zeros(shape, dtype)
    path = cache_folder() / f"{key}.npy"
    record = np.dtype([("checksum", "<u4"), ("row", dtype, shape[1:])])
    with _explained(path, shape[0] * record.itemsize):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):  # or two would make a file each, and the one whose file is replaced would be alone
            if _opened(path, shape[0], record) is None:
                with atomically(path) as temporary:
                    np.lib.format.open_memmap(temporary, "w+", record, (shape[0],)).flush()
    with contextlib.ExitStack() as stack:
        with _explained(path):
            file = stack.enter_context(path.open("r+b", buffering=0))
            fcntl.flock(file, fcntl.LOCK_EX)
            records = np.load(path, mmap_mode="r")
        missing = np.array([index for index in range(shape[0]) if not _whole(records[index])], np.int64)
        _fill(file, path, records, missing, compute)
    with _explained(path):
        os.utime(path)
        forget_oldest((other for other in path.parent.glob("*.npy") if other != path), ROWS_LIMIT)
    return records["row"]


def _fill(file: BinaryIO, path: Path, records: np.memmap, missing: np.ndarray, compute: Compute) -> None:
    """Writes the missing rows as they come."""
    done = 0
    for batch in compute(missing) if len(missing) else ():
        for index, row in zip(missing[done : done + len(batch)], batch, strict=True):
            new = np.zeros((), records.dtype)
            new["row"] = row
            new["checksum"] = zlib.crc32(new["row"].tobytes())
            with _explained(path):  # written, not assigned: a full disk would be a fatal signal
                file.seek(records.offset + int(index) * records.itemsize)
                file.write(new.tobytes())
        done += len(batch)
    if done != len(missing):
        raise ValueError(f"{done} rows were computed of {len(missing)}")


def _whole(record: np.void) -> bool:
    return zlib.crc32(record["row"].tobytes()) == record["checksum"]


def _opened(path: Path, rows: int, record: np.dtype) -> np.memmap | None:
    """The file's records, or None where it is none of so many."""
    try:
        records = np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return records if (records.shape, records.dtype) == ((rows,), record) else None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Waits until no other process is in such a block of the same folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(path: Path, size: int | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{path}" if size is None else f"{path} ({size / 1e9:.1f} GB)"
        raise InputError(
            f"cannot keep what was computed in {what}: {error.strerror}; "
            "make room there, or name another folder: XDG_CACHE_HOME=FOLDER"
        ) from None
