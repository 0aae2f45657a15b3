"""Settings of stock forecasting, of its answers, and what both are about: inputs, rows ahead, levels of quantiles."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from recur.training.config import Fraction, NonNegative, Size, TrainingConfig

FEWEST_ROWS = 64
HORIZONS = (1, 5, 10, 20)
"""Rows ahead over which losses are averaged and of which is reported: a day, a week, two, and a month of trading."""
LEVELS = (0.025, *(step / 20 for step in range(1, 20)), 0.975)
"""Of the quantiles: every 5 %, and the ends of the 95 % interval; with them the 50 and 80 % intervals."""
CONFIDENCES = (0.5, 0.8, 0.95)
"""Of the intervals that are reported."""

Group = Literal["range", "volume", "calendar"]
"""Features of more than the close."""
INPUTS: dict[Group, dict[str, str]] = {
    "range": {"high": "float32", "low": "float32"},
    "volume": {"volume": "float32"},
    "calendar": {"day": "int32"},
}
"""What each group needs beside `close`: all [N, window]; `day` counts from 1970-01-01."""


def inputs_of(groups: Sequence[Group]) -> dict[str, str]:
    """The columns that features are computed from, by name, and their types."""
    return {"close": "float32"} | {name: kind for group in groups for name, kind in INPUTS[group].items()}


def reported_horizons(horizon: int) -> tuple[int, ...]:
    """Those of `HORIZONS` below the last row that is forecast, and the last.

    Example:
        >>> reported_horizons(20), reported_horizons(3)
        ((1, 5, 10, 20), (1, 3))
    """
    return (*(ahead for ahead in HORIZONS if ahead < horizon), horizon)


def interval_ends(levels: Sequence[float], confidence: float) -> tuple[int, int]:
    """Which two quantiles bound a central interval.

    Args:
        levels: [Q], of the quantiles.
        confidence: How much the interval should hold, as 0.8.

    Raises:
        ValueError: There are no such two.

    Example:
        >>> interval_ends(LEVELS, 0.95)
        (0, 20)
    """
    ends = []
    for level in ((1 - confidence) / 2, (1 + confidence) / 2):
        places = [place for place, known in enumerate(levels) if math.isclose(known, level, rel_tol=0, abs_tol=1e-6)]
        if not places:
            raise ValueError(f"an interval of {confidence:g} needs a quantile at {level:g}, there are {list(levels)}")
        ends.append(places[0])
    return ends[0], ends[1]


@dataclasses.dataclass(frozen=True)
class StockConfig(TrainingConfig):
    """Settings of the forecaster."""

    tickers: tuple[str, ...] = ()
    """Which of the source's; all by default."""
    date_column: str = "Date"
    """Column of a table that has the dates."""
    value_column: str = ""
    """Column that has the prices; by default Adj Close, or Close where there is none."""
    adjusted: bool = False
    """Prices that no column calls adjusted are adjusted for splits and dividends, or never had any."""
    test_from: str = ""
    """Date at which test begins, as 2013-01-01; by default a share of the rows is test."""
    test_fraction: Fraction = 0.15
    """Share of the rows that is test."""
    validation_fraction: Fraction = 0.08
    """Share of the rows before test that is validation: to choose weights and to calibrate by."""
    window: Annotated[int, Field(ge=FEWEST_ROWS, lt=2**31)] = 1024
    """Rows that a forecast knows of: those whose returns, seen in units of their volatility, say how it may go on."""
    read: Annotated[int, Field(ge=FEWEST_ROWS, lt=2**31)] = 256
    """Of them, how many of the last the recurrent layers read."""
    horizon: Size = 20
    """Rows ahead that are forecast, each by itself."""
    features: tuple[Group, ...] = ()
    """What is known besides the close; the export then answers the signature `panel` too."""
    ticker_units: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Width of an embedding of the ticker; 0 for one model of all tickers alike, and of those it never saw."""
    cell: Literal["lstm", "gru", "simple_rnn", "layer_norm_lstm"] = "lstm"
    """The recurrent cell."""
    units: Size = 32
    """Width of a recurrent layer."""
    layers: Size = 1
    """Recurrent layers."""
    dropout: Fraction = 0.1
    """Dropout on what the recurrent layers say, and between them."""
    members: Size = 4
    """Networks that learn side by side from weights of their own; their quantiles are averaged."""
    simulation: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the filtered historical simulation in the answer; the rest is the network's."""
    burn_in: Annotated[int, Field(ge=1, lt=2**31)] = 128
    """In training, rows that the recurrent layers read before the first from which is forecast."""
    every: Size = 4
    """In training, of the rows after that every how many-th is forecast from."""
    weighting: NonNegative = 1.0
    """Power of past volatility by which losses are divided: at 1 calm days count as much as wild ones."""
    season: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Rows after which values come again, for the seasonal naive baseline; 0 for none, as of stocks."""
    calibration: Literal["none", "split", "adaptive"] = "split"
    """Quantiles are moved by what they missed on validation; adaptive also by what they missed since, in `evaluate`."""


@dataclasses.dataclass(frozen=True)
class ForecastOptions:
    """How `predict` reads a file of prices, and what it shows."""

    ticker: str = ""
    """Which, of a file with several."""
    date_column: str = "Date"
    """Column that has the dates."""
    value_column: str = ""
    """Column that has the prices; by default Adj Close, or Close where there is none."""
    adjusted: bool = False
    """The prices are adjusted for splits and dividends, or never had any, where no column says so."""
