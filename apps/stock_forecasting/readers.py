"""Series as people have them: tables and matrices in files, the packaged sample, what Yahoo Finance answers.

Cells come as they stand there; `numbers` and `times` turn them into values, and name the line of one that is none.
"""

import importlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recur.data import sources
from recur.errors import InputError, suggestion

MISSING = {"", "null", "nan", "na", "n/a", "none", "-"}
"""Cells, in lower case, that say that there is no number."""
DELIMITERS = ",;\t"
ZONE = r"(:\d\d(?:\.\d+)?) ?(?:Z|[+-]\d\d:?\d\d)$"
"""Of a time: rows are dated as the exchange's clock has it."""
LINE = "line"
SHOWN = 40

TABLE = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)
MATRIX = re.compile(r"\.txt(\.gz)?$", re.IGNORECASE)
TICKER = ("Ticker", "Symbol")
YAHOO = "yahoo:"

Series = tuple[Path, str, pd.DataFrame | np.ndarray]
"""Where a series stands, its name, and its cells: a table as `read_table` has it, or a column of a matrix."""


def read_series(source: str) -> Iterator[Series]:
    """Every series that a source has, as it stands there.

    Args:
        source: `sample`; a CSV file with a header, of one ticker or, with a column `Ticker`, of several; a folder of
            such files; a matrix (`.txt`); or `yahoo:` and tickers. Files may end in `.gz`.

    Raises:
        InputError: There is nothing, or it cannot be read.
    """
    if source == sources.SAMPLE:
        (path,) = sources.packaged_files("bokeh_sampledata", "_data/stocks.csv.gz")
        yield from _by_ticker(path)
        return
    if source.startswith(YAHOO):
        yield from ((Path(source), name, table) for name, table in download(source))
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


def _of_file(path: Path) -> Iterator[Series]:
    if MATRIX.search(path.name):
        matrix = read_matrix(path)
        digits = len(str(matrix.shape[1]))
        yield from ((path, f"{number:0{digits}}", values) for number, values in enumerate(matrix.T, start=1))
    elif TABLE.search(path.name):
        yield from _by_ticker(path)
    else:
        raise InputError(f"{path} is neither .csv nor .txt; give a table with a header, or a matrix of numbers as .txt")


def _by_ticker(path: Path) -> Iterator[Series]:
    """A file's one table, or one for each ticker that it names."""
    table = read_table(path)
    ticker = column_named(table, TICKER)
    if ticker is None:
        yield path, TABLE.sub("", path.name), table
        return
    for name, rows in table.groupby(ticker, sort=True):
        yield path, str(name), rows.drop(columns=ticker)


