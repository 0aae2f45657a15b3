"""Made-up prices for several test modules."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

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
