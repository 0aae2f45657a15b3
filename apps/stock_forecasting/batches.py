"""Windows of prices with the returns that followed, to learn from and to validate on."""

import dataclasses
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf
import tqdm

from apps.stock_forecasting.config import LEVELS, StockConfig, inputs_of, reported_horizons
from apps.stock_forecasting.data import Corpus, Origins
from apps.stock_forecasting.features import FLOOR, REACH, USUAL_SPAN
from apps.stock_forecasting.filtered_simulation import simulate
from apps.stock_forecasting.model import PERCENT
from apps.stock_forecasting.prices import Prices
from recur.data.pipeline import endless, in_order, once
from recur.errors import InputError
from recur.training.task import Datasets

EVALUATION_BATCH = 256
VALIDATION_EVERY = 4
"""Of validation's rows after each epoch every how many-th is forecast from: returns overlap, so the rest add little."""
UNKNOWN_SHARE = 0.1
"""Of examples whose ticker is withheld, so that one that is not known can be answered too."""

Batch = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Series:
    """One ticker, as windows are cut out of it.

    Attributes:
        number: Of the ticker, from 1.
        columns: What `inputs_of` names, [rows] each.
        log_close: float64 [rows].
        weights: float32 [rows], what a loss counts for: 1 where volatility was 1 % a row, less where it was more.
    """

    number: int
    columns: dict[str, np.ndarray]
    log_close: np.ndarray
    weights: np.ndarray


