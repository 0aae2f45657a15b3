"""Prices from Yahoo Finance by the package `yfinance`, where it is installed and there is a network."""

import importlib
from collections.abc import Iterator

import pandas as pd

from recur.errors import InputError

PREFIX = "yahoo:"


def download(source: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """All daily prices of tickers.

    Args:
        source: `yahoo:` and tickers with commas between them, as `yahoo:MSFT,^GSPC`.

    Yields:
        The name of each ticker and its table, cells as strings as in the CSV files of the same site.

    Raises:
        InputError: The package is not installed, there is no network, or no such ticker.
    """
    try:
        yfinance = importlib.import_module("yfinance")
    except ImportError:
        raise InputError(f"{source} needs a package that is not installed; pip install yfinance") from None
    tickers = [ticker.strip() for ticker in source.removeprefix(PREFIX).split(",") if ticker.strip()]
    if not tickers:
        raise InputError(f"{source!r} names no ticker; write it as {PREFIX}MSFT")
    for ticker in tickers:
        try:
            found = yfinance.Ticker(ticker).history(period="max", interval="1d", auto_adjust=False)
        except Exception as error:  # noqa: BLE001 - of the package, of the network, of the site
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise InputError(
                f"Yahoo Finance did not answer for {ticker} ({reason}); try again, or give a CSV"
            ) from None
        if found is None or found.empty:
            raise InputError(f"Yahoo Finance has no prices of {ticker}, or cannot be reached; give a CSV file instead")
        table = found.tz_localize(None).rename_axis("Date").reset_index()
        table["Date"] = table["Date"].dt.date
        table = table.astype(object).where(table.notna(), "").astype(str)
        table.index = pd.RangeIndex(2, len(table) + 2, name="line")
        yield ticker, table
