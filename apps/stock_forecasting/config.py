"""Settings of stock forecasting."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from recur.training.application import PresetName
from recur.training.config import Fraction, NonNegative, Size, TrainingConfig

FEWEST_ROWS = 64
HORIZONS = (1, 5, 10, 20)
"""Rows ahead over which losses are averaged and of which is reported: a day, a week, two, and a month of trading."""


def reported_horizons(horizon: int) -> tuple[int, ...]:
    """Those of `HORIZONS` below the last row that is forecast, and the last.

    Example:
        >>> reported_horizons(20), reported_horizons(3)
        ((1, 5, 10, 20), (1, 3))
    """
    return (*(each for each in HORIZONS if each < horizon), horizon)


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
    features: tuple[Literal["range", "volume", "calendar"], ...] = ()
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


PRESETS: Mapping[PresetName, StockConfig] = {
    "quick": StockConfig(
        epochs=4,
        steps_per_epoch=16,
        batch_size=8,
        learning_rate=3e-3,
        warmup_steps=10,
        window=512,
        members=1,
        ema_momentum=0.9,
    ),
    "default": StockConfig(epochs=12, batch_size=32, learning_rate=3e-3, warmup_steps=50, ema_momentum=0.99),
    "best": StockConfig(epochs=12, batch_size=32, learning_rate=3e-3, warmup_steps=50, ema_momentum=0.99, members=10),
}
