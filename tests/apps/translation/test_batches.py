"""Batches by their number of tokens: nothing is lost, nothing depends on what came before."""

import dataclasses

import numpy as np
import pytest

from apps.translation.batches import batch, datasets
from apps.translation.config import TranslationConfig
from apps.translation.data import Corpus, Pairs
from recur.text.subwords import BEGIN, END, SubwordTokenizer
from recur.text.words import PADDING

WORDS = ("red", "cat", "sings", "loudly", "over", "there")
SOURCES = [" ".join(WORDS[i % 5 : i % 5 + 1 + i % 3]) + f" {i}" for i in range(60)]
PAIRS = Pairs(SOURCES, [text.upper() for text in SOURCES])
CONFIG = TranslationConfig(batch_tokens=128, vocabulary_size=80, batch_size=16)


@pytest.fixture(scope="module")
def subwords():
    return SubwordTokenizer.fit([*PAIRS.sources, *PAIRS.targets], 80)


@pytest.fixture(scope="module", params=[0.0, 0.3])
def config(request):
    return dataclasses.replace(CONFIG, subword_sampling=request.param)


def as_arrays(element):
    given, wanted = element
    return [given["source"].numpy(), given["target"].numpy(), wanted.numpy()]


CORPUS = Corpus("x", "y", PAIRS, PAIRS, PAIRS, {}, ())


def test_a_batch_has_what_is_read_and_what_comes_next():
    given, wanted = batch(([np.array([7, 8]), np.array([9])], [np.array([4]), np.array([5, 6])]), [0, 1])
    assert given["source"].tolist() == [[7, 8, END], [9, END, PADDING]]
    assert given["target"].tolist() == [[BEGIN, 4, PADDING], [BEGIN, 5, 6]]
    assert wanted.tolist() == [4, END, 5, 6, END]


def test_a_pass_has_nearly_all_pairs_once(subwords, config):
    made = datasets(CORPUS, subwords, config)
    seen = []
    for element in made.train(0).take(made.steps_per_pass):
        source, target, *_ = as_arrays(element)
        assert len(source) * min(source.shape[1], target.shape[1]) <= 128 or config.subword_sampling
        seen += [subwords._processor.decode([int(i) for i in row if i > END]) for row in source]
    assert len(seen) == len(set(seen)) > 0.75 * len(SOURCES)
    assert set(seen) <= set(SOURCES)


def test_from_any_step_the_batches_are_those_of_a_training_that_went_through(subwords, config):
    made = datasets(CORPUS, subwords, config)
    count = made.steps_per_pass
    whole = [as_arrays(element) for element in made.train(0).take(2 * count + 2)]
    for first in (1, count, count + 2):
        again = [as_arrays(element) for element in made.train(first).take(3)]
        for some, others in zip(again, whole[first:], strict=False):
            for array, expected in zip(some, others, strict=True):
                np.testing.assert_array_equal(array, expected)
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(whole, whole[count:], strict=False))


def test_validation_is_every_pair_and_the_same_each_time(subwords, config):
    made = datasets(CORPUS, subwords, config).validation
    passes = [[as_arrays(element) for element in made] for _ in range(2)]
    assert sum(len(element[0]) for element in passes[0]) == len(PAIRS) == 60
    assert len(passes[0]) == int(made.cardinality())
    for one, other in zip(*passes, strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_long_pairs_are_not_learnt_from(subwords):
    config = dataclasses.replace(CONFIG, longest=6)
    longest = max(as_arrays(element)[0].shape[1] for element in datasets(CORPUS, subwords, config).train(0).take(4))
    assert longest <= 7


def test_subwords_are_drawn_once_a_pass(subwords, monkeypatch):
    seeds, draw = [], SubwordTokenizer.sample_all

    def counted(self, texts, alpha, seed):
        seeds.append(seed)
        return draw(self, texts, alpha, seed)

    monkeypatch.setattr(SubwordTokenizer, "sample_all", counted)
    made = datasets(CORPUS, subwords, dataclasses.replace(CONFIG, subword_sampling=0.3, seed=5))
    for _ in made.train(0).take(made.steps_per_pass + 1):
        pass
    assert seeds[:4] == [5, 6, 10_012, 10_013]  # of sources and of targets
    assert len(seeds) == len(set(seeds))
