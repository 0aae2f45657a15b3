"""Reviews without a class are learnt from as a teacher labels them, and nothing but train teaches the teacher."""

import dataclasses

import numpy as np
import pytest

from apps.sentiment_analysis.assets import SentimentAssets
from apps.sentiment_analysis.batches import datasets
from apps.sentiment_analysis.config import SentimentConfig
from apps.sentiment_analysis.data import Corpus, Part
from apps.sentiment_analysis.stages import teacher_probabilities
from recur.text.words import WordVocabulary, count_words

GOOD, BAD = [b"a lovely and warm film"] * 6, [b"a dull and cold film"] * 6
TRAIN = Part(GOOD + BAD, np.repeat([1, 0], 6).astype(np.int32))
HELD_OUT = Part([b"a lovely film", b"a dull film"], np.array([1, 0], np.int32))
CORPUS = Corpus("x", "first", ("bad", "good"), TRAIN, HELD_OUT, HELD_OUT, [b"warm, so lovely", b"cold and dull", b"?"])
CONFIG = SentimentConfig(teacher="linear", batch_size=5)


@pytest.fixture(scope="module")
def assets():
    return SentimentAssets(WordVocabulary.fit(count_words(TRAIN.texts), 50), CORPUS.labels)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_teacher_knows_what_train_says():
    data = teacher_probabilities(CORPUS)
    np.testing.assert_allclose(data.sum(axis=1), 1, rtol=1e-6)
    assert data[0, 1] > 0.7
    assert data[1, 0] > 0.7
    assert abs(data[2, 0] - 0.5) < 0.1


def test_reviews_held_out_teach_nothing():
    lies = Part(HELD_OUT.texts * 50, 1 - np.tile(HELD_OUT.labels, 50))
    other = dataclasses.replace(CORPUS, fingerprint="second", validation=lies, test=lies)
    np.testing.assert_array_equal(teacher_probabilities(other), teacher_probabilities(CORPUS))


def test_what_was_taught_once_is_kept(monkeypatch):
    first = teacher_probabilities(CORPUS)
    monkeypatch.setattr("apps.sentiment_analysis.stages.TEACHERS", ())
    np.testing.assert_array_equal(teacher_probabilities(CORPUS), first)


def test_no_reviews_need_no_teacher(assets):
    without = dataclasses.replace(CORPUS, unlabelled=[])
    assert teacher_probabilities(without).shape == (0, 2)
    assert datasets(without, assets, CONFIG).steps_per_pass == 2


def test_a_pass_has_the_reviews_of_train_as_they_are_and_the_others_as_taught(assets):
    data = datasets(CORPUS, assets, CONFIG)
    assert data.steps_per_pass == 3
    wanted = np.concatenate([labels for _, labels in data.train(0).take(3).as_numpy_iterator()])
    certain = (wanted == 0) | (wanted == 1)
    assert certain.all(axis=1).sum() == 12
    np.testing.assert_allclose(np.sort(wanted[~certain.all(axis=1), 1]), np.sort(teacher_probabilities(CORPUS)[:, 1]))
    ((_, validation),) = data.validation.as_numpy_iterator()
    np.testing.assert_array_equal(np.sort(validation, axis=0), [[0, 0], [1, 1]])
    plain = datasets(CORPUS, assets, dataclasses.replace(CONFIG, teacher="none"))
    assert plain.steps_per_pass == 2
