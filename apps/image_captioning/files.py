"""Files, read whole; what is in them is not looked at, so that no TensorFlow is needed."""

from pathlib import Path

from recur.errors import InputError

MOST_BYTES = 300_000_000
"""Of a file: what the largest image takes in a BMP, and half as much again."""


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: There is no such file, it is too large for an image, or it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is no file; give the path of an image")
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} has over {MOST_BYTES // 10**6} MB, too much for an image; make it smaller")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; give the path of an image") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give the path of an image") from None
