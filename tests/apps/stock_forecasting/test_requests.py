"""Files of prices to requests and answers to records: read once, and without TensorFlow."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from apps.stock_forecasting.config import ForecastOptions
from apps.stock_forecasting.requests import dates_ahead, parse, records
from recur.data import sources
from recur.errors import InputError
from tests.checkout import ROOT

SHAPES = {"serving_default": {"close": (None, 96)}}


def test_a_file_is_read_once_for_a_forecast(tiny_prices, monkeypatch):
    read, plain = [], sources.read_text
    monkeypatch.setattr(sources, "read_text", lambda path: read.append(path.name) or plain(path))
    paths = [str(tiny_prices / name) for name in ("AAA.csv", "BBB.csv")]
    request = parse(paths, ForecastOptions(), SHAPES)
    answers = records(request, {"quantiles": np.ones((2, 5, 21), np.float32)})
    assert read == ["AAA.csv", "BBB.csv"]
    assert [(answer["file"], answer["ticker"]) for answer in answers] == list(zip(paths, ("AAA", "BBB"), strict=True))
    with pytest.raises(InputError, match=r"BBB\.csv holds prices that cannot be forecast from"):
        records(request, {"quantiles": np.array([np.ones((5, 21)), np.full((5, 21), np.nan)])})


def test_the_newest_rows_are_what_is_asked_about(tiny_prices):
    table = pd.read_csv(tiny_prices / "AAA.csv")
    shapes = {"panel": dict.fromkeys(("close", "volume", "day"), (None, 96)) | {"ticker": (None,)}}
    request = parse([str(tiny_prices / "AAA.csv")], ForecastOptions(), shapes)
    assert request.signature == "panel"
    assert {name: array.dtype.name for name, array in request.arrays.items()} == {
        "close": "float32",
        "volume": "float32",
        "day": "int32",
        "ticker": "object",
    }
    np.testing.assert_array_equal(request.arrays["volume"], [table["Volume"].iloc[-96:].astype(np.float32)])
    assert pd.Timestamp(request.arrays["day"][0, -1], unit="D") == pd.Timestamp(table["Date"].iloc[-1])
    assert request.arrays["ticker"].tolist() == [b"AAA"]


def test_no_tensorflow_is_loaded(tiny_prices):
    script = (
        "import sys; from apps.stock_forecasting import config, requests; "
        f"requests.parse([{str(tiny_prices / 'AAA.csv')!r}], config.ForecastOptions(), {SHAPES!r}); "
        "print({'tensorflow', 'keras', 'scipy', 'sklearn', 'matplotlib', 'arch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_rows_to_come():
    business = pd.bdate_range("2024-02-26", "2024-03-01")
    assert [str(date.date()) for date in dates_ahead(business, 2)] == ["2024-03-04", "2024-03-05"]
    hours = pd.date_range("2024-01-01 22:00", periods=4, freq="h")
    assert str(dates_ahead(hours, 1)[0]) == "2024-01-02 02:00:00"
    days = pd.date_range("2024-01-01", periods=20)
    assert str(dates_ahead(days, 1)[0].date()) == "2024-01-21"
    assert list(dates_ahead(pd.RangeIndex(10), 2)) == [10, 11]
