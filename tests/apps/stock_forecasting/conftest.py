"""Made-up prices for several test modules."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import MadeOnce

MakeTable = Callable[..., pd.DataFrame]


@pytest.fixture(scope="session")
def make_table() -> MakeTable:
    """A random walk whose volatility comes in clusters, in the form that `Prices` has."""

    def make(rows: int = 400, seed: int = 0, columns: tuple[str, ...] = ("close", "volume", "high", "low")):
        chooser = np.random.default_rng(seed)
        volatility = 0.01 * np.exp(0.5 * np.sin(np.arange(rows) / 30))
        close = 50 * np.exp(np.cumsum(volatility * chooser.normal(size=rows)))
        spread = np.abs(volatility * chooser.normal(size=(2, rows)))
        table = {
            "close": close,
            "volume": chooser.integers(0, 10_000, rows).astype(np.float64),
            "high": close * np.exp(spread[0]),
            "low": close * np.exp(-spread[1]),
        }
        index = pd.bdate_range("2010-01-04", periods=rows).as_unit("us")
        return pd.DataFrame(table, index=index)[list(columns)]

    return make


FLAGS = (
    "--preset quick --window 96 --read 64 --burn-in 32 --horizon 5 --units 4 --batch-size 4 --epochs 2 "
    "--steps-per-epoch 3 --warmup-steps 1 --test-fraction 0.2 --validation-fraction 0.2 --learning-rate 0.01"
)


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    """The settings of the tiny run, as words of a command line."""
    return FLAGS.split()


def write_prices(folder: Path, make_table: MakeTable, rows: int = 600) -> Path:
    """A folder with files of two tickers, AAA and BBB, in Yahoo Finance's form."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("AAA", "BBB")):
        table = make_table(rows, seed)
        yahoo = table.rename(columns={"high": "High", "low": "Low", "close": "Close", "volume": "Volume"})
        yahoo.insert(0, "Open", yahoo["Close"])
        yahoo["Adj Close"] = yahoo["Close"]
        yahoo.rename_axis("Date").to_csv(folder / f"{name}.csv")
    return folder


@pytest.fixture(scope="session")
def tiny_prices(made_once: MadeOnce, make_table: MakeTable) -> Path:
    """That folder."""
    return made_once("tiny-prices", lambda folder: write_prices(folder / "prices", make_table)) / "prices"


@pytest.fixture(scope="session")
def tiny_stock_run(made_once: MadeOnce, tiny_prices: Path) -> Path:
    """The folder of a finished run on them. Do not write to it."""
    from apps.stock_forecasting.application import APPLICATION
    from recur.cli.application import main

    def train(folder: Path) -> None:
        words = ["train", "--data", str(tiny_prices), *FLAGS.split(), "--out", str(folder / "run"), "--debug"]
        assert main(APPLICATION, words) == 0

    return made_once("tiny-stock-run", train) / "run"
