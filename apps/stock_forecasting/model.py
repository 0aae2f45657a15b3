"""The forecaster: windows of prices in, quantiles of the returns to come out."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.stock_forecasting.config import reported_horizons
from apps.stock_forecasting.features import REACH, feature_names, features_of, inputs_of, recent_volatility
from apps.stock_forecasting.filtered_simulation import simulate
from apps.stock_forecasting.metrics import LEVELS
from apps.stock_forecasting.quantile_head import QuantileHead
from recur.layers import recurrent_stack

Tensor = Any
PERCENT = 100.0
"""The model speaks of returns in percent, so that losses are numbers of about 1."""


@keras.saving.register_keras_serializable("recur")
class QuantileForecaster(keras.Model):
    """Features of the window, recurrent layers, quantiles that cannot cross; several such networks side by side.

    The level of prices goes out with their ratios, and comes back when quantiles of returns become prices; volatility
    goes out with the unit in which quantiles are said, and comes back in it. What is answered is the mean of the
    quantiles of a network and of a filtered historical simulation of the window, which knows one ticker well where the
    network knows all (Lichtendahl et al. 2013, "Is It Better to Average Probabilities or Quantiles?"). Members begin
    from weights of their own and learn from losses of their own; theirs are averaged too.

    Args:
        horizon: H, rows ahead.
        groups: Features besides those of the close.
        tickers: How many there are, if they are told apart.
        ticker_units: Width of their embedding; 0 for none.
        cell: `lstm`, `gru`, …
        units: Width of a recurrent layer.
        layers: Recurrent layers.
        dropout: Rate on what recurrent layers say, and between them.
        members: How many networks.
        read: Rows of the window that recurrent layers read, the last ones.
        simulation: Share of the simulation in the mean.
        mean: Of each feature in train; 0 by default.
        variance: Of each feature in train; 1 by default.
    """

    def __init__(
        self,
        horizon: int,
        groups: Sequence[str] = (),
        tickers: int = 0,
        ticker_units: int = 0,
        cell: str = "lstm",
        units: int = 32,
        layers: int = 1,
        dropout: float = 0.0,
        members: int = 1,
        read: int = 256,
        simulation: float = 0.0,
        mean: Sequence[float] = (),
        variance: Sequence[float] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "horizon": horizon,
            "groups": tuple(groups),
            "tickers": tickers,
            "ticker_units": ticker_units,
            "cell": cell,
            "units": units,
            "layers": layers,
            "dropout": dropout,
            "members": members,
            "read": read,
            "simulation": simulation,
            "mean": list(mean),
            "variance": list(variance),
        }
        self.groups, self.features = tuple(groups), len(feature_names(groups))
        self.mean = np.array(mean or np.zeros(self.features), np.float32)
        self.deviation = np.sqrt(np.array(variance or np.ones(self.features), np.float32))
        self.ticker_embedding = keras.layers.Embedding(tickers + 1, ticker_units) if ticker_units else None
        self.stacks = [recurrent_stack(cell, units, layers, dropout=dropout) for _ in range(members)]
        self.dropout = keras.layers.Dropout(dropout)
        self.heads = [QuantileHead(horizon, LEVELS) for _ in range(members)]

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        width = self.features + self.settings["ticker_units"]
        if self.ticker_embedding is not None:
            self.ticker_embedding.build((None,))
        for stack, head in zip(self.stacks, self.heads, strict=True):
            stack.build((None, None, width))
            head.build([(None, None, self.settings["units"]), (None, None, width)])
        self.built = True

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> Tensor:
        """Quantiles of cumulative log returns in percent, as seen from some rows of each window.

        Args:
            inputs: What `features.inputs_of` names, [N, window] each; with an embedding `ticker` int32 [N], 0 for one
                that is not known. In training windows may be as short as `REACH + read`, with `origins` int32 [N, P],
                the rows to forecast from, counted from the first that is read, and `simulated` float32 [N, P, A, Q],
                what the simulation says there; elsewhere it is from the last row, and simulated here.
            training: Whether dropout is active and members answer for themselves.

        Returns:
            float32 [N, P, H, Q, members] in training, elsewhere the mean [N, P, H, Q, 1]; P is 1 without `origins`.
        """
        needed = REACH + self.settings["read"] - 1
        features = features_of({name: inputs[name][:, -needed:] for name in inputs_of(self.groups)}, self.groups)
        features = features[:, -self.settings["read"] :]
        seen = (features - self.mean) / self.deviation
        if self.ticker_embedding is not None:
            embedded = self.ticker_embedding(inputs["ticker"])[:, None]
            seen = tf.concat([seen, tf.repeat(embedded, tf.shape(seen)[1], axis=1)], axis=-1)
        log_scale, rows = recent_volatility(features), inputs.get("origins")
        found = []
        for stack, head in zip(self.stacks, self.heads, strict=True):
            said, _ = stack(seen, training=training)
            state, direct, scale = (_at(each, rows) for each in (said, seen, log_scale))
            found.append(head([self.dropout(state, training=training), direct], log_scale=scale))
        quantiles = tf.stack(found, axis=-1)
        if not training:
            quantiles = tf.reduce_mean(quantiles, axis=-1, keepdims=True)
        if share := self.settings["simulation"]:
            simulated = inputs["simulated"] if "simulated" in inputs else self.simulated(inputs["close"])[:, None]
            quantiles = (1 - share) * quantiles + share * self.at_every_row_ahead(simulated)[..., None]
        return PERCENT * quantiles

    def simulated(self, close: Tensor) -> Tensor:
        """What the filtered historical simulation says of windows [N, window]: [N, A, Q], A rows ahead as reported."""
        return simulate(close, reported_horizons(self.settings["horizon"]), LEVELS)

    def at_every_row_ahead(self, simulated: Tensor) -> Tensor:
        """Quantiles [N, P, A, Q] at all H rows ahead, [N, P, H, Q]: linear in between once divided by the root."""
        apart = np.array(reported_horizons(self.settings["horizon"]), float)
        ahead = np.arange(1, self.settings["horizon"] + 1)
        weights = np.array([np.interp(ahead, apart, unit) for unit in np.eye(len(apart))])  # [A, H]
        weights *= np.sqrt(ahead[None] / apart[:, None])
        return tf.einsum("npaq,ah->nphq", simulated, tf.constant(weights, simulated.dtype))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | self.settings


def _at(values: Tensor, rows: Tensor | None) -> Tensor:
    """Rows [N, P] of values [N, window, …]; the last without rows."""
    return values[:, -1:] if rows is None else tf.gather(values, rows, batch_dims=1)
