"""Prices as they are found: the packaged sample, Yahoo Finance's CSV files, other tables, matrices without dates."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from apps.stock_forecasting import rules, yahoo
from apps.stock_forecasting.tables import column_named, numbers, read_matrix, read_table, required_column, times
from recur.data import sources
from recur.errors import InputError, suggestion

TABLE = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
MATRIX = re.compile(r"\.txt(\.gz)?$", re.IGNORECASE)
ADJUSTED = ("Adj Close", "Adjusted Close")
TICKER = ("Ticker", "Symbol")
DECLARE = "say --adjusted if its prices are adjusted for splits and dividends, or never had any"


@dataclasses.dataclass(frozen=True)
class Prices:
    """Of one ticker, in order of time, checked.

    Attributes:
        name: The ticker, or the file's name, or the number of a matrix's column.
        table: float64, a row a time. The index has dates that rise, or counts rows from 0 where there are none. Column
            `close` is there always: positive, finite and adjusted. `high`, `low` (adjusted alike) and `volume` may be,
            with NaN where a row lacks them; where both are there, low ≤ close ≤ high.
        notes: What was found in the file and what became of it.
    """

    name: str
    table: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many rows."""
        return len(self.table)

    @property
    def dated(self) -> bool:
        """Whether rows have dates."""
        return isinstance(self.table.index, pd.DatetimeIndex)

    @property
    def log_close(self) -> np.ndarray:
        """float64 [rows], natural logarithm of the adjusted close."""
        return np.log(self.table["close"].to_numpy())


def read_prices(
    source: str,
    date_column: str = "Date",
    value_column: str = "",
    adjusted: bool = False,
    tickers: Sequence[str] = (),
    today: pd.Timestamp | None = None,
) -> list[Prices]:
    """Reads whatever `source` names.

    Args:
        source: `sample`, a CSV file with a header (Yahoo Finance's, or any with dates and values; several tickers where
            it has a column `Ticker`), a folder of such files, or a matrix of positive numbers without a header (`.txt`,
            a column a series). Files may end in `.gz`. `yahoo:MSFT,IBM` asks Yahoo Finance.
        date_column: Where a table has its dates. Case and blanks do not matter, here and in the next.
        value_column: Where a table has its prices; empty for `Adj Close`, or `Close` where that is missing.
        adjusted: Declares that prices are adjusted for splits and dividends, or never had any, where no column says so.
        tickers: Which to take; empty for all.
        today: The last date there can be; the clock's by default.

    Returns:
        At least one, by name.

    Raises:
        InputError: There is nothing, or not what it should be.
    """
    found = []
    for path, name, table in _tables(source):
        if isinstance(table, np.ndarray):
            prices = _from_matrix(path, name, table, adjusted)
        else:
            prices = _from_table(path, name, table, date_column, value_column, adjusted, today)
        found.append(prices)
    return _chosen(source, found, tickers)


def _chosen(source: str, found: list[Prices], tickers: Sequence[str]) -> list[Prices]:
    wanted = tickers or [prices.name for prices in found]
    by_name = {prices.name: prices for prices in found}
    for name in wanted:
        if name not in by_name:
            known = ", ".join(by_name)[:300]
            raise InputError(f"{source} has no ticker {name}; {suggestion(name, by_name, f'it has {known}')}")
    return [by_name[name] for name in sorted(set(wanted))] if tickers else [by_name[name] for name in wanted]


def _tables(source: str) -> Iterator[tuple[Path, str, pd.DataFrame | np.ndarray]]:
    """Path, name and cells of every series that a source has."""
    if source == sources.SAMPLE:
        (path,) = sources.packaged_files("bokeh_sampledata", "_data/stocks.csv.gz")
        yield from _by_ticker(path)
        return
    if source.startswith(yahoo.PREFIX):
        yield from ((Path(source), name, table) for name, table in yahoo.download(source))
        return
    path = _existing(source)
    if not path.is_dir():
        yield from _of_file(path)
        return
    try:
        files = sorted(file for file in path.iterdir() if TABLE.search(file.name) and not file.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if not files:
        raise InputError(f"the folder {path} has no .csv file; give one with a file a ticker, named after it")
    for file in files:
        yield from _of_file(file)


def _existing(source: str) -> Path:
    try:
        path = Path(source).expanduser()
        if source and path.exists():
            return path
    except (OSError, RuntimeError, ValueError):  # no file system has such a name, or no such user has a home
        pass
    raise InputError(f"there is nothing at {source!r}; give a CSV file, a folder of them, or `{sources.SAMPLE}`")


def _of_file(path: Path) -> Iterator[tuple[Path, str, pd.DataFrame | np.ndarray]]:
    if MATRIX.search(path.name):
        matrix = read_matrix(path)
        digits = len(str(matrix.shape[1]))
        for column in range(matrix.shape[1]):
            yield path, f"{column + 1:0{digits}}", matrix[:, column]
    elif TABLE.search(path.name):
        yield from _by_ticker(path)
    else:
        raise InputError(f"{path} is neither .csv nor .txt; give a table with a header, or a matrix of numbers as .txt")


def _by_ticker(path: Path) -> Iterator[tuple[Path, str, pd.DataFrame]]:
    """A file's one table, or one for each ticker that it names."""
    table = read_table(path)
    ticker = column_named(table, TICKER)
    if ticker is None:
        yield path, TABLE.sub("", path.name), table
        return
    for name, rows in table.groupby(ticker, sort=True):
        yield path, str(name), rows.drop(columns=ticker)


def _from_matrix(path: Path, name: str, values: np.ndarray, adjusted: bool) -> Prices:
    if not adjusted:
        raise InputError(f"nothing says that the numbers of {path} are adjusted prices; {DECLARE}")
    table = pd.DataFrame({"close": values}, index=pd.RangeIndex(1, len(values) + 1))
    rules.check_positive(table, f"{path}, column {name}")
    rules.check_variation(table, f"{path}, column {name}")
    return Prices(name, table.reset_index(drop=True))


def _from_table(
    path: Path,
    name: str,
    table: pd.DataFrame,
    date_column: str,
    value_column: str,
    adjusted: bool,
    today: pd.Timestamp | None,
) -> Prices:
    """Takes the columns that matter out of a table, checks and adjusts them."""
    date = required_column(table, date_column, path, "name the one with dates by --date-column")
    declared = column_named(table, ADJUSTED)
    if value_column:
        value = required_column(table, value_column, path, "name the one with prices by --value-column")
    else:
        value = declared or required_column(table, "Close", path, "name the one with prices by --value-column")
    if value != declared and not adjusted:
        raise InputError(f"nothing says that {value} of {path} is adjusted and it has no Adj Close; {DECLARE}")
    close = column_named(table, ["Close"])
    columns = {"close": value, "volume": column_named(table, ["Volume"])}
    # Other columns tell of the same security only where the price is one of Yahoo Finance's.
    if value not in (declared, close):
        columns["volume"] = None
    elif close is not None:
        columns |= {"raw": close} | {key: column_named(table, [key]) for key in ("open", "high", "low")}
    present = {key: column for key, column in columns.items() if column is not None}
    values = pd.DataFrame({key: numbers(table[column], path) for key, column in present.items()}, index=table.index)
    return Prices(name, *rules.checked(values, times(table[date], path), str(path), today))
