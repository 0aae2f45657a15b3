"""The forecaster: windows of prices in, quantiles of the returns to come out; and the loss that it learns by."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import scipy.special
import tensorflow as tf
from tensorflow import Tensor

from apps.stock_forecasting.config import LEVELS, StockConfig, inputs_of, reported_horizons
from apps.stock_forecasting.features import REACH, feature_names, features_of, recent_volatility
from apps.stock_forecasting.filtered_simulation import simulate
from recur.layers.builders import recurrent_stack
from recur.training.model import ConfiguredModel

PERCENT = 100.0
"""The model speaks of returns in percent, so that losses are numbers of about 1."""


@keras.saving.register_keras_serializable("recur")
class QuantileForecaster(ConfiguredModel[StockConfig]):
    """Features of the window, recurrent layers, quantiles that cannot cross; several such networks side by side.

    The level of prices goes out with their ratios, and comes back when quantiles of returns become prices; volatility
    goes out with the unit in which quantiles are said, and comes back in it. What is answered is the mean of the
    quantiles of a network and of a filtered historical simulation of the window, which knows one ticker well where the
    network knows all (Lichtendahl et al. 2013, "Is It Better to Average Probabilities or Quantiles?"). Members begin
    from weights of their own and learn from losses of their own; theirs are averaged too.

    Args:
        config: Its hyperparameters.
        tickers: How many there are, if they are told apart.
        mean: Of each feature in train; 0 by default.
        variance: Of each feature in train; 1 by default.
    """

    config_type = StockConfig
    renamed: ClassVar[Mapping[str, str]] = {"groups": "features"}

    def __init__(
        self,
        config: StockConfig | None = None,
        *,
        tickers: int = 0,
        mean: Sequence[float] = (),
        variance: Sequence[float] = (),
        **settings: Any,
    ):
        super().__init__(config, {"tickers": tickers, "mean": list(mean), "variance": list(variance)}, **settings)
        config = self.config
        features = len(feature_names(config.features))
        self.mean = np.array(mean or np.zeros(features), np.float32)
        self.deviation = np.sqrt(np.array(variance or np.ones(features), np.float32))
        embedded = config.ticker_units > 0
        self.ticker_embedding = keras.layers.Embedding(tickers + 1, config.ticker_units) if embedded else None
        members = range(config.members)
        self.stacks = [
            recurrent_stack(config.cell, config.units, config.layers, dropout=config.dropout) for _ in members
        ]
        self.dropout = keras.layers.Dropout(config.dropout)
        self.heads = [QuantileHead(config.horizon, LEVELS) for _ in members]

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers."""
        width = len(self.mean) + self.config.ticker_units
        if self.ticker_embedding is not None:
            self.ticker_embedding.build((None,))
        for stack, head in zip(self.stacks, self.heads, strict=True):
            stack.build((None, None, width))
            head.build([(None, None, self.config.units), (None, None, width)])
        self.built = True

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> Tensor:
        """Quantiles of cumulative log returns in percent, as seen from some rows of each window.

        Args:
            inputs: What `config.inputs_of` names, [N, window] each; with an embedding `ticker` int32 [N], 0 for one
                that is not known. In training windows may be as short as `REACH + read`, with `origins` int32 [N, P],
                the rows to forecast from, counted from the first that is read, and `simulated` float32 [N, P, A, Q],
                what the simulation says there; elsewhere it is from the last row, and simulated here.
            training: Whether dropout is active and members answer for themselves.

        Returns:
            float32 [N, P, H, Q, members] in training, elsewhere the mean [N, P, H, Q, 1]; P is 1 without `origins`.
        """
        read, groups = self.config.read, self.config.features
        needed = REACH + read - 1
        features = features_of({name: inputs[name][:, -needed:] for name in inputs_of(groups)}, groups)[:, -read:]
        seen = (features - self.mean) / self.deviation
        if self.ticker_embedding is not None:
            embedded = self.ticker_embedding(inputs["ticker"])[:, None]
            seen = tf.concat([seen, tf.repeat(embedded, tf.shape(seen)[1], axis=1)], axis=-1)
        log_scale, rows = recent_volatility(features), inputs.get("origins")
        of_members = []
        for stack, head in zip(self.stacks, self.heads, strict=True):
            said, _ = stack(seen, training=training)
            state, direct, scale = (_at(values, rows) for values in (said, seen, log_scale))
            of_members.append(head([self.dropout(state, training=training), direct], log_scale=scale))
        quantiles = tf.stack(of_members, axis=-1)
        if not training:
            quantiles = tf.reduce_mean(quantiles, axis=-1, keepdims=True)
        if share := self.config.simulation:
            simulated = inputs["simulated"] if "simulated" in inputs else self.simulated(inputs["close"])[:, None]
            quantiles = (1 - share) * quantiles + share * self.at_every_row_ahead(simulated)[..., None]
        return PERCENT * quantiles

    def simulated(self, close: Tensor) -> Tensor:
        """What the filtered historical simulation says of windows [N, window]: [N, A, Q], A rows ahead as reported."""
        return simulate(close, reported_horizons(self.config.horizon), LEVELS)

    def at_every_row_ahead(self, simulated: Tensor) -> Tensor:
        """Quantiles [N, P, A, Q] at all H rows ahead, [N, P, H, Q]: linear in between once divided by the root."""
        apart = np.array(reported_horizons(self.config.horizon), float)
        ahead = np.arange(1, self.config.horizon + 1)
        weights = np.array([np.interp(ahead, apart, unit) for unit in np.eye(len(apart))])  # [A, H]
        weights *= np.sqrt(ahead[None] / apart[:, None])
        return tf.einsum("npaq,ah->nphq", simulated, tf.constant(weights, simulated.dtype))

    def get_config(self) -> dict[str, Any]:
        """As of every configured model; `tickers` is how many there are, not the setting that names them."""
        return super().get_config() | self.sizes


