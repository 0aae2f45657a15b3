"""Images of a corpus: read when asked for, made once, and left out where they cannot be decoded."""

import PIL.Image
import pytest

from apps.image_captioning.data import Captioned, Corpus
from apps.image_captioning.pictures import Pictures, checked_album
from recur.data.archives import NamedBytes
from recur.errors import InputError
from tests.apps.image_captioning.conftest import encoded


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def images(*contents: bytes, size: int = 1) -> list[NamedBytes]:
    return [NamedBytes(f"{index}.png", size, lambda content=content: content) for index, content in enumerate(contents)]


def colour(name: str) -> bytes:
    return encoded(PIL.Image.new("RGB", (8, 8), name), "PNG")


def corpus(*train: bytes) -> Corpus:
    def captioned(contents: tuple[bytes, ...]) -> Captioned:
        return Captioned(images(*contents), [[f"number {i}"] for i in range(len(contents))], [])

    rest = captioned((colour("white"),))
    return Corpus("here", "", captioned(train), rest, rest, {}, ("a note",))


@pytest.mark.parametrize(("size", "times"), [(0, 1), (10, 2)])
def test_what_is_made_is_made_once_and_what_is_read_is_read_again(size, times):
    asked = []
    pictures = Pictures([NamedBytes("a", size, lambda: bytes(asked.append(1) or b"x"))])
    assert pictures[0] == pictures[0] == b"x"
    assert len(asked) == times
    assert pictures.names == ["a"]


def test_a_bad_image_is_named():
    with pytest.raises(InputError, match=r"1\.png is no JPEG.*--skip-bad"):
        checked_album(corpus(colour("red"), b"text"), skip_bad=False)


def test_bad_images_are_left_out_with_their_captions_and_counted():
    album = checked_album(corpus(colour("red"), b"text", colour("blue"), b""), skip_bad=True)
    assert album.train.captions == [["number 0"], ["number 2"]]
    assert list(album.train.pictures) == [colour("red"), colour("blue")]
    assert len(album.validation) == len(album.test) == 1
    assert album.notes[0] == "a note"
    assert album.notes[1].startswith("left out: 2 images that cannot be decoded; the first: 1.png")


def test_a_part_of_bad_images_alone_is_refused():
    with pytest.raises(InputError, match="no image of the train part of here can be decoded"):
        checked_album(corpus(b"text"), skip_bad=True)


def test_other_images_have_another_fingerprint():
    first, second = Pictures(images(b"a", b"b")), Pictures(images(b"b", b"a"))
    assert first.fingerprint == Pictures(images(b"a", b"b", size=0)).fingerprint != second.fingerprint