def read_table(path: Path) -> pd.DataFrame:
    """Reads a CSV file with a header, plain or `.gz`, delimited by commas, semicolons or tabs.

    Args:
        path: Of the file.

    Returns:
        Strings without white space around them, a column a heading; the index, named `line`, says where a row stands
        in the file. Rows without any cell are left out.

    Raises:
        InputError: The file is empty, not UTF-8, damaged, has no row, or rows with more cells than headings.
    """
    text = sources.read_text(path)
    header = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=header.count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of cells that no column has
            table = pd.read_csv(
                io.StringIO(text),
                sep=delimiter,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skip_blank_lines=False,  # so that lines can be counted
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ").splitlines()[0].rstrip(".")
        raise InputError(f"{path} is no table: {reason}; give a header and rows with as many cells") from None
    table = table.fillna("").apply(lambda column: column.str.strip())
    table.columns = [str(name).strip() for name in table.columns]
    table.index = pd.RangeIndex(2, len(table) + 2, name=LINE)
    table = table[(table != "").any(axis=1)]
    if table.empty:
        raise InputError(f"{path} has a header and no row below it; give a row a day")
    return table


def read_matrix(path: Path) -> np.ndarray:
    """Reads a text file, plain or `.gz`, of numbers without a header: a line a time, a column a series.

    Args:
        path: Of the file; cells are delimited by commas, as the files of LSTNet are.

    Returns:
        float64 [times, series].

    Raises:
        InputError: The file is empty, not UTF-8, damaged, or has a cell that is no number or too many or few of them.

    Source:
        Lai, G., Chang, W.-C., Yang, Y. and Liu, H. (2018), "Modeling Long- and Short-Term Temporal Patterns with Deep
        Neural Networks", SIGIR.
    """
    lines = sources.read_text(path).rstrip("\n").split("\n")
    width = lines[0].count(",") + 1
    for number, line in enumerate(lines, start=1):
        if (count := line.count(",") + 1) != width:
            raise InputError(f"{path}, line {number:,}, has {count} numbers where line 1 has {width}; a matrix is even")
    table = pd.DataFrame([line.split(",") for line in lines], index=pd.RangeIndex(1, len(lines) + 1, name=LINE))
    return np.column_stack([numbers(table[column].str.strip(), path, missing=False) for column in table])


def download(source: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """All daily prices of tickers, asked of Yahoo Finance by the package `yfinance`.

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
    tickers = [ticker.strip() for ticker in source.removeprefix(YAHOO).split(",") if ticker.strip()]
    if not tickers:
        raise InputError(f"{source!r} names no ticker; write it as {YAHOO}MSFT")
    for ticker in tickers:
        try:
            history = yfinance.Ticker(ticker).history(period="max", interval="1d", auto_adjust=False)
        except Exception as error:  # noqa: BLE001 - of the package, of the network, of the site
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise InputError(
                f"Yahoo Finance did not answer for {ticker} ({reason}); try again, or give a CSV"
            ) from None
        if history is None or history.empty:
            raise InputError(f"Yahoo Finance has no prices of {ticker}, or cannot be reached; give a CSV file instead")
        table = history.tz_localize(None).rename_axis("Date").reset_index()
        table["Date"] = table["Date"].dt.date
        table = table.astype(object).where(table.notna(), "").astype(str)
        table.index = pd.RangeIndex(2, len(table) + 2, name=LINE)
        yield ticker, table


def numbers(column: pd.Series, path: Path, missing: bool = True) -> np.ndarray:
    """The numbers of a column.

    Args:
        column: Strings; the index has their lines, and the name is the column's.
        path: Of the file, to be named.
        missing: Whether `null` and its like may stand for a number that is missing.

    Returns:
        float64 [rows], NaN where a number is missing and finite elsewhere.

    Raises:
        InputError: A cell is something else.
    """
    absent = column.str.lower().isin(MISSING).to_numpy() & missing
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if (wrong := ~absent & ~np.isfinite(values)).any():
        line, cell = column.index[wrong][0], column[wrong].iloc[0][:SHOWN]
        where = f"{column.name} is" if isinstance(column.name, str) else f"column {column.name + 1} has"
        raise InputError(f"{path}, line {line:,}: {where} {cell!r}, no finite number; write it as 1234.5, or mend it")
    return np.where(absent, np.nan, values)


def times(column: pd.Series, path: Path) -> pd.DatetimeIndex:
    """The dates or times of a column; an offset from UTC is left out, not converted.

    Args:
        column: Strings, as `numbers` has them.
        path: Of the file, to be named.

    Raises:
        InputError: A cell is no date in the order of ISO 8601.
    """
    local = column.str.replace(ZONE, r"\1", regex=True)
    dates = pd.to_datetime(local, format="ISO8601", errors="coerce")
    if (wrong := dates.isna()).any():
        line, cell = column.index[wrong][0], column[wrong].iloc[0][:SHOWN]
        raise InputError(f"{path}, line {line:,}: {column.name} is {cell!r}, no date; write dates as 2013-01-31")
    return pd.DatetimeIndex(dates).as_unit("us")


def column_named(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The first column whose name is one of some names, but for case, blanks, stops and asterisks; None without one.

    Example:
        >>> column_named(pd.DataFrame(columns=["date", "adj_close"]), ["Adj Close"])
        'adj_close'
    """
    plain = {re.sub(r"[\W_]", "", column).lower(): column for column in reversed(list(table.columns))}
    return next((plain[key] for name in names if (key := re.sub(r"[\W_]", "", name).lower()) in plain), None)


def required_column(table: pd.DataFrame, name: str, path: Path, advice: str) -> str:
    """The column that `column_named` finds.

    Raises:
        InputError: There is none.
    """
    column = column_named(table, [name])
    if column is None:
        present = ", ".join(table.columns[:20])[:300]
        hint = suggestion(name, list(table.columns), advice)
        raise InputError(f"{path} has no column named {name}; it has {present}; {hint}")
    return column
