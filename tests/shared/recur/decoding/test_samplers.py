"""Samplers: what can be drawn, how often, and that rows do not meet."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recur.decoding.samplers import sample, uniform_noise

pytestmark = pytest.mark.slow

LOGITS = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-8, 8, width=32))
SETTINGS = {
    "noise": st.floats(0, 1, exclude_max=True, width=32),
    "temperature": st.floats(0.125, 4, width=32),
    "top_k": st.integers(0, 12),
    "top_p": st.floats(0.125, 1, width=32),
}


def draw(logits: np.ndarray, noise=0.5, temperature=1.0, top_k=0, top_p=1.0) -> np.ndarray:
    rows = len(logits)
    columns = [np.broadcast_to(value, rows) for value in (noise, temperature, top_k, top_p)]
    kinds = (tf.float32, tf.float32, tf.int32, tf.float32)
    return sample(logits, *(tf.constant(c, kind) for c, kind in zip(columns, kinds, strict=True))).numpy()


def lowest_of_nucleus(logits: np.ndarray, temperature: float, top_p: float) -> float:
    descending = np.sort(logits.astype(np.float64))[::-1]
    probabilities = np.exp((descending - descending[0]) / temperature)
    reached = np.cumsum(probabilities) / probabilities.sum()
    last = min(np.searchsorted(reached, top_p - 1e-5) + 1, len(logits) - 1)  # one more for rounding at the edge
    return descending[last] - 1e-6


@settings(max_examples=150, deadline=None)
@given(logits=LOGITS, **SETTINGS)
def test_only_the_likeliest_symbols_are_drawn(logits, noise, temperature, top_k, top_p):
    for row, symbol in zip(logits, draw(logits, noise, temperature, top_k, top_p), strict=True):
        assert 0 <= symbol < len(row)
        if top_k:
            assert (row > row[symbol]).sum() < top_k
        assert row[symbol] >= lowest_of_nucleus(row, temperature, top_p)


@settings(max_examples=60, deadline=None)
@given(logits=LOGITS, noise=SETTINGS["noise"])
def test_each_way_of_being_greedy_takes_the_likeliest(logits, noise):
    likeliest = logits.max(axis=1)
    for options in ({"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-6}):
        symbols = draw(logits, noise, **options)
        np.testing.assert_allclose(np.take_along_axis(logits, symbols[:, None], 1)[:, 0], likeliest, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(logits=LOGITS, **SETTINGS)
def test_a_row_is_drawn_alike_alone_and_in_a_batch(logits, noise, temperature, top_k, top_p):
    together = draw(logits, noise, temperature, top_k, top_p)
    alone = [draw(logits[i : i + 1], noise, temperature, top_k, top_p)[0] for i in range(len(logits))]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_symbols_come_as_often_as_the_tempered_softmax_says(temperature):
    logits = np.array([0.0, 1.0, -1.0, 2.0], np.float32)
    draws = 20_000
    noise = uniform_noise(tf.constant([3], tf.int64), draws)[0].numpy()
    symbols = draw(np.tile(logits, (draws, 1)), noise, temperature)
    expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    shares = np.bincount(symbols, minlength=4) / draws
    np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(0.25 / draws))


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": -2.0}, {"top_k": -5}])
def test_settings_out_of_range_still_answer(bad):
    assert 0 <= draw(np.array([[0.0, 3.0, 1.0]], np.float32), **bad)[0] < 3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(-(2**63), 2**63 - 1), short=st.integers(0, 50), more=st.integers(0, 50))
def test_noise_depends_on_its_own_seed_and_longer_noise_begins_as_shorter(seed, short, more):
    alone = uniform_noise(tf.constant([seed], tf.int64), short)
    together = uniform_noise(tf.constant([11, seed, 12], tf.int64), short + more)
    np.testing.assert_array_equal(alone[0], together[1, :short])
    assert np.all((together >= 0) & (together < 1))
