"""Prices by `yfinance`: what it gives is read as its site's files are, and what goes wrong is one line."""

import sys
import types

import pandas as pd
import pytest

from apps.stock_forecasting.prices import read_prices
from recur.errors import InputError


class Ticker:
    """The part of the package's interface that is used, with its form of answer."""

    def __init__(self, name: str):
        self.name = name

    def history(self, period: str, interval: str, auto_adjust: bool) -> pd.DataFrame:
        assert (period, interval, auto_adjust) == ("max", "1d", False)
        if self.name == "DOWN":
            raise ConnectionError("no route to host\nmore")
        rows = 0 if self.name == "NONE" else 30
        index = pd.bdate_range("2020-01-01", periods=rows, tz="America/New_York")
        close = [10.0 + row % 3 for row in range(rows)]
        table = {
            "Open": close,
            "High": close,
            "Low": close,
            "Close": close,
            "Adj Close": [price / 2 for price in close],
        }
        prices = pd.DataFrame(table | {"Volume": 100, "Dividends": 0.0}, index=index)
        prices.loc[prices.index[4:5], "Adj Close"] = float("nan")
        return prices


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "yfinance", types.SimpleNamespace(Ticker=Ticker))


def test_two_tickers(installed):
    panel = read_prices("yahoo:AAA, BBB")
    assert [prices.name for prices in panel] == ["AAA", "BBB"]
    assert len(panel[0]) == 29
    assert panel[0].table["close"].iloc[0] == 5.0
    assert str(panel[0].table.index[0]) == "2020-01-01 00:00:00"
    assert "left out 1 row without a price" in panel[0].notes[0]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("yahoo:", "names no ticker; write it as yahoo:MSFT"),
        ("yahoo:DOWN", r"did not answer for DOWN \(no route to host\)"),
        ("yahoo:NONE", "has no prices of NONE, or cannot be reached"),
    ],
)
def test_what_goes_wrong(installed, source, wanted):
    with pytest.raises(InputError, match=wanted) as refused:
        read_prices(source)
    assert "\n" not in str(refused.value)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(InputError, match="pip install yfinance"):
        read_prices("yahoo:MSFT")
