"""Batches of similar length: everything once, little padding, the same for a seed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.batches import batches_of_similar_length, batches_of_tokens


@settings(deadline=None)
@given(st.lists(st.integers(1, 500), max_size=300), st.integers(1, 9), st.integers(0, 3))
def test_each_sequence_is_in_at_most_one_batch_and_fewer_than_a_batch_in_none(lengths, batch_size, seed):
    batches = batches_of_similar_length(lengths, batch_size, seed, batches_a_pool=4)
    seen = np.concatenate(batches) if batches else np.array([])
    assert len(batches) == len(lengths) // batch_size
    assert all(len(batch) == batch_size for batch in batches)
    assert len(set(seen.tolist())) == len(seen)


def test_padding_is_small_and_the_order_random():
    lengths = np.random.default_rng(0).lognormal(5, 0.65, 6400).astype(int) + 1
    batches = batches_of_similar_length(lengths, 32, seed=1)
    padded = sum(32 * lengths[batch].max() for batch in batches)
    assert padded < 1.1 * lengths.sum()
    longest = [lengths[batch].max() for batch in batches]
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.3


def test_the_seed_decides():
    first, again, other = (batches_of_similar_length(range(1, 99), 4, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=80).map(np.array),
    st.integers(1, 300),
    st.integers(1, 20),
    st.integers(0, 5),
)
def test_batches_of_tokens_have_each_pair_at_most_once_and_no_more_tokens_than_asked(lengths, tokens, most, seed):
    batches = batches_of_tokens(lengths, tokens, most, seed)
    index = np.concatenate(batches)
    assert len(set(index.tolist())) == len(index)
    assert len(batches) == len(batches_of_tokens(lengths, tokens, most, seed + 1))
    for batch in batches:
        longest = -(-lengths[batch].max() // 8) * 8
        assert 1 <= len(batch) <= max(min(tokens // longest, most), 1) or len(batches) == 1
    if len(batches) > 1:  # fewer than one batch of the shortest are left out
        assert len(lengths) - len(index) < most


def test_both_sides_of_a_batch_are_of_similar_length():
    lengths = np.random.default_rng(0).integers(9, 17, (4000, 2))  # all in one bucket
    batches = batches_of_tokens(lengths, 1024, 64, seed=0)
    padding = [len(batch) * lengths[batch].max(axis=0) - lengths[batch].sum(axis=0) for batch in batches]
    source, target = np.sum(padding, axis=0) / lengths.sum(axis=0)
    assert source < 0.2
    assert target < 0.02
