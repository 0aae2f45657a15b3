"""Corpora, the vocabulary, and batches as a function of the step."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.text_generation.application import APPLICATION
from apps.text_generation.assets import Vocabulary
from apps.text_generation.batches import window_batches
from apps.text_generation.config import TextGenerationConfig
from apps.text_generation.data import Corpus, plain_text, read_corpus
from recur.data.batches import steps_in_pass, stream_batches, validation_batches

pytestmark = pytest.mark.slow

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=60, deadline=None)
@given(train=TEXT, other=TEXT)
def test_the_vocabulary_is_of_train_alone_and_gives_back_what_it_knows(train, other):
    vocabulary = APPLICATION.task.fit_assets(Corpus("", train, other, other), TextGenerationConfig())
    assert set(vocabulary.characters) == set(train)
    assert vocabulary.decode(vocabulary.encode(train)) == train
    for character, symbol in zip(other, vocabulary.encode(other), strict=True):
        assert (symbol == 0) == (character not in train)


def test_the_split_is_by_position_and_nothing_is_lost(tiny_text: Path):
    text = tiny_text.read_text()
    for test_fraction in (0.0, 0.2):
        corpus = read_corpus(str(tiny_text), 0.1, test_fraction)
        assert corpus.train + corpus.validation + corpus.test == text
        assert len(corpus.test) == int(len(text) * test_fraction)


def test_tiny_shakespeare_splits_as_in_nanogpt(recur_data: Path):
    corpus = read_corpus(str(recur_data / "tinyshakespeare" / "input.txt"), 0.1, 0.0)
    assert (len(corpus.train), len(corpus.validation), corpus.test) == (1_003_854, 111_540, "")
    assert len(Vocabulary.fit(corpus.train).characters) == 65


def test_the_packaged_sample_is_plays_without_markdown():
    corpus = read_corpus("sample", 0.1, 0.0)
    assert len(corpus.train) + len(corpus.validation) > 4_900_000
    assert "**" not in corpus.train + corpus.validation
    assert "\nROMEO:\n" in corpus.train + corpus.validation


def test_markdown_marks_go_and_words_stay():
    assert plain_text("# Act I\n\n**FIRST LORD**  \nGo, _\\[aside\\]_ then.  \n\n_Exit_\n") == (
        "Act I\n\nFIRST LORD:\nGo, [aside] then.\n\nExit\n"
    )


def take(dataset, count):
    return [(x["symbols"].numpy(), x["carry"].numpy(), y.numpy()) for x, y in itertools.islice(dataset, count)]


def test_streams_are_contiguous_and_begin_anew_each_pass():
    text, streams, window = np.arange(1, 101, dtype=np.int32), 4, 5
    steps = steps_in_pass(len(text), streams, window)
    batches = take(stream_batches(text, streams, window, seed=1)(0), 2 * steps)
    for index, (symbols, carry, targets) in enumerate(batches):
        np.testing.assert_array_equal(symbols[:, 1:], targets[:, :-1])
        np.testing.assert_array_equal(carry, np.full(streams, float(index % steps > 0)))
        if index % steps:
            np.testing.assert_array_equal(symbols[:, 0], batches[index - 1][2][:, -1])
    assert batches[0][0][0, 0] != batches[steps][0][0, 0], "every pass should begin at another offset"


def test_some_streams_restart_and_the_text_goes_on():
    text = np.arange(1, 1001, dtype=np.int32)
    plain, restarted = (take(stream_batches(text, 4, 5, 1, restart=rate)(0), 40) for rate in (0.0, 0.25))
    for (symbols, _, _), (same, _, _) in zip(plain, restarted, strict=True):
        np.testing.assert_array_equal(symbols, same)
    share = np.mean([carry for _, carry, _ in restarted])
    assert 0.6 < share < 0.85


@pytest.mark.parametrize("batches", [stream_batches, window_batches])
@settings(max_examples=15, deadline=None)
@given(first=st.integers(0, 30), seed=st.integers(0, 2**31))
def test_batches_are_a_function_of_the_step(batches, first, seed):
    text = np.arange(200, dtype=np.int32)
    make = batches(text, 3, 7, seed)
    for found, wanted in zip(take(make(first), 2), take(make(0), first + 2)[first:], strict=True):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_windows_are_pieces_of_the_text_and_begin_with_no_state():
    text = np.arange(50, dtype=np.int32)
    for symbols, carry, targets in take(window_batches(text, 6, 8, seed=0)(0), 5):
        np.testing.assert_array_equal(np.diff(symbols), 1)
        np.testing.assert_array_equal(targets, symbols + 1)
        assert not carry.any()


def test_validation_reads_every_window_once_and_in_order():
    text = np.arange(103, dtype=np.int32)
    batches = take(validation_batches(text, 2, 10), 100)
    assert len(batches) == steps_in_pass(103, 2, 10) == 5
    np.testing.assert_array_equal(np.concatenate([s for s, _, _ in batches], axis=1)[0], np.arange(50))
    np.testing.assert_array_equal(np.concatenate([t for _, _, t in batches], axis=1)[1], np.arange(52, 102))
    assert [c[0] for _, c, _ in batches] == [0, 1, 1, 1, 1]
