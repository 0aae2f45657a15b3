import math
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.metrics.ngram import FALLBACK_DISCOUNTS, InterpolatedNgram, modified_discounts, ngram_keys

TINYSHAKESPEARE_ORDER_5 = 1.5612  # nats a character, measured with this model


@st.composite
def texts_and_contexts(draw):
    vocabulary_size = draw(st.integers(1, 7))
    symbol = st.integers(0, vocabulary_size - 1)
    text = draw(st.lists(symbol, min_size=1, max_size=80))
    context = draw(st.lists(symbol, max_size=8))
    return vocabulary_size, draw(st.integers(0, 5)), text, context


def distribution(model, context):
    """p(. | context) over the vocabulary, [vocabulary_size], read through the public scorer."""
    return np.exp([model.log_probabilities(np.array([*context, w]))[-1] for w in range(model.vocabulary_size)])


def markov_text(seed, length, vocabulary_size=6):
    """A text in which the two preceding symbols nearly always decide the next one."""
    rng = np.random.default_rng(seed)
    follows = np.random.default_rng(0).integers(vocabulary_size, size=(vocabulary_size, vocabulary_size))
    text = [0, 1]
    while len(text) < length:
        text.append(int(rng.integers(vocabulary_size) if rng.random() < 0.1 else follows[text[-2], text[-1]]))
    return np.array(text)


def literal_probability(text, context, symbol, highest, vocabulary_size):
    """The recursion of Chen and Goodman as written there, with dictionaries and no packed keys."""
    text = tuple(text)

    def windows(order):
        return [text[i : i + order] for i in range(len(text) - order + 1)]

    def recurse(context):
        order = len(context) + 1
        lower = 1.0 / vocabulary_size if order == 1 else recurse(context[1:])
        counts = Counter(windows(order)) if order == highest else Counter(gram[1:] for gram in set(windows(order + 1)))
        discounts = modified_discounts(np.array(list(counts.values())))
        here = {gram[-1]: count for gram, count in counts.items() if gram[:-1] == context}
        if not here:
            return lower
        freed = sum(discounts[min(count, 3)] for count in here.values())
        kept = here[symbol] - discounts[min(here[symbol], 3)] if symbol in here else 0.0
        return (kept + freed * lower) / sum(here.values())

    return recurse(tuple(context)[-(highest - 1) :] if highest > 1 else ())


@settings(deadline=None, max_examples=150)
@given(texts_and_contexts())
def test_probabilities_sum_to_one_and_are_positive(case):
    vocabulary_size, order, text, context = case
    probabilities = distribution(InterpolatedNgram(order, vocabulary_size=vocabulary_size).fit(np.array(text)), context)
    assert (probabilities > 0).all()
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(texts_and_contexts())
def test_equals_the_literal_recursion(case):
    vocabulary_size, order, text, context = case
    order = max(1, order)
    model = InterpolatedNgram(order, vocabulary_size=vocabulary_size).fit(np.array(text))
    highest = min(order, len(text))
    expected = [literal_probability(text, context, w, highest, vocabulary_size) for w in range(vocabulary_size)]
    np.testing.assert_allclose(distribution(model, context), expected, rtol=1e-12)


def test_sums_to_one_when_the_discounts_are_estimated():
    text = markov_text(1, 5_000)
    model = InterpolatedNgram(4, vocabulary_size=8).fit(text)
    _, counts = np.unique(ngram_keys(text, 4, 8), return_counts=True)
    assert not np.array_equal(modified_discounts(counts)[1:], FALLBACK_DISCOUNTS)
    for context in ([], [3], [7], [0, 1], [7, 7, 7], [0, 1, 7], text[100:103], text[200:210]):
        assert distribution(model, context).sum() == pytest.approx(1.0, abs=1e-12)


def test_order_zero_is_uniform():
    model = InterpolatedNgram(0, vocabulary_size=65).fit(np.array([3, 3, 3]))
    np.testing.assert_allclose(model.log_probabilities(np.array([0, 3, 64])), -math.log(65), rtol=1e-12)


