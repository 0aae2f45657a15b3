"""Tables and matrices of numbers as they stand in files; a cell that is none is named with its line."""

import io
import re
import warnings
from collections.abc import Sequence
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
        if (found := line.count(",") + 1) != width:
            raise InputError(f"{path}, line {number:,}, has {found} numbers where line 1 has {width}; a matrix is even")
    table = pd.DataFrame([line.split(",") for line in lines], index=pd.RangeIndex(1, len(lines) + 1, name=LINE))
    return np.column_stack([numbers(table[column].str.strip(), path, missing=False) for column in table])


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
    found = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if (wrong := ~absent & ~np.isfinite(found)).any():
        line, cell = column.index[wrong][0], column[wrong].iloc[0][:SHOWN]
        where = f"{column.name} is" if isinstance(column.name, str) else f"column {column.name + 1} has"
        raise InputError(f"{path}, line {line:,}: {where} {cell!r}, no finite number; write it as 1234.5, or mend it")
    return np.where(absent, np.nan, found)


def times(column: pd.Series, path: Path) -> pd.DatetimeIndex:
    """The dates or times of a column; an offset from UTC is left out, not converted.

    Args:
        column: Strings, as `numbers` has them.
        path: Of the file, to be named.

    Raises:
        InputError: A cell is no date in the order of ISO 8601.
    """
    local = column.str.replace(ZONE, r"\1", regex=True)
    found = pd.to_datetime(local, format="ISO8601", errors="coerce")
    if (wrong := found.isna()).any():
        line, cell = column.index[wrong][0], column[wrong].iloc[0][:SHOWN]
        raise InputError(f"{path}, line {line:,}: {column.name} is {cell!r}, no date; write dates as 2013-01-31")
    return pd.DatetimeIndex(found).as_unit("us")


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
    found = column_named(table, [name])
    if found is None:
        present = ", ".join(table.columns[:20])[:300]
        hint = suggestion(name, list(table.columns), advice)
        raise InputError(f"{path} has no column named {name}; it has {present}; {hint}")
    return found