def _at(values: Tensor, rows: Tensor | None) -> Tensor:
    """Rows [N, P] of values [N, window, …]; the last without rows."""
    return values[:, -1:] if rows is None else tf.gather(values, rows, batch_dims=1)


@keras.saving.register_keras_serializable("recur")
class QuantileHead(keras.layers.Layer):
    """From a state to quantiles of what comes over each of H rows: a location, a scale, and steps between quantiles.

    A quantile is the median and all steps from there to it, and a step is positive: a softplus. So quantiles rise with
    their levels by construction (Park et al. 2022, "Learning Quantile Functions without Quantile Crossing for
    Distribution-free Time Series Forecasting", do so for a mesh of levels). All is said in units of a scale that is
    handed in, times the root of the rows ahead, as a random walk has it; untrained, the layer answers what a normal
    walk would.

    Args:
        horizon: H, rows ahead.
        levels: Q levels that rise, symmetric about 0.5, which is one of them.
    """

    def __init__(self, horizon: int, levels: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        self.horizon, self.levels = horizon, tuple(levels)
        if len(levels) % 2 == 0 or not np.isclose(levels[len(levels) // 2], 0.5):
            raise ValueError(f"the middle of the levels must be 0.5, got {list(levels)}")
        self.scale = keras.layers.Dense(horizon, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01))
        self.direct_scale = keras.layers.Dense(horizon, use_bias=False, kernel_initializer="zeros")
        self.location = keras.layers.Dense(horizon, kernel_initializer="zeros")
        self.steps = keras.layers.Dense(len(levels) - 1, use_bias=False, kernel_initializer="zeros")

    def build(self, input_shape: Any) -> None:
        """Builds the layers; steps begin as those of the normal distribution."""
        state, direct = input_shape
        for layer in (self.scale, self.location, self.steps):
            layer.build(state)
        self.direct_scale.build(direct)
        normal = np.log(np.expm1(np.diff(scipy.special.ndtri(self.levels))))
        self.usual_steps = self.add_weight(
            shape=(self.horizon, len(normal)),
            initializer=lambda shape, dtype=None: tf.cast(np.broadcast_to(normal, shape), dtype or "float32"),
            name="usual_steps",
        )
        self.built = True

    def call(self, inputs: Sequence[Tensor], log_scale: Tensor) -> Tensor:
        """Quantiles.

        Args:
            inputs: States [N, P, units], and features [N, P, features] that reach the scale directly too.
            log_scale: [N, P], logarithm of the unit of one row.

        Returns:
            [N, P, H, Q], rising along Q.
        """
        state, direct = inputs
        ahead = tf.math.log(tf.range(1, self.horizon + 1, dtype=state.dtype)) / 2
        scale = tf.exp(log_scale[..., None] + ahead + self.scale(state) + self.direct_scale(direct))
        steps = tf.nn.softplus(self.usual_steps + self.steps(state)[..., None, :])
        middle = len(self.levels) // 2
        below = -tf.cumsum(steps[..., :middle], axis=-1, reverse=True)
        above = tf.cumsum(steps[..., middle:], axis=-1)
        standard = tf.concat([below, tf.zeros_like(above[..., :1]), above], axis=-1)
        return scale[..., None] * (self.location(state)[..., None] + standard)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"horizon": self.horizon, "levels": self.levels}


@keras.saving.register_keras_serializable("recur")
class PinballLoss(keras.losses.Loss):
    """Pinball loss, the mean over levels, members and rows ahead; Koenker and Bassett (1978).

    Those rows ahead that are reported weigh as much together as all do, since it is they that are measured.

    Example:
        >>> loss = PinballLoss()
        >>> float(loss(tf.ones([1, 1, 1]), tf.zeros([1, 1, 1, 21, 1])))
        0.5
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Losses.

        Args:
            y_true: [N, P, H], returns.
            y_pred: [N, P, H, Q, members].

        Returns:
            [N, P].
        """
        return (tf.reduce_mean(pinball_by_horizon(y_true, y_pred), axis=-1) + pinball(y_true, y_pred)) / 2


def pinball(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """As it is reported: the mean over levels and reported horizons.

    Args and returns are those of `PinballLoss.call`.
    """
    reported = [ahead - 1 for ahead in reported_horizons(y_pred.shape[2])]
    return tf.reduce_mean(tf.gather(pinball_by_horizon(y_true, y_pred), reported, axis=-1), axis=-1)


def pinball_by_horizon(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """(τ − [y < q]) (y − q), the mean over levels and members: [N, P, H]."""
    levels = tf.constant(LEVELS, y_pred.dtype)[:, None]
    error = y_true[..., None, None] - y_pred
    return tf.reduce_mean(tf.maximum(levels * error, (levels - 1) * error), axis=[-2, -1])
