"""What the commands print."""

import io

import pytest
import rich.console

from recur.cli import commands


def test_every_detail_is_shown_or_named():
    details = {"a": 1, "b": "x", "c": [1], "d": {"e": [1]}, "f": {"g": 0.25, "h": "i"}}
    lines, longer = commands.details_shown(details)
    assert lines == ["a: 1", "b: x", "f: g 0.2500, h i"]
    assert longer == ["c", "d"]


@pytest.mark.parametrize("count", [2, 7])
def test_every_number_of_an_evaluation_fits_80_columns(count):
    names = [f"metric{number}" for number in range(count)]
    values = {name: 12.3456 + number for number, name in enumerate(names)}
    metrics = {"application": "a", "data": "b", "split": "test", "examples": 3, "metrics": values}
    metrics["baselines"] = {"most_frequent": values, "retrieval": {names[0]: 1.5}}
    console = rich.console.Console(file=io.StringIO(), width=80)
    console.print(commands.metrics_table(metrics))
    shown = console.file.getvalue()
    assert "…" not in shown
    for value in values.values():
        assert shown.count(f"{value:.4f}") == 2
    for name in ("this model", "most_frequent", "retrieval", "1.5000", *names):
        assert name in shown