def test_order_one_equals_the_closed_form():
    # Symbols 0-3 occur once, 4-5 twice, 6 three times, 7 four times, 8-9 never: n_1..n_4 = 4, 2, 1, 1, so Y = 1/2,
    # D = 1/2, 5/4, 1, the freed mass is 4 * 1/2 + 2 * 5/4 + 1 + 1 = 6.5 of 15 counts.
    counts = [1, 1, 1, 1, 2, 2, 3, 4, 0, 0]
    text = np.random.default_rng(0).permutation(np.repeat(np.arange(10), counts))
    kept = np.array([0.5] * 4 + [0.75] * 2 + [2, 3, 0, 0])
    model = InterpolatedNgram(1, vocabulary_size=10).fit(text)
    expected = (kept + 6.5 / 10) / 15
    np.testing.assert_allclose(distribution(model, []), expected, rtol=1e-12)
    np.testing.assert_allclose(distribution(model, [4, 9]), expected, rtol=1e-12)


def test_order_one_is_near_the_entropy_of_a_long_text():
    text = np.random.default_rng(0).choice(4, size=20_000, p=[0.5, 0.25, 0.125, 0.125])
    assert InterpolatedNgram(1, vocabulary_size=4).fit(text).nats_per_symbol(text) == pytest.approx(
        1.75 * math.log(2), abs=0.01
    )


def test_tiny_example_by_hand():
    # Bigrams of 0 1 0 1 0 0: 01 and 10 twice, 00 once; no count of three, so D = 1/2, 1, 3/2.
    # Continuation counts: 0 follows {0, 1}, 1 follows {0}; p(.) = (2 - 1, 1 - 1/2, 0) / 3 + (3/2 / 3) / 3.
    model = InterpolatedNgram(2, vocabulary_size=3).fit(np.array([0, 1, 0, 1, 0, 0]))
    unigram = [1 / 2, 1 / 3, 1 / 6]
    np.testing.assert_allclose(distribution(model, []), unigram, rtol=1e-12)
    np.testing.assert_allclose(distribution(model, [0]), [5 / 12, 1 / 2, 1 / 12], rtol=1e-12)
    np.testing.assert_allclose(distribution(model, [1]), [3 / 4, 1 / 6, 1 / 12], rtol=1e-12)
    np.testing.assert_allclose(distribution(model, [2]), unigram, rtol=1e-12)
    expected = [1 / 2, 1 / 2, 3 / 4, 1 / 12, 1 / 6]
    np.testing.assert_allclose(np.exp(model.log_probabilities(np.array([0, 1, 0, 2, 2]))), expected, rtol=1e-12)


def test_discounts_by_hand():
    np.testing.assert_allclose(modified_discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4, 9])), [0, 0.5, 1.25, 1.0])
    for undefined in ([7, 8, 9], [1, 1, 3, 3], [1, 2, 3, 4, 4, 4, 4, 4, 4]):  # nothing rare; no n_2; D_3 negative
        np.testing.assert_array_equal(modified_discounts(np.array(undefined)), [0, *FALLBACK_DISCOUNTS])


