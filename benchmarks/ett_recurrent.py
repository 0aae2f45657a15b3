"""A recurrent network for long horizons: it reads and writes days, not hours."""

from typing import Any

import keras
import tensorflow as tf

from shared.layers.builders import recurrent_stack

Tensor = Any


@keras.saving.register_keras_serializable("recur_benchmarks")
class SegmentForecaster(keras.Model):
    """Segments of a window are read in turn; from the last state every segment ahead is written by one step of its own.

    The last value of the window is subtracted from it and added to the forecast, so that its level does not matter (the
    reversible normalisation of Kim et al. 2022, without its deviation). What a step writes is asked for by an embedding
    of its place and one of the series: no forecast feeds on another, so errors do not add up (Lin et al. 2023). All
    series share one network.

    Args:
        window: L, rows seen; whole segments.
        horizon: H, rows ahead.
        series: How many there are.
        segment: Rows that are read, or written, at a step.
        cell: `gru`, `lstm`, …
        units: Of the recurrent layer.
        dropout: Rate, on what is read and on what is said.

    Raises:
        ValueError: The window is not made of whole segments.

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
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if window % segment:
            raise ValueError(f"a window of {window} rows is not made of whole segments of {segment}")
        self.settings = {
            "window": window,
            "horizon": horizon,
            "series": series,
            "segment": segment,
            "cell": cell,
            "units": units,
            "dropout": dropout,
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
        last = inputs["window"][:, -1:]
        segments = tf.reshape(inputs["window"] - last, [-1, self.settings["window"] // segment, segment])
        seen = self.dropout(self.read(segments), training=training)
        _, states = self.stack(seen, training=training)
        asked = self.place(tf.range(self.ahead))[None] + self.of_series(inputs["series"])[:, None]
        states = [tf.repeat(state, self.ahead, axis=0) for state in states]
        said, _ = self.stack.step(tf.reshape(asked, [-1, units]), states, training=training)
        written = self.write(self.dropout(said, training=training))
        return tf.reshape(written, [-1, self.ahead * segment])[:, : self.settings["horizon"]] + last

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | self.settings
