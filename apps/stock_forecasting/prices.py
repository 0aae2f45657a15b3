"""Prices of one ticker, checked: what becomes of rows that are not as they should be, by one rule each, and told.

Refused are a price that is not positive, a date to come, two prices of one date, a price that never changes. Handled
are rows without a price (left out), out of order (sorted), there twice (taken once), a close outside low and high (they
are widened), a zero for what was not recorded (missing). Told, and left as they are: jumps that look like splits, long
gaps between dates.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from apps.stock_forecasting import readers
from apps.stock_forecasting.config import Group, inputs_of
from recur.errors import InputError, suggestion

ADJUSTED = ("Adj Close", "Adjusted Close")
DECLARE = "say `adjusted` if its prices are adjusted for splits and dividends, or never had any"
SPLITS = (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0)
"""New shares for an old one, or the inverse."""
SPLIT_TOLERANCE = 0.03
"""Relative; a price moves by itself, too, on the day of a split."""
LONG_GAP = 10
"""Median steps between dates."""
ROUNDING = 1e-5
"""Relative difference up to which a close is within low and high: published prices are rounded."""


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

    def columns(self, groups: Sequence[Group]) -> dict[str, np.ndarray]:
        """The columns that features are computed from.

        Args:
            groups: Which features there are to be.

        Returns:
            float32, or int32 for `day`, [rows] by name; NaN where a row lacks a high, a low or a volume.

        Raises:
            KeyError: There is no such column, or there are no dates; the message is its name.
        """
        days = {}
        if isinstance(self.table.index, pd.DatetimeIndex):
            days = {"day": (self.table.index.normalize() - pd.Timestamp(0)).days.to_numpy()}
        return {
            name: (days[name] if name == "day" else self.table[name].to_numpy()).astype(kind)
            for name, kind in inputs_of(groups).items()
        }


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
    panel = [
        _from_matrix(path, name, cells, adjusted)
        if isinstance(cells, np.ndarray)
        else _from_table(path, name, cells, date_column, value_column, adjusted, today)
        for path, name, cells in readers.read_series(source)
    ]
    wanted = tickers or [prices.name for prices in panel]
    by_name = {prices.name: prices for prices in panel}
    for name in wanted:
        if name not in by_name:
            known = ", ".join(by_name)[:300]
            raise InputError(f"{source} has no ticker {name}; {suggestion(name, by_name, f'it has {known}')}")
    return [by_name[name] for name in sorted(set(wanted))] if tickers else [by_name[name] for name in wanted]


def _from_matrix(path: Path, name: str, values: np.ndarray, adjusted: bool) -> Prices:
    if not adjusted:
        raise InputError(f"nothing says that the numbers of {path} are adjusted prices; {DECLARE}")
    table = pd.DataFrame({"close": values}, index=pd.RangeIndex(1, len(values) + 1))
    check_positive(table, f"{path}, column {name}")
    check_variation(table, f"{path}, column {name}")
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
    date = readers.required_column(table, date_column, path, "name the one with dates by `date_column`")
    declared = readers.column_named(table, ADJUSTED)
    if value_column:
        value = readers.required_column(table, value_column, path, "name the one with prices by `value_column`")
    else:
        value = declared or readers.required_column(table, "Close", path, "name the one with prices by `value_column`")
    if value != declared and not adjusted:
        raise InputError(f"nothing says that {value} of {path} is adjusted and it has no Adj Close; {DECLARE}")
    close = readers.column_named(table, ["Close"])
    columns = {"close": value, "volume": readers.column_named(table, ["Volume"])}
    # Other columns tell of the same security only where the price is one of Yahoo Finance's.
    if value not in (declared, close):
        columns["volume"] = None
    elif close is not None:
        columns |= {"raw": close} | {key: readers.column_named(table, [key]) for key in ("open", "high", "low")}
    present = {key: column for key, column in columns.items() if column is not None}
    values = pd.DataFrame(
        {key: readers.numbers(table[column], path) for key, column in present.items()}, index=table.index
    )
    return Prices(name, *checked(values, readers.times(table[date], path), str(path), today))


def checked(
    values: pd.DataFrame, times: pd.DatetimeIndex, where: str, today: pd.Timestamp | None = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Applies all rules to one table.

    Args:
        values: float64, with the line in the file as index; `close` is adjusted; perhaps `raw`, the close before that,
            with `open`, `high`, `low` beside it; perhaps `volume`. NaN is missing.
        times: Of the rows.
        where: The file, to be named.
        today: The last date there can be; the clock's by default.

    Returns:
        The table that `Prices` has, and notes.

    Raises:
        InputError: A rule refuses.
    """
    notes: list[str] = []
    _check_future(times, values.index, where, pd.Timestamp.now() if today is None else today)
    values = values.assign(time=times)
    values = _without_missing(values, notes)
    check_positive(values.drop(columns="time"), where)
    values = _unrecorded(values, notes)
    values = _in_order(values, where, notes)
    check_variation(values, where)
    table = _adjusted(values, notes).set_index("time").rename_axis(None)
    notes += _jumps(table["close"]) + _gaps(table.index)
    return table.astype(np.float64), tuple(notes)


