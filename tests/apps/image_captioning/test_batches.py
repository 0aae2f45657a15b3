"""Batches: a caption with its own image's features, the same whenever training is resumed."""

import itertools
import types

import numpy as np
import pytest
import tensorflow as tf

from apps.image_captioning.assets import CaptionVocabulary
from apps.image_captioning.batches import caption_datasets, encoded
from apps.image_captioning.data import Album, Images, Part
from recur.data.archives import NamedBytes
from recur.text.subwords import BEGIN, END
from recur.text.words import PADDING

CAPTIONS = [["a red dog", "a dog"], ["a cat sees a dog"], ["two cats", "a b c d e f g h"]]
CONFIG = types.SimpleNamespace(longest=6, batch_size=2, seed=3)


def part() -> Part:
    return Part(Images(NamedBytes(str(index), 1, bytes) for index in range(3)), CAPTIONS, [])


@pytest.fixture(scope="module")
def vocabulary():
    return CaptionVocabulary.fit([text for texts in CAPTIONS for text in texts], minimum_count=1)


@pytest.fixture(scope="module")
def data(vocabulary):
    features = np.arange(3, dtype=np.float16).reshape(3, 1, 1, 1) * np.ones((1, 2, 2, 4), np.float16)
    album = Album("", "", part(), part(), part(), ())
    signature = {"features": tf.TensorSpec([None, 2, 2, 4], tf.float16)}
    shown = [lambda images, *_: {"features": features[images]}] * 2
    return caption_datasets(album, vocabulary, CONFIG, *shown, signature)


def test_captions_that_are_too_long_are_left_out(vocabulary):
    images, captions = encoded(part(), vocabulary, 6)
    assert images.tolist() == [0, 0, 1, 2]
    assert [len(caption) for caption in captions] == [3, 2, 5, 2]


def test_a_caption_comes_with_the_features_of_its_image(data, vocabulary):
    assert data.steps_per_pass == 2
    seen = set()
    for inputs, wanted in itertools.islice(data.train(0).as_numpy_iterator(), 2):
        tokens = (inputs["words"] != PADDING).sum(axis=1)
        assert len(wanted) == tokens.sum()
        for features, words, target in zip(
            inputs["features"], inputs["words"], np.split(wanted, np.cumsum(tokens)[:-1]), strict=True
        ):
            assert words[0] == BEGIN
            assert target[-1] == END
            assert words[1 : len(target)].tolist() == target[:-1].tolist()
            image = int(features[0, 0, 0])
            text = vocabulary.decode(target[None]).numpy()[0].decode()
            assert text in CAPTIONS[image]
            seen.add((image, text))
    assert len(seen) == 4


def test_training_goes_on_where_it_was(data):
    whole = list(itertools.islice(data.train(0).as_numpy_iterator(), 7))
    rest = list(itertools.islice(data.train(4).as_numpy_iterator(), 3))
    for (inputs, wanted), (inputs_again, wanted_again) in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(inputs["words"], inputs_again["words"])
        np.testing.assert_array_equal(inputs["features"], inputs_again["features"])
        np.testing.assert_array_equal(wanted, wanted_again)


def test_validation_is_every_caption_once_and_finite(data):
    batches = list(data.validation.as_numpy_iterator())
    assert len(batches) == len(data.validation) == 2
    assert sum(len(inputs["words"]) for inputs, _ in batches) == 4
