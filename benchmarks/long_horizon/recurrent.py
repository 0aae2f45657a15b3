"""A recurrent network for long horizons: it reads and writes days, not hours."""

from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor

from recur.layers import recurrent_stack

LEVELS = ("last", "mean")
LEAST_VARIANCE = 1e-5
"""Of a window, in units of train's: one that stands still has some."""


@keras.saving.register_keras_serializable("recur_benchmarks")
class SegmentForecaster(keras.Model):
    """Segments of a window are read in turn; from the last state every segment ahead is written by one step of its own.

    The level of a window, and where it is told so its deviation, is taken out of what is read and put into what is
    written, so that neither matters (the reversible normalisation of Kim et al. 2022). What a step writes is asked for
    by an embedding of its place and one of the series: no forecast feeds on another, so errors do not add up (Lin et
    al. 2023). All series share one network.

    Args:
        window: L, rows seen; whole segments.
        horizon: H, rows ahead.
        series: How many there are.
        segment: Rows that are read, or written, at a step.
        cell: `gru`, `lstm`, …
        units: Of the recurrent layer.
        dropout: Rate, on what is read and on what is said.
        level: What is taken out: `last`, the last value; `mean`, the mean and the deviation.

    Raises:
        ValueError: The window is not made of whole segments, or there is no such level.

    Sources:
        Lin, S., Lin, W., Wu, W., Zhao, F., Mo, R. and Zhang, H. (2023), "SegRNN: Segment Recurrent Neural Network for
        Long-Term Time Series Forecasting", arXiv:2308.11200, sections 3.2–3.4; Kim, T. et al. (2022), "Reversible
        Instance Normalization for Accurate Time-Series Forecasting against Distribution Shift", ICLR.
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        series: int = 1,
        segment: int = 24,
        cell: str = "gru",
        units: int = 128,
        dropout: float = 0.0,
        level: str = "last",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if window % segment:
            raise ValueError(f"a window of {window} rows is not made of whole segments of {segment}")
        if level not in LEVELS:
            raise ValueError(f"there is no level {level!r}; there are {', '.join(LEVELS)}")
        self.settings = {
            "window": window,
            "horizon": horizon,
            "series": series,
            "segment": segment,
            "cell": cell,
            "units": units,
            "dropout": dropout,
            "level": level,
        }
        self.ahead = -(-horizon // segment)
        self.read = keras.layers.Dense(units, activation="relu")
        self.stack = recurrent_stack(cell, units)
        self.place, self.of_series = (keras.layers.Embedding(many, units) for many in (self.ahead, series))
        self.dropout = keras.layers.Dropout(dropout)
        self.write = keras.layers.Dense(segment)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        units = self.settings["units"]
        self.read.build((None, None, self.settings["segment"]))
        self.stack.build((None, None, units))
        for embedding in (self.place, self.of_series):
            embedding.build((None,))
        self.write.build((None, units))
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Forecasts.

        Args:
            inputs: `window` float32 [N, L], oldest row first, and `series` int32 [N], which it is of.
            training: Whether dropout is active.

        Returns:
            float32 [N, H].
        """
        segment, units = self.settings["segment"], self.settings["units"]
        window = inputs["window"]
        if self.settings["level"] == "last":
            level, deviation = window[:, -1:], tf.ones_like(window[:, -1:])
        else:
            level, variance = tf.nn.moments(window, axes=[1], keepdims=True)
            deviation = tf.sqrt(variance + LEAST_VARIANCE)
        segments = tf.reshape((window - level) / deviation, [-1, self.settings["window"] // segment, segment])
        seen = self.dropout(self.read(segments), training=training)
        _, states = self.stack(seen, training=training)
        asked = self.place(tf.range(self.ahead))[None] + self.of_series(inputs["series"])[:, None]
        states = [tf.repeat(state, self.ahead, axis=0) for state in states]
        said, _ = self.stack.step(tf.reshape(asked, [-1, units]), states, training=training)
        written = self.write(self.dropout(said, training=training))
        written = tf.reshape(written, [-1, self.ahead * segment])[:, : self.settings["horizon"]]
        return written * deviation + level

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | self.settings
