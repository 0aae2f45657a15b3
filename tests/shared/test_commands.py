"""What the commands print."""

import doctest

from shared import commands


def test_the_example():
    assert doctest.testmod(commands).failed == 0


def test_every_detail_is_shown_or_named():
    details = {"a": 1, "b": "x", "c": [1], "d": {"e": [1]}, "f": {"g": 0.25, "h": "i"}}
    lines, longer = commands.details_shown(details)
    assert lines == ["a: 1", "b: x", "f: g 0.2500, h i"]
    assert longer == ["c", "d"]
