"""Files that are there whole or not at all."""

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, renamed to `path` when the block ends well and removed when it does not.

    The content reaches the disk before the rename, so that after a crash `path` holds either the old file or the new.

    Example:
        >>> with atomically(Path("/tmp/answer.txt")) as temporary:
        ...     _ = temporary.write_text("42")
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON object atomically; numbers must be finite."""
    content = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    try:
        encoded = content.encode()
    except UnicodeEncodeError:  # the name of a file that is not UTF-8
        encoded = json.dumps(value, indent=2, allow_nan=False).encode() + b"\n"
    with atomically(path) as temporary:
        temporary.write_bytes(encoded)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it holds no object")
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; copy the run's whole folder, or train another") from None
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}); copy the run again, or train another") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}); copy the run again, or train another") from None
    return value


def save_figure(figure: "Figure", path: Path) -> Path:
    """Writes a figure as PNG, atomically, and closes it if pyplot made it: any other is forgotten by itself."""
    with atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(figure)
    return path