def targets(log_prices: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    """What is forecast: cumulative log returns from each origin on.

    Args:
        log_prices: float [rows].
        origins: int [...].
        horizon: H, how many rows ahead.

    Returns:
        The same type [..., H]; at 0 the return of the row after the origin.

    Raises:
        ValueError: There are fewer rows after an origin.
    """
    log_prices, origins = np.asarray(log_prices), np.asarray(origins)
    if origins.size and (origins.min() < 0 or origins.max() + horizon >= len(log_prices)):
        raise ValueError(f"need {horizon} rows after origins up to {origins.max()}, there are {len(log_prices)} in all")
    return log_prices[origins[..., None] + np.arange(1, horizon + 1)] - log_prices[origins][..., None]


def series_of(number: int, prices: Prices, config: StockConfig) -> Series:
    """Columns and weights of a ticker.

    Raises:
        InputError: It lacks a column that the features need.
    """
    try:
        columns = prices.columns(config.features)
    except KeyError as error:
        missing = "dates" if error.args[0] == "day" else error.args[0]
        raise InputError(
            f"{prices.name} has no {missing}; give data that does, or leave it out of `features`"
        ) from None
    returns = pd.Series(np.diff(prices.log_close, prepend=prices.log_close[0]))
    usual = np.sqrt((returns**2).rolling(USUAL_SPAN, min_periods=1).mean().to_numpy())
    weights = (np.maximum(usual, FLOOR) * PERCENT) ** -config.weighting
    return Series(number, columns, prices.log_close, weights.astype(np.float32))


def all_series(corpus: Corpus, config: StockConfig) -> list[Series]:
    """Those of the panel, numbered from 1; raises as `series_of` does."""
    return [series_of(number, prices, config) for number, prices in enumerate(corpus.panel, 1)]


def windows_of(series: Series, ends: np.ndarray, window: int) -> dict[str, np.ndarray]:
    """The columns of the rows up to each end, [ends, window], oldest row first, and the ticker's number [ends]."""
    rows = np.asarray(ends)[:, None] + np.arange(1 - window, 1)
    columns = {name: column[rows] for name, column in series.columns.items()}
    return columns | {"ticker": np.full(len(rows), series.number, np.int32)}


def stock_datasets(corpus: Corpus, config: StockConfig) -> Datasets:
    """Train in segments of every ticker, cut anew each pass; validation from every fourth row."""
    every = all_series(corpus, config)
    return Datasets(
        train=train_batches(every, corpus.train, config),
        steps_per_pass=steps_per_pass(corpus, config),
        validation=validation_batches(every, corpus.validation, config),
    )


def steps_per_pass(corpus: Corpus, config: StockConfig) -> int:
    """Batches in one pass over train.

    Raises:
        InputError: There are fewer segments than a batch has.
    """
    batches = sum(segments_of(rows, config) for rows in corpus.train) // config.batch_size
    if not batches:
        raise InputError(
            f"{corpus.source} gives {sum(map(len, corpus.train)):,} rows to train on, and a batch takes "
            f"{config.batch_size} segments of {segment_rows(config)}; give more rows, or lower `batch_size` or `window`"
        )
    return batches


def simulate_all(every: Sequence[Series], origins: Origins, config: StockConfig) -> list[np.ndarray]:
    """What the simulation says at every origin, which training would else compute anew in every pass.

    Returns:
        For each ticker float32 [origins, A, Q], of log returns; A is 0 where the simulation has no share.
    """
    horizons = reported_horizons(config.horizon)
    if not config.simulation:
        return [np.zeros((len(rows), 0, len(LEVELS)), np.float32) for rows in origins]
    spec = tf.TensorSpec([None, config.window], tf.float32)
    call = tf.function(lambda close: simulate(close, horizons, LEVELS), input_signature=[spec])
    of_tickers = []
    with tqdm.tqdm(total=sum(map(len, origins)), desc="simulating", file=sys.stderr, delay=2, disable=None) as bar:
        for series, rows in zip(every, origins, strict=True):
            own = np.empty((len(rows), len(horizons), len(LEVELS)), np.float32)
            for begin in range(0, len(rows), EVALUATION_BATCH):
                some = slice(begin, begin + EVALUATION_BATCH)
                own[some] = call(windows_of(series, rows[some], config.window)["close"]).numpy()
                bar.update(len(rows[some]))
            of_tickers.append(own)
    return of_tickers


def segment_rows(config: StockConfig) -> int:
    """Rows of a ticker that one example of training covers."""
    return max(1, config.read - config.burn_in)


def segments_of(rows: np.ndarray, config: StockConfig) -> int:
    """How many examples a pass makes of a ticker's origins."""
    return max(1, len(rows) // segment_rows(config)) if len(rows) else 0


def train_batches(every: Sequence[Series], origins: Origins, config: StockConfig) -> Callable[[int], tf.data.Dataset]:
    """Endless batches from a step on, a function of the step and the seed.

    In a pass the origins of a ticker are divided into segments that begin at a place of their own; an example ends with
    a segment, and is forecast from every `config.every`-th row of it.
    """
    simulated, steps = simulate_all(every, origins, config), segment_rows(config)

    def plan(turn: int) -> list[np.ndarray]:
        """Of each example its ticker's place, the last row of its segment, rows before that, whether it is withheld."""
        random = np.random.default_rng([config.seed, turn])
        segments: list[tuple[int, int]] = []
        for ticker, rows in enumerate(origins):
            count = segments_of(rows, config)
            begin = int(random.integers(max(0, len(rows) - count * steps) + 1))
            segments += [(ticker, min(begin + steps * (place + 1), len(rows)) - 1) for place in range(count)]
        random.shuffle(segments)
        shifts = random.integers(config.every, size=len(segments))
        withheld = random.random(len(segments)) < UNKNOWN_SHARE
        examples = np.column_stack([np.array(segments), shifts, withheld])
        return in_order(examples, config.batch_size)[: len(segments) // config.batch_size]

    def example(ticker: int, end: int, shift: int, withheld: int) -> Batch:
        """The rows up to an origin, with what came after it and some before it; a row that is none counts nothing."""
        series, rows = every[ticker], origins[ticker]
        chosen = end - shift - config.every * np.arange(origins_in(config) - 1, -1, -1)
        counts = (chosen >= 0).astype(np.float32)
        chosen = np.maximum(chosen, 0)
        inputs = {name: values[0] for name, values in windows_of(series, rows[[end]], seen_rows(config)).items()}
        places = np.maximum(config.read - 1 - (rows[end] - rows[chosen]), 0)
        inputs |= {"origins": places.astype(np.int32), "simulated": simulated[ticker][chosen]}
        inputs["ticker"] *= 1 - withheld  # 0 is one that is not known
        wanted = targets(series.log_close, rows[chosen], config.horizon) * PERCENT
        return inputs, wanted.astype(np.float32), series.weights[rows[chosen]] * counts

    def batch(examples: np.ndarray, step: int) -> Batch:
        inputs, wanted, weights = zip(*(example(*row) for row in examples.tolist()), strict=True)
        columns = {name: np.stack([columns[name] for columns in inputs]) for name in inputs[0]}
        return columns, np.stack(wanted), np.stack(weights)

    return endless(plan, batch, _signature(config, config.batch_size, training=True))


def origins_in(config: StockConfig) -> int:
    """How many rows of a segment are forecast from."""
    return max(1, segment_rows(config) // config.every)


def seen_rows(config: StockConfig) -> int:
    """Rows of an example: what the recurrent layers read, and what the first features of that look back over."""
    return min(config.window, config.read + REACH - 1)


def validation_batches(every: Sequence[Series], origins: Origins, config: StockConfig) -> tf.data.Dataset:
    """Validation in order, seen from the last row of each window, all rows counting the same."""
    plan = [
        np.column_stack([np.full(len(rows), ticker), rows])
        for ticker, chosen in enumerate(origins)
        for rows in in_order(chosen[::VALIDATION_EVERY], EVALUATION_BATCH)
    ]

    def batch(examples: np.ndarray) -> Batch:
        series, rows = every[examples[0, 0]], examples[:, 1]
        wanted = targets(series.log_close, rows[:, None], config.horizon) * PERCENT
        return windows_of(series, rows, config.window), wanted.astype(np.float32), np.ones((len(rows), 1), np.float32)

    return once(plan, batch, _signature(config, None, training=False))


def _signature(config: StockConfig, batch: int | None, training: bool) -> tuple:
    rows, number = (seen_rows(config), origins_in(config)) if training else (config.window, 1)
    inputs = {name: tf.TensorSpec([batch, rows], dtype) for name, dtype in inputs_of(config.features).items()}
    inputs["ticker"] = tf.TensorSpec([batch], tf.int32)
    if training:
        apart = len(reported_horizons(config.horizon)) if config.simulation else 0
        inputs["origins"] = tf.TensorSpec([batch, number], tf.int32)
        inputs["simulated"] = tf.TensorSpec([batch, number, apart, len(LEVELS)], tf.float32)
    wanted = tf.TensorSpec([batch, number, config.horizon], tf.float32)
    return inputs, wanted, tf.TensorSpec([batch, number], tf.float32)