def test_keys_hold_context_and_shorter_gram():
    keys = ngram_keys(np.array([4, 0, 3, 1]), 3, 5)
    assert keys.tolist() == [4 * 25 + 0 * 5 + 3, 0 * 25 + 3 * 5 + 1]
    assert (keys // 5).tolist() == ngram_keys(np.array([4, 0, 3]), 2, 5).tolist()
    assert (keys % 25).tolist() == ngram_keys(np.array([0, 3, 1]), 2, 5).tolist()
    assert ngram_keys(np.array([1, 2]), 3, 5).shape == (0,)


def test_training_text_scores_better_than_shuffled():
    text = markov_text(1, 3_000)
    model = InterpolatedNgram(3, vocabulary_size=6).fit(text)
    assert model.nats_per_symbol(text) < model.nats_per_symbol(np.random.default_rng(2).permutation(text)) - 0.5


def test_longer_orders_beat_shorter_on_structured_text():
    train, held_out = markov_text(1, 20_000), markov_text(2, 4_000)
    scores = [InterpolatedNgram(n, vocabulary_size=6).fit(train).nats_per_symbol(held_out) for n in range(4)]
    assert all(longer < shorter - 0.01 for shorter, longer in pairwise(scores))
    noise = -(0.9 + 0.1 / 6) * math.log(0.9 + 0.1 / 6) - 5 * (0.1 / 6) * math.log(0.1 / 6)
    assert scores[3] == pytest.approx(noise, abs=0.03)


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_unseen_symbols_are_finite(order):
    model = InterpolatedNgram(order, vocabulary_size=200).fit(np.tile(np.array([0, 1, 2], np.uint8), 1_000))
    assert np.isfinite(model.log_probabilities(np.array([199, 0, 1, 199, 199, 2], np.uint8))).all()


@pytest.mark.parametrize("length", [1, 2, 4])
def test_texts_shorter_than_the_order(length):
    short, long = np.arange(length), np.tile(np.arange(5), 20)
    assert InterpolatedNgram(5, vocabulary_size=5).fit(long).log_probabilities(short).shape == (length,)
    fitted_on_short = InterpolatedNgram(5, vocabulary_size=5).fit(short)
    assert np.isfinite(fitted_on_short.log_probabilities(long)).all()
    same = InterpolatedNgram(length, vocabulary_size=5).fit(short)
    np.testing.assert_array_equal(fitted_on_short.log_probabilities(long), same.log_probabilities(long))


def test_a_score_depends_only_on_the_preceding_symbols():
    text = markov_text(3, 500)
    model = InterpolatedNgram(4, vocabulary_size=6).fit(text)
    whole = model.log_probabilities(text)
    np.testing.assert_array_equal(whole[:50], model.log_probabilities(text[:50]))
    np.testing.assert_array_equal(whole[103:200], model.log_probabilities(text[100:200])[3:])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_any_integer_dtype_scores_alike_and_input_is_kept(dtype):
    text = np.random.default_rng(0).integers(250, 256, size=400)
    given_text = text.astype(dtype)
    expected = InterpolatedNgram(7, vocabulary_size=256).fit(text).log_probabilities(text)
    scores = InterpolatedNgram(7, vocabulary_size=256).fit(given_text).log_probabilities(given_text)
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_array_equal(given_text, text)


def test_refit_replaces_the_counts():
    first, second = markov_text(1, 300), markov_text(2, 300)
    refitted = InterpolatedNgram(3, vocabulary_size=6).fit(first).fit(second)
    fresh = InterpolatedNgram(3, vocabulary_size=6).fit(second)
    np.testing.assert_array_equal(refitted.log_probabilities(first), fresh.log_probabilities(first))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ([], "text is empty"),
        ([0, 4], r"in \[0, 4\), got 0 to 4"),
        ([-1, 0], r"in \[0, 4\), got -1 to 0"),
        ([0.0, 1.0], "integer symbol indices, got float64"),
        ([[0, 1]], r"shape \(1, 2\)"),
    ],
)
def test_bad_texts(text, message):
    model = InterpolatedNgram(2, vocabulary_size=4).fit(np.array([0, 1]))
    for method in (model.fit, model.log_probabilities, model.nats_per_symbol):
        with pytest.raises(ValueError, match=message):
            method(np.array(text))


def test_bad_arguments_and_missing_fit():
    with pytest.raises(ValueError, match="order >= 0"):
        InterpolatedNgram(-1, vocabulary_size=4)
    with pytest.raises(ValueError, match="vocabulary_size >= 1"):
        InterpolatedNgram(1, vocabulary_size=0)
    with pytest.raises(ValueError, match="64-bit keys"):
        InterpolatedNgram(8, vocabulary_size=256)
    with pytest.raises(RuntimeError, match="call fit"):
        InterpolatedNgram(0, vocabulary_size=4).log_probabilities(np.array([0]))


@pytest.mark.skipif("RECUR_DATA" not in os.environ, reason="RECUR_DATA, the folder of real data, is not set")
def test_tinyshakespeare():
    text = Path(os.environ["RECUR_DATA"], "tinyshakespeare", "input.txt").read_text(encoding="utf-8")
    vocabulary, symbols = np.unique(list(text), return_inverse=True)
    train, held_out = symbols[:1_003_854], symbols[1_003_854:]
    assert (len(vocabulary), len(held_out)) == (65, 111_540)
    uniform, unigram, order_5 = (
        InterpolatedNgram(n, vocabulary_size=65).fit(train).nats_per_symbol(held_out) for n in (0, 1, 5)
    )
    assert uniform == pytest.approx(math.log(65), abs=1e-12)
    assert order_5 == pytest.approx(TINYSHAKESPEARE_ORDER_5, abs=0.01)
    assert order_5 < unigram < uniform
