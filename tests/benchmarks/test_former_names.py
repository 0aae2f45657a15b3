"""Benchmarks are found by the names that they had before they were divided into folders."""

import importlib.util
from pathlib import Path

import pytest

import benchmarks

PUBLISHED = (
    *("captioning_serving", "ett", "generation", "gradient_overhead", "long_memory", "recurrent_layers"),
    *("recurrent_memory", "sentiment_serving", "serving_load", "stock_edge", "stock_serving", "translation_decoding"),
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_command_goes_on_working(name):
    spec = importlib.util.find_spec(f"benchmarks.{name}")
    assert '\nif __name__ == "__main__":\n' in Path(spec.origin).read_text(encoding="utf-8")


def test_exchange_rates_have_a_package_of_the_same_name():
    assert importlib.util.find_spec("benchmarks.exchange_rate.__main__")
    assert "exchange_rate" not in benchmarks.FORMER_NAMES


def test_no_other_name_is_found():
    assert importlib.util.find_spec("benchmarks.of_nothing") is None
