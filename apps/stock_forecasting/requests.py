"""A file of prices to a request, and quantiles to dates with intervals. Loads no TensorFlow."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from apps.stock_forecasting.config import CONFIDENCES, INPUTS, LEVELS, ForecastOptions, interval_ends
from apps.stock_forecasting.prices import Prices, read_prices
from recur.data import sources
from recur.data.caches import cache_folder
from recur.errors import InputError
from recur.files import atomically
from recur.training.application import Request, Shapes

EXAMPLE, EXAMPLE_ROWS = "IBM", 1100


def examples() -> Sequence[str]:
    """Path of a file with the newest rows of a ticker of the packaged sample, made where cached data is.

    Raises:
        InputError: The package is not installed, or there is no room for the file.
    """
    (prices,) = read_prices(sources.SAMPLE, tickers=[EXAMPLE])
    path = cache_folder() / "stocks" / f"{prices.name}.csv"
    table = prices.table.iloc[-EXAMPLE_ROWS:][["close"]].rename(columns={"close": "Adj Close"}).rename_axis("Date")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomically(path) as temporary:
            table.to_csv(temporary)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another folder: XDG_CACHE_HOME=FOLDER") from None
    return [str(path)]


def parse(inputs: Sequence[str], options: ForecastOptions, shapes: Shapes) -> Request:
    """The newest rows of files, as many as the model reads, for `serving_default` or `panel`.

    Args:
        inputs: Paths.
        options: Columns, and the ticker of a file with several.
        shapes: Of the signatures.

    Returns:
        What was parsed: of each file its path and its prices.

    Raises:
        InputError: A file cannot be read, or lacks rows or a column that the model reads.
    """
    signature = "panel" if "panel" in shapes else "serving_default"
    wanted = shapes[signature]
    window = _window(wanted)
    groups = tuple(group for group, columns in INPUTS.items() if columns.keys() <= wanted.keys())
    parsed, rows = [], []
    for path in inputs:
        prices = read_one(path, options)
        if len(prices) < window:
            raise InputError(f"{path} has {len(prices):,} rows and the model reads {window:,}; give more")
        try:
            columns = prices.columns(groups)
        except KeyError as error:
            raise InputError(f"{path} has no {error.args[0]}, which the model reads; add it") from None
        parsed.append((path, prices))
        rows.append({name: column[-window:] for name, column in columns.items()})
    arrays = {name: np.stack([columns[name] for columns in rows]) for name in wanted if name != "ticker"}
    if "ticker" in wanted:
        arrays["ticker"] = np.array([prices.name.encode() for _, prices in parsed], dtype=object)
    return Request(signature, arrays, parsed, options)


def read_one(path: str, options: ForecastOptions) -> Prices:
    """The prices of a file's one ticker, or of the one that is asked for.

    Raises:
        InputError: It has several and none is chosen, or cannot be read.
    """
    tickers = [options.ticker] if options.ticker else ()
    panel = read_prices(path, options.date_column, options.value_column, options.adjusted, tickers)
    if len(panel) > 1:
        raise InputError(f"{path} has {', '.join(prices.name for prices in panel)[:200]}; choose one with `ticker`")
    return panel[0]


def records(request: Request, outputs: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """What is said of each file.

    Returns:
        `file`, `ticker`, `last_date` and `last_close`; and for each row ahead `dates`, `median`, and `low_N` and
        `high_N` of the intervals of 50, 80 and 95 %. Dates are business days where all so far were: holidays are not
        known.

    Raises:
        InputError: The answer is no number.
    """
    answers = []
    for (path, prices), quantiles in zip(request.parsed, outputs["quantiles"], strict=True):
        if not np.isfinite(quantiles).all():
            raise InputError(f"{path} holds prices that cannot be forecast from; look for extreme values in it")
        bounds = {}
        for confidence in CONFIDENCES:
            for end, place in zip(("low", "high"), interval_ends(LEVELS, confidence), strict=True):
                bounds[f"{end}_{100 * confidence:.0f}"] = quantiles[:, place].tolist()
        answers.append(
            {
                "file": path,
                "ticker": prices.name,
                "last_date": _named(prices.table.index[-1]),
                "last_close": float(prices.table["close"].iloc[-1]),
                "dates": [_named(date) for date in dates_ahead(prices.table.index, len(quantiles))],
                "median": quantiles[:, len(LEVELS) // 2].tolist(),
                **bounds,
            }
        )
    return answers


def dates_ahead(index: pd.Index, horizon: int) -> pd.Index:
    """The rows to come: business days, or as far apart as rows usually were; numbers where rows are numbered.

    Example:
        >>> dates_ahead(pd.bdate_range("2024-01-01", "2024-01-05"), 2).strftime("%A %d").tolist()
        ['Monday 08', 'Tuesday 09']
    """
    if not isinstance(index, pd.DatetimeIndex):
        return pd.RangeIndex(index[-1] + 1, index[-1] + 1 + horizon)
    step = pd.Series(index).diff().median()
    if step == pd.Timedelta(days=1) and (index.day_of_week < 5).all():
        return pd.bdate_range(index[-1] + pd.offsets.BDay(), periods=horizon)
    return pd.DatetimeIndex([index[-1] + step * ahead for ahead in range(1, horizon + 1)])


def show(record: dict[str, Any]) -> str:
    """A table: a row a date, the median and the ends of the intervals."""
    names = ["low_95", "low_80", "low_50", "median", "high_50", "high_80", "high_95"]
    head = f"{record['ticker']}, after {record['last_date']} at {record['last_close']:.2f} ({record['file']})"
    width = max(len(str(date)) for date in record["dates"])
    lines = [head, " " * width + "".join(f"{name:>10}" for name in names)]
    for place, date in enumerate(record["dates"]):
        lines.append(f"{date!s:{width}}" + "".join(f"{record[name][place]:10.2f}" for name in names))
    return "\n".join(lines)


def warmup(shapes: Shapes) -> Mapping[str, Mapping[str, np.ndarray]]:
    """A window of prices that rise and fall, for each signature."""
    requests = {}
    for signature, inputs in shapes.items():
        window = _window(inputs)
        close = (100 + np.sin(np.arange(window, dtype=np.float32)))[None]
        usual = {"close": close, "high": close + 1, "low": close - 1, "volume": close}
        usual |= {"day": np.arange(window, dtype=np.int32)[None], "ticker": np.array([b""], dtype=object)}
        requests[signature] = {name: usual[name] for name in inputs}
    return requests


def _window(inputs: Mapping[str, tuple[int | None, ...]]) -> int:
    """How many rows a signature reads; an export has fixed it."""
    window = inputs["close"][1]
    assert window is not None
    return window


def _named(date: Any) -> Any:
    """A date as text, a time with its hour, a number as it is."""
    if not isinstance(date, pd.Timestamp):
        return int(date)
    return date.date().isoformat() if date.time() == datetime.time() else date.isoformat()
