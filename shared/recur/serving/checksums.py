"""SHA256SUMS of a folder, as `sha256sum` writes and checks it."""

import hashlib
import re
from pathlib import Path

CHECKSUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def write_checksums(folder: Path) -> Path:
    """Writes the file, which `sha256sum -c SHA256SUMS` verifies in that folder; every other file below has a line."""
    path = folder / CHECKSUMS
    lines = [f"{_digest(folder / name)}  {name}\n" for name in _names(folder)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def checksum_faults(folder: Path) -> list[str] | None:
    """What has changed since the file was written: a line a fault, none where all is well.

    Returns:
        None where there is no such file.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return None
    matches = [_LINE.fullmatch(line) for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    if not all(matches):
        return [f"{CHECKSUMS} is damaged"]
    listed = {match[2]: match[1] for match in matches if match}
    found = _names(folder)
    faults = [f"{name} is missing" for name in listed if name not in found]
    faults += [f"{name} is not in {CHECKSUMS}" for name in found if name not in listed]
    return faults + [
        f"{name} has changed" for name in found if name in listed and _digest(folder / name) != listed[name]
    ]


def _names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files if path != folder / CHECKSUMS)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
