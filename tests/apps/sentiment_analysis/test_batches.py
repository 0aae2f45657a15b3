"""Batches of reviews: a function of the step, padded little, and nothing lost."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.sentiment_analysis.batches import by_length, read_part, train_batches, validation_batches
from apps.sentiment_analysis.config import SentimentConfig
from recur.text.words import UNKNOWN

REVIEWS = [np.full(1 + number % 70, 2 + number, np.int32) for number in range(90)]
LABELS = np.eye(2, dtype=np.float32)[np.arange(90) % 2]


def take(dataset, count):
    return [(ids, labels) for ids, labels in itertools.islice(dataset.as_numpy_iterator(), count)]


@settings(max_examples=8, deadline=None)
@given(first=st.integers(0, 25), seed=st.integers(0, 1000))
def test_batches_are_a_function_of_the_step(first, seed):
    whole = take(train_batches(REVIEWS, LABELS, 8, seed)(0), first + 3)[first:]
    for (ids, labels), (same, those) in zip(
        take(train_batches(REVIEWS, LABELS, 8, seed)(first), 3), whole, strict=True
    ):
        np.testing.assert_array_equal(ids, same)
        np.testing.assert_array_equal(labels, those)


def test_a_pass_has_every_review_at_most_once_with_its_label():
    batches = take(train_batches(REVIEWS, LABELS, 8, 0)(0), 11)
    seen = [row[0] - 2 for ids, _ in batches for row in ids]
    assert len(seen) == len(set(seen)) == 88
    for ids, labels in batches:
        assert ids.shape[1] % 32 == 0
        np.testing.assert_array_equal(labels, LABELS[ids[:, 0] - 2])
        np.testing.assert_array_equal((ids != 0).sum(axis=1), [len(REVIEWS[number]) for number in ids[:, 0] - 2])


def test_all_reviews_once_by_length():
    batches = take(validation_batches(REVIEWS, LABELS), 9)
    assert sum(len(labels) for _, labels in batches) == 90
    lengths = [int((row != 0).sum()) for ids, _ in batches for row in ids]
    assert lengths == sorted(lengths)
    words = [row[0] for ids, _ in batches for row in ids]
    assert words == [REVIEWS[number][0] for rows in by_length(REVIEWS) for number in rows]


def test_long_reviews_are_cut_and_empty_ones_are_one_unknown_word():
    config = SentimentConfig(longest=4, keep="both")
    rows = read_part([np.arange(2, 12, dtype=np.int32), np.array([], np.int32), np.array([5], np.int32)], config)
    assert [row.tolist() for row in rows] == [[2, 3, 10, 11], [UNKNOWN], [5]]
