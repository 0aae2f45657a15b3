"""Prices of a panel of tickers, and which rows forecasts are made from: train, validation and test, by time."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from apps.stock_forecasting.config import StockConfig
from apps.stock_forecasting.prices import Prices, read_prices
from recur.data import sources
from recur.errors import InputError

Origins = tuple[np.ndarray, ...]
"""For each ticker int64 [origins], the rows that forecasts are made from: the last row that they may know of."""
Time: TypeAlias = pd.Timestamp | int


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Prices, and origins in three parts.

    Every origin has `window` rows up to it, itself included, and `horizon` rows after it. Train's targets end before
    validation begins, and validation's before test does, for all tickers: between two parts lies one horizon of rows
    that are no origins.

    Attributes:
        source: What it was read from.
        fingerprint: A digest of all prices as they are divided.
        panel: The tickers, each with a calendar of its own.
        train: To fit on.
        validation: To choose and to calibrate by.
        test: For `evaluate` alone.
        validation_from: The first date, or row where there are none, of validation.
        test_from: The same of test.
        notes: Lines to tell the user.
    """

    source: str
    fingerprint: str
    panel: tuple[Prices, ...]
    train: Origins
    validation: Origins
    test: Origins
    validation_from: Time
    test_from: Time
    notes: tuple[str, ...]


def read_corpus(source: str, config: StockConfig) -> Corpus:
    """Reads prices and divides them by time, at the same dates for all tickers.

    Args:
        source: As `read_prices` has it.
        config: Which columns and tickers; window and horizon; which shares of the rows, those of all tickers together,
            or from which date on, are held out.

    Raises:
        InputError: The source is missing or unreadable, a rule refuses its rows, or a part has no origin.
    """
    window, horizon = config.window, config.horizon
    panel = read_prices(source, config.date_column, config.value_column, config.adjusted, config.tickers)
    boundaries = _boundaries(source, panel, config)
    notes = [note if len(panel) == 1 else f"{prices.name}: {note}" for prices in panel for note in prices.notes]
    kept, divided = [], []
    for prices in panel:
        parts = divide(prices.table.index, window, horizon, *boundaries)
        if reason := _unfit(prices, parts, window, horizon):
            notes.append(f"{prices.name}: left out, for {reason}")
        else:
            kept.append(prices)
            divided.append(parts)
    if not kept:
        ticker, reason = notes[-1].split(": left out, for ")
        raise InputError(f"{source} cannot be divided: {ticker}: {reason}; give more rows, or a shorter window")
    train, validation, test = zip(*divided, strict=True)
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        if not sum(map(len, part)):
            raise InputError(
                f"{source} has no origin for {name}, with {window} rows up to it and {horizon} after it: {name} "
                f"{_span(name, *boundaries)}; give more rows, another `test_from`, or a shorter window or horizon"
            )
    notes += _calendars(kept)
    contents = (b for prices in kept for b in (prices.name, *_bytes(prices.table)))
    fingerprint = sources.fingerprint([*contents, *(o.tobytes() for part in (train, validation, test) for o in part)])
    return Corpus(source, fingerprint, tuple(kept), train, validation, test, *boundaries, tuple(notes))


def divide(
    index: pd.Index, window: int, horizon: int, validation_from: Time, test_from: Time
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The origins of one ticker.

    Args:
        index: Dates, or numbers of rows.
        window: Rows up to an origin, itself included.
        horizon: Rows after it.
        validation_from: The first date of validation.
        test_from: The first date of test.

    Returns:
        int64 arrays for train, validation and test.

    Example:
        >>> [part.tolist() for part in divide(pd.RangeIndex(12), 3, 2, 6, 9)]
        [[2, 3], [6], [9]]
    """
    first, rows = window - 1, len(index)
    validation, test = (int(index.searchsorted(time)) for time in (validation_from, test_from))

    def origins(start: int, end: int) -> np.ndarray:
        return np.arange(start, max(start, end - horizon))

    return origins(first, validation), origins(max(first, validation), test), origins(max(first, test), rows)


def _boundaries(source: str, panel: list[Prices], config: StockConfig) -> tuple[Time, Time]:
    """Where validation and test begin."""
    validation_fraction, test_fraction, test_from = config.validation_fraction, config.test_fraction, config.test_from
    if not 0 < validation_fraction < 1 or not 0 < test_fraction < 1:
        shares = f"{validation_fraction:g} and {test_fraction:g}"
        raise InputError(f"{shares} of the rows cannot be held out; give shares between 0 and 1")
    dated = panel[0].dated
    every = np.sort(np.concatenate([prices.table.index.to_numpy() for prices in panel]))
    if not test_from:
        test = every[int(len(every) * (1 - test_fraction))]
    elif not dated:
        raise InputError(f"{source} has no dates for `test_from` {test_from}; give `test_fraction` instead")
    else:
        try:
            test = pd.Timestamp(test_from).tz_localize(None).to_datetime64()
        except ValueError:
            raise InputError(f"`test_from` {test_from!r} is no date; write it as 2013-01-31") from None
    before = every[every < test]
    if not len(before) or len(before) == len(every):
        begins, ends = (_shown(time, dated) for time in (every[0], every[-1]))
        raise InputError(f"{source} goes from {begins} to {ends}; test cannot begin at {_shown(test, dated)}")
    validation = before[int(len(before) * (1 - validation_fraction))]
    return (pd.Timestamp(validation), pd.Timestamp(test)) if dated else (int(validation), int(test))


def _shown(time: np.datetime64 | np.integer, dated: bool) -> str:
    return str(pd.Timestamp(time).date()) if dated else f"row {time:,}"


def _unfit(prices: Prices, parts: Sequence[np.ndarray], window: int, horizon: int) -> str:
    """Why a ticker cannot be used, or nothing. One that ends before test does is used: those that failed count, too."""
    if len(prices) < window + horizon:
        return f"it has {len(prices):,} rows and window + horizon needs {window + horizon:,}"
    if not len(parts[0]):
        return f"no origin of it is in train, with {window} rows up to it and {horizon} after it"
    return ""


def _span(name: str, validation_from: Time, test_from: Time) -> str:
    first, last = (time.date() if isinstance(time, pd.Timestamp) else time for time in (validation_from, test_from))
    return {"train": f"ends before {first}", "validation": f"goes from {first} to {last}", "test": f"begins at {last}"}[
        name
    ]


def _calendars(panel: Sequence[Prices]) -> list[str]:
    """Says so where tickers do not share their dates."""
    if len({prices.table.index.to_numpy().tobytes() for prices in panel}) < 2:
        return []
    begins, ends = [{prices.table.index[end] for prices in panel} for end in (0, -1)]
    spans = f"they begin from {min(begins).date()} to {max(begins).date()} and end by {max(ends).date()}"
    return [f"the {len(panel)} tickers keep calendars of their own: {spans}"]


def _bytes(table: pd.DataFrame) -> Iterator[str | bytes]:
    """All that a table says."""
    yield table.index.to_numpy().tobytes()
    for name in table:
        yield name
        yield table[name].to_numpy().tobytes()
