"""Files of images, read whole and judged by how they begin. No TensorFlow is needed, so a server is asked without."""

import re
from pathlib import Path

from recur.errors import InputError

MOST_BYTES = 300_000_000
"""Of a file: what the largest image takes in a BMP, and half as much again."""
MOST_PIXELS = 50_000_000
"""Of an image; decoding takes some 4 bytes for each, up to 25 of a PNG with alpha."""
DAMAGED = "is a damaged image, or cut short; replace it, or leave it out"
"""The fault of what cannot be decoded although nothing in its header is wrong."""

_HEADER = 32
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
"""Markers of a JPEG after which its height and width stand (ITU-T T.81, table B.1)."""
_SCAN, _END = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def read_file(path: Path) -> bytes:
    """The content of a file; what is in it is not looked at.

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


def header_fault(content: bytes) -> str:
    """What the header alone says is wrong with an image and what to do, to stand behind its name; or nothing.

    Example:
        >>> header_fault(b"GIF89a" + bytes([0, 64, 0, 64]))
        'has 268.4 megapixels; shrink it to 50 at most, or leave it out'
    """
    if not content:
        return "is empty; replace it, or leave it out"
    pixels = header_pixels(content)
    if pixels == 0:
        return "is no JPEG, PNG, GIF or plain BMP (24 or 32 bits); convert it to a JPEG, or leave it out"
    if pixels is not None and pixels > MOST_PIXELS:
        return f"has {pixels / 1e6:,.1f} megapixels; shrink it to {MOST_PIXELS // 10**6} at most, or leave it out"
    return ""


def header_pixels(content: bytes) -> int | None:
    """How many pixels an image has by its header, as `images.count_pixels` counts in the graph.

    Returns:
        0 where it is no JPEG, PNG, GIF or BMP of 24 or 32 bits; None where the header of a JPEG is damaged.
    """
    header = content[:_HEADER].ljust(_HEADER, b"\0")

    def little(begin: int, count: int) -> int:
        return int.from_bytes(header[begin : begin + count], "little")

    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg_pixels(content)
    if content.startswith(b"\x89PNG"):
        return int.from_bytes(header[16:20]) * int.from_bytes(header[20:24])
    if content.startswith(b"GIF8"):
        return little(6, 2) * little(8, 2)
    if content.startswith(b"BM") and little(28, 2) in (24, 32):
        height = little(22, 4)
        return little(18, 4) * min(height, 2**32 - height)  # negative: from the top down
    return 0


def _jpeg_pixels(content: bytes) -> int | None:
    """By the frame header, which stands before the first scan."""
    place = 2
    while match := _MARKER.search(content, place):
        kind, place = match[1][0], match.end()
        if kind in _FRAMES:
            height, width = content[place + 3 : place + 5], content[place + 5 : place + 7]
            return int.from_bytes(height) * int.from_bytes(width) or None
        if kind in (_SCAN, _END):
            return None
        if kind not in _WITHOUT_LENGTH:
            place += max(2, int.from_bytes(content[place : place + 2]))
    return None
