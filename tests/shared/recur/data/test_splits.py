"""An order by chance that depends on the keys and the seed alone."""

from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.splits import keyed_order


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=3), max_size=8), st.integers(0, 2**63), st.text(max_size=3))
def test_the_order_of_keys_does_not_depend_on_the_others(keys, seed, other):
    order = keyed_order(keys, seed)
    assert sorted(order) == sorted(set(keys))
    assert keyed_order(reversed(keys), seed) == order
    assert [key for key in keyed_order([*keys, other], seed) if key in set(keys)] == order


def test_another_seed_is_another_order():
    keys = [str(number) for number in range(50)]
    assert keyed_order(keys, 1) != keyed_order(keys, 2)


def test_names_of_files_that_are_not_utf_8():
    assert len(keyed_order(["a\udcff.jpg", "b.jpg"], 0)) == 2