def check_positive(values: pd.DataFrame, where: str) -> None:
    """Refuses prices that are not positive, and anything negative.

    Args:
        values: Columns of prices and volume; the index has lines of the file.
        where: The file, to be named.

    Raises:
        InputError: A close is zero, or anything is negative.
    """
    for column in values:
        wrong = values[column] <= 0 if column in ("close", "raw") else values[column] < 0
        if wrong.any():
            name = "price" if column in ("close", "raw") else column
            line, value = values.index[wrong][0], values[column][wrong].iloc[0]
            raise InputError(f"{where}, line {line:,}: the {name} is {value:g}; mend the row or take it out")


def check_variation(values: pd.DataFrame, where: str) -> None:
    """Refuses a price that never changes.

    Raises:
        InputError: There is no row, or one, or all have the same price.
    """
    if len(values) < 2:
        count = "a single price" if len(values) else "no row with a price"
        raise InputError(f"{where} has {count}; a forecast needs a history")
    if values["close"].nunique() == 1:
        raise InputError(f"{where}: all {len(values):,} prices are {values['close'].iloc[0]:g}; nothing is to forecast")


def _check_future(times: pd.DatetimeIndex, lines: pd.Index, where: str, today: pd.Timestamp) -> None:
    late = times > today + pd.Timedelta(days=1)  # it is tomorrow already further east
    if late.any():
        raise InputError(
            f"{where}, line {lines[late][0]:,}: {_day(times[late][0])} is still to come; "
            f"give prices up to {_day(today)}, or set the clock"
        )


def _without_missing(values: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    prices = [column for column in ("close", "raw") if column in values]
    missing = values[prices].isna().any(axis=1)
    if missing.any():
        first = _day(values["time"][missing].min())
        notes.append(f"left out {_rows(missing)} without a price, the first of {first}")
    return values[~missing]


def _unrecorded(values: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Yahoo Finance writes 0 where an open, high or low of early years is unknown."""
    columns = [column for column in ("open", "high", "low") if column in values]
    zero = values[columns] == 0
    if zero.any(axis=None):
        notes.append(f"took zeros of open, high and low in {_rows(zero.any(axis=1))} for missing")
        values = values.assign(**values[columns].mask(zero))
    return values


def _in_order(values: pd.DataFrame, where: str, notes: list[str]) -> pd.DataFrame:
    if not values["time"].is_monotonic_increasing:
        newest_first = values["time"].is_monotonic_decreasing
        notes.append("sorted the rows: " + ("the newest came first" if newest_first else "they were out of order"))
        values = values.sort_values("time", kind="stable")
    repeated = values["time"].duplicated(keep="first")
    if repeated.any():
        alike = values["close"].to_numpy() == values.groupby("time")["close"].transform("first").to_numpy()
        if not alike.all():
            line, time = values.index[~alike][0], values["time"][~alike].iloc[0]
            raise InputError(f"{where}, line {line:,}: {_day(time)} is there already with another price; keep one")
        notes.append(f"left out {_rows(repeated)} of a date that is there already, with the same price")
    return values[~repeated]


def _adjusted(values: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Low and high around the close, multiplied by what adjusts the close; without open and the close before that."""
    if not {"raw", "high", "low"} <= set(values):
        return values[[column for column in ("close", "volume", "time") if column in values]]
    raw, high, low = (values[column] for column in ("raw", "high", "low"))
    crossed = high < low
    if crossed.any():
        notes.append(f"took high and low for missing in {_rows(crossed)} where high is below low")
        high, low = high.mask(crossed), low.mask(crossed)
    outside = (raw > high * (1 + ROUNDING)) | (raw < low * (1 - ROUNDING))
    if outside.any():
        first = _day(values["time"][outside].iloc[0])
        notes.append(f"widened low and high to hold a close outside them in {_rows(outside)}, the first of {first}")
    factor = values["close"] / raw
    # `maximum` keeps NaN; the close itself bounds what rounding of the product might leave outside it.
    close = values["close"]
    kept = values.drop(columns=["raw", "open"], errors="ignore")
    return kept.assign(high=np.maximum(high * factor, close), low=np.minimum(low * factor, close))


def _jumps(close: pd.Series) -> list[str]:
    """Warns where a price is multiplied overnight by what a split would multiply it by."""
    ratio = close.to_numpy()[1:] / close.to_numpy()[:-1]
    nearest = np.log(np.maximum(ratio, 1 / ratio))[:, None] - np.log(SPLITS)
    jumps = np.flatnonzero(np.abs(nearest).min(axis=1) < SPLIT_TOLERANCE)
    if not len(jumps):
        return []
    first = jumps[0]
    times = f"{ratio[first]:.3g} times the price before on {_day(close.index[first + 1])}"
    more = f" and {len(jumps) - 1:,} more such jumps" if len(jumps) > 1 else ""
    return [f"warning: {times}{more}: if that is a split, the prices are not adjusted"]


def _gaps(times: pd.DatetimeIndex) -> list[str]:
    steps = np.diff(times.as_unit("us").asi8)
    longest = steps.argmax()
    if steps[longest] <= LONG_GAP * np.median(steps):
        return []
    between = f"{_day(times[longest])} to {_day(times[longest + 1])}"
    return [f"the longest gap between dates is from {between}; rows, not days, are forecast"]


def _rows(chosen: pd.Series) -> str:
    count = int(chosen.sum())
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _day(time: pd.Timestamp) -> str:
    return str(time.date()) if time == time.normalize() else str(time)
