"""A file of prices to a request, and quantiles to dates with intervals."""

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from apps.stock_forecasting import coverage
from apps.stock_forecasting.features import columns_of
from apps.stock_forecasting.metrics import LEVELS
from apps.stock_forecasting.prices import Prices, read_prices
from recur.data import sources
from recur.data.caches import cache_folder
from recur.errors import InputError
from recur.files import atomically
from recur.training.task import Shapes

if TYPE_CHECKING:
    from apps.stock_forecasting.application import ForecastOptions

EXAMPLE, EXAMPLE_ROWS = "IBM", 1100


def request(inputs: Sequence[str], options: "ForecastOptions", shapes: Shapes) -> tuple[str, Mapping[str, np.ndarray]]:
    """The newest rows of files, as many as the model reads.

    Args:
        inputs: Paths.
        options: Columns, and the ticker of a file with several.
        shapes: Of the signatures.

    Raises:
        InputError: A file cannot be read, or lacks rows or a column that the model reads.
    """
    signature = "panel" if "panel" in shapes else "serving_default"
    window = shapes[signature]["close"][1]
    groups = tuple(
        group
        for group, name in (("range", "high"), ("volume", "volume"), ("calendar", "day"))
        if name in shapes[signature]
    )
    rows: dict[str, list[np.ndarray]] = {name: [] for name in shapes[signature]}
    for path in inputs:
        prices = read_one(path, options)
        if len(prices) < window:
            raise InputError(f"{path} has {len(prices):,} rows and the model reads {window:,}; give more")
        try:
            columns = columns_of(prices.table.iloc[-window:], groups)
        except KeyError as error:
            raise InputError(f"{path} has no {error.args[0]}, which the model reads; add it") from None
        for name in rows:
            rows[name].append(np.bytes_(prices.name.encode()) if name == "ticker" else columns[name])
    return signature, {
        name: np.array(values, dtype=object) if name == "ticker" else np.stack(values) for name, values in rows.items()
    }


def read_one(path: str, options: "ForecastOptions") -> Prices:
    """The prices of a file's one ticker, or of the one that is asked for.

    Raises:
        InputError: It has several and none is chosen, or cannot be read.
    """
    tickers = [options.ticker] if options.ticker else ()
    found = read_prices(path, options.date_column, options.value_column, options.adjusted, tickers)
    if len(found) > 1:
        raise InputError(f"{path} has {', '.join(each.name for each in found)[:200]}; choose one with --ticker")
    return found[0]


def records(
    inputs: Sequence[str], outputs: Mapping[str, np.ndarray], options: "ForecastOptions"
) -> list[dict[str, Any]]:
    """What is said of each file.

    Returns:
        `file`, `ticker`, `last_date` and `last_close`; and for each row ahead `dates`, `median`, and `low_N` and
        `high_N` of the intervals of 50, 80 and 95 %. Dates are business days where
        all so far were: holidays are not known.

    Raises:
        InputError: The answer is no number.
    """
    answers = []
    for path, quantiles in zip(inputs, outputs["quantiles"], strict=True):
        prices = read_one(path, options)
        if not np.isfinite(quantiles).all():
            raise InputError(f"{path} holds prices that cannot be forecast from; look for extreme values in it")
        bounds = {}
        for confidence in coverage.CONFIDENCES:
            low, high = coverage.interval(quantiles, LEVELS, confidence)
            bounds |= {f"low_{100 * confidence:.0f}": low.tolist(), f"high_{100 * confidence:.0f}": high.tolist()}
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


def shown(answer: Mapping[str, Any]) -> str:
    """A table: a row a date, the median and the ends of the intervals."""
    names = ["low_95", "low_80", "low_50", "median", "high_50", "high_80", "high_95"]
    head = f"{answer['ticker']}, after {answer['last_date']} at {answer['last_close']:.2f} ({answer['file']})"
    width = max(len(str(date)) for date in answer["dates"])
    lines = [head, " " * width + "".join(f"{name:>10}" for name in names)]
    for place, date in enumerate(answer["dates"]):
        lines.append(f"{date!s:{width}}" + "".join(f"{answer[name][place]:10.2f}" for name in names))
    return "\n".join(lines)


def example_file() -> str:
    """A file with the newest rows of the packaged sample, made where cached data is.

    Raises:
        InputError: The package is not installed, or there is no room for it.
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
    return str(path)


def warmup_requests(shapes: Shapes) -> dict[str, dict[str, np.ndarray]]:
    """A window of prices that rise and fall, for each signature."""
    requests = {}
    for signature, inputs in shapes.items():
        window = inputs["close"][1]
        close = (100 + np.sin(np.arange(window, dtype=np.float32)))[None]
        usual = {"close": close, "high": close + 1, "low": close - 1, "volume": close}
        usual |= {"day": np.arange(window, dtype=np.int32)[None], "ticker": np.array([b""], dtype=object)}
        requests[signature] = {name: usual[name] for name in inputs}
    return requests


def _named(date: Any) -> Any:
    """A date as text, a time with its hour, a number as it is."""
    if not isinstance(date, pd.Timestamp):
        return int(date)
    return date.date().isoformat() if date.time() == datetime.time() else date.isoformat()
