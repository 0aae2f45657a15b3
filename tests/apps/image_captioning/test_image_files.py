"""A bad image is named with what to do, and never decoded when it is too large."""

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.image_captioning import image_files, images
from apps.image_captioning.image_files import header_pixels, read_file
from apps.image_captioning.images import bad_images, check_image, count_pixels
from recur.data.sources import fingerprint
from recur.errors import InputError
from tests.apps.image_captioning.conftest import PHOTOGRAPHS, encoded


def refusal(path) -> str:
    with pytest.raises(InputError) as refused:
        check_image(str(path), read_file(path))
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def huge(kind: str) -> bytes:
    """An image whose header alone says that it has 10,000 by 10,000 pixels."""
    content = bytearray(encoded(PIL.Image.new("RGB", (8, 16)), kind))
    size = (10_000).to_bytes(2)
    if kind == "JPEG":
        at = content.index(b"\xff\xc0") + 5
        assert content[at : at + 4] == b"\0\x10\0\x08"
        content[at : at + 4] = size * 2
    elif kind == "PNG":
        content[16:24] = (b"\0\0" + size) * 2
    elif kind == "GIF":
        content[6:10] = size[::-1] * 2
    else:
        content[18:26] = (10_000).to_bytes(4, "little") + (-10_000).to_bytes(4, "little", signed=True)
    return bytes(content)


@pytest.mark.parametrize("path", PHOTOGRAPHS.values(), ids=PHOTOGRAPHS)
def test_a_photograph_is_read(path):
    content = read_file(path)
    assert content == path.read_bytes()
    check_image(str(path), content)


class TestBadImages:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "image.jpg"

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
    @pytest.mark.parametrize("share", [0.3, 0.9])
    def test_cut_short(self, path, photograph, kind, share):
        content = encoded(photograph, kind)
        path.write_bytes(content[: int(len(content) * share)])
        assert refusal(path).endswith("is a damaged image, or cut short; replace it, or leave it out")

    def test_damaged(self, path, photograph):
        content = bytearray(encoded(photograph, "PNG"))
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        assert "damaged" in refusal(path)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
    def test_too_many_pixels_are_not_decoded(self, path, kind, monkeypatch):
        monkeypatch.setattr(images, "_decode", None)
        path.write_bytes(huge(kind))
        assert refusal(path).endswith("has 100.0 megapixels; shrink it to 50 at most, or leave it out")

    @pytest.mark.parametrize("content", [b"just text\n", b"<html>", b"\xff\xd8", b"\0", b"GIF", b"BM"])
    def test_no_image(self, path, content):
        path.write_bytes(content)
        assert "is no JPEG, PNG, GIF or plain BMP (24 or 32 bits); convert it to a JPEG" in refusal(path)

    @pytest.mark.parametrize("kind", ["WEBP", "TIFF", "ICO"])
    def test_another_format(self, path, photograph, kind):
        path.write_bytes(encoded(photograph, kind))
        assert "convert it" in refusal(path)

    @pytest.mark.parametrize("mode", ["P", "L", "1"])
    def test_a_bitmap_whose_palette_would_be_ignored(self, path, photograph, mode):
        path.write_bytes(encoded(photograph.convert(mode), "BMP"))
        assert "24 or 32 bits" in refusal(path)

    def test_an_empty_file(self, path):
        path.touch()
        assert "is empty" in refusal(path)

    def test_a_file_too_large_to_be_read(self, path):
        with path.open("wb") as file:
            file.truncate(image_files.MOST_BYTES + 1)
        assert "300 MB" in refusal(path)

    def test_a_folder_a_missing_file_and_an_impossible_name(self, tmp_path):
        assert "is no file" in refusal(tmp_path)
        assert "there is no file" in refusal(tmp_path / "missing.jpg")
        assert "cannot read" in refusal(tmp_path / ("x" * 300))


SMALL = [encoded(PIL.Image.linear_gradient("L").resize((9, 7)).convert("RGB"), kind) for kind in ("JPEG", "PNG", "BMP")]
SMALL.append(encoded(PIL.Image.linear_gradient("L").resize((9, 7)), "GIF"))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SMALL),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 2000),
)
def test_damage_of_any_kind_is_refused_or_harmless(content, changes, length):
    damaged = bytearray(content)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    damaged = bytes(damaged[:length])
    try:
        check_image("it", damaged)
    except InputError as error:
        assert str(error).startswith("it ")  # noqa: PT017
    else:
        assert header_pixels(damaged) == count_pixels(damaged)


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "EXIF", "PNG", "GIF", "BMP", "WEBP", "nothing"])
def test_the_header_says_what_the_graph_counts(photograph, kind):
    exif = photograph.getexif()
    exif[0x0112] = 6
    content = {
        "nothing": lambda: b"",
        "progressive": lambda: encoded(photograph, "JPEG", progressive=True),
        "EXIF": lambda: encoded(photograph, "JPEG", exif=exif),
    }.get(kind, lambda: encoded(photograph, kind))()
    pixels = 0 if kind in ("WEBP", "nothing") else photograph.width * photograph.height
    assert header_pixels(content) == count_pixels(content) == pixels


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_the_header_says_too_many_pixels_as_the_graph_does(kind):
    assert header_pixels(huge(kind)) == count_pixels(huge(kind)) == 10**8


class TestManyImages:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def test_the_bad_ones_are_found_once(self, photograph, monkeypatch):
        good = encoded(photograph, "PNG")
        contents = [good, good[:-100], good, b"", b"text"]
        faults = bad_images(contents, fingerprint(contents))
        assert list(faults) == [1, 3, 4]
        assert [text.split(";")[0] for text in faults.values()][:2] == ["is a damaged image, or cut short", "is empty"]
        monkeypatch.setattr(images, "_fault", None)
        assert bad_images(contents, fingerprint(contents)) == faults

    def test_none_is_bad(self, photograph):
        contents = [encoded(photograph, "JPEG")] * 3
        assert bad_images(contents, fingerprint(contents)) == {}
