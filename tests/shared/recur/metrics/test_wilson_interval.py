"""The interval of a proportion: its closed form, its ends, what it refuses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.metrics.calibration import wilson_interval


@given(st.integers(1, 100_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_equals_the_closed_form_and_holds_the_proportion(counts):
    correct, total = counts
    z, p = 1.959963984540054, correct / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    low, high = wilson_interval(correct, total)
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-9)
    assert 0 <= low <= p <= high <= 1


def test_more_answers_and_less_confidence_make_it_narrower():
    def width(*arguments):
        low, high = wilson_interval(*arguments)
        return high - low

    assert width(900, 1000) < width(90, 100)
    assert width(90, 100, 0.8) < width(90, 100)


@pytest.mark.parametrize("counts", [(0, 0), (-1, 10), (11, 10)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="count between 0"):
        wilson_interval(*counts)
