"""Files of a folder or an archive: listed at once, read one at a time, never extracted to disk."""

import contextlib
import dataclasses
import functools
import gzip
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from recur.errors import InputError

ARCHIVE = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)
"""Names of archives."""
COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
"""How compressed files begin, and what undoes it."""
HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")
"""Names of files that no one means: those that begin with a dot, or lie in a folder that does."""
ENCRYPTED = 0x1
"""Flag of a member of a zip archive."""


@dataclasses.dataclass(frozen=True)
class NamedBytes:
    """Content that is read when it is asked for, each time anew.

    Attributes:
        name: What messages call it.
        size: In bytes, by which a changed file is mostly known; 0 where only reading would tell.
        load: Reads it.
    """

    name: str
    size: int
    load: Callable[[], bytes] = dataclasses.field(repr=False, compare=False)

    def read(self) -> bytes:
        """The content, from any thread.

        Raises:
            InputError: It cannot be read any more, or is damaged.
        """
        with readable(Path(self.name)):
            return self.load()


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """What goes wrong in reading a file or an archive, in one line.

    Raises:
        InputError: It is cut short, damaged or cannot be read.
    """
    try:
        yield
    except InputError:
        raise
    except (
        EOFError,
        zlib.error,
        lzma.LZMAError,
        tarfile.TarError,
        gzip.BadGzipFile,
        zipfile.BadZipFile,
        NotImplementedError,  # of `zipfile`: another compression
    ) as error:
        raise InputError(f"{path} is cut short or damaged ({error}); download it again") from None
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}") from None


def list_files(path: Path) -> dict[str, NamedBytes]:
    """Every file below a folder or in an archive, but for hidden ones and what macOS adds to archives.

    Args:
        path: A folder, a zip archive, or a tar archive that is not compressed.

    Returns:
        The files by their path inside it, with `/` between parts, sorted.

    Raises:
        InputError: An archive is cut short, damaged, compressed as a whole, encrypted, or holds a name that leads out
            of it; or something cannot be read.
    """
    with readable(path):
        members = _in_zip if zipfile.is_zipfile(path) else _in_tar
        files = _in_folder(path) if path.is_dir() else members(path)
        return {name: files[name] for name in sorted(files) if not HIDDEN.search(name)}


def check_tar_end(members: tarfile.TarFile) -> None:
    """Makes sure that an archive, read to its end, has the zeros there that `tarfile` does not ask for.

    Raises:
        EOFError: It was cut between two members.
    """
    members.fileobj.seek(members.offset)
    if members.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError(f"no end after {members.offset:,} bytes")


def _in_folder(folder: Path) -> dict[str, NamedBytes]:
    """Files below a folder, those behind links included."""
    files, seen = {}, set()
    for root, folders, names in os.walk(folder, followlinks=True):
        # A link may lead back to where it is, and hidden folders may hold more than all others.
        seen.add(Path(root).resolve())
        folders[:] = [name for name in folders if not HIDDEN.search(f"{name}/")]
        folders[:] = [name for name in folders if Path(root, name).resolve() not in seen]
        for path in (Path(root, name) for name in names):
            if path.is_file():
                files[path.relative_to(folder).as_posix()] = NamedBytes(str(path), path.stat().st_size, path.read_bytes)
    return files


def _in_zip(archive: Path) -> dict[str, NamedBytes]:
    # Open as long as one of its members is known; it closes itself, and reads from several threads.
    opened = zipfile.ZipFile(archive)
    files = {}
    for info in opened.infolist():
        name = _inside(archive, info.filename)
        if info.is_dir():
            continue
        if info.flag_bits & ENCRYPTED:
            raise InputError(f"{archive} is encrypted; unpack it with its password and give the folder")
        load = functools.partial(opened.read, info)
        files[name] = NamedBytes(f"{archive}/{name}", info.file_size, load)
    return files


def _in_tar(archive: Path) -> dict[str, NamedBytes]:
    files = {}
    with archive.open("rb") as file:
        begin = file.read(6)
        for magic, command in COMPRESSED.items():
            if begin.startswith(magic):
                advice = f"run {command} on it and give what comes out"
                raise InputError(f"{archive} is compressed as a whole, and no file in it can be read alone; {advice}")
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as members:
            for member in members:
                name = _inside(archive, member.name)
                if member.isreg() and not member.issparse():
                    load = functools.partial(_read_range, archive, member.offset_data, member.size)
                    files[name] = NamedBytes(f"{archive}/{name}", member.size, load)
            check_tar_end(members)
    return files


def _inside(archive: Path, name: str) -> str:
    """A member's name without `./`.

    Raises:
        InputError: It is absolute or climbs out.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise InputError(f"{archive} holds {name!r}, which leads out of it; get an archive without such a name")
    return str(path)


def _read_range(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) < size:
        raise EOFError(f"no {size:,} bytes at {offset:,}")
    return content
