"""Windows of prices in, quantiles of prices out, in one graph."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from apps.stock_forecasting.assets import StockAssets
from apps.stock_forecasting.config import StockConfig, inputs_of, reported_horizons
from apps.stock_forecasting.conformal import Scores, split_margins
from apps.stock_forecasting.model import PERCENT, QuantileForecaster
from recur.serving.module import ServingModule
from recur.training.task import Trained


class StockForecaster(ServingModule[QuantileForecaster]):
    """Forecasts each window by itself.

    A window that holds a number that is not finite, or a price that is not positive, is answered with NaN.

    Args:
        trained: The forecaster, its calibration, window and features.
    """

    def __init__(self, trained: Trained[StockConfig, StockAssets]):
        super().__init__(trained.models)
        config, assets = trained.config, trained.assets
        self._tickers, self._embedded = assets.tickers, config.ticker_units > 0
        self._margins = None if assets.scores is None else _margins(assets.scores, config.horizon)
        specs = {
            name: tf.TensorSpec([None, config.window], dtype, name)
            for name, dtype in inputs_of(config.features).items()
        }
        self._signatures = {}
        if not config.features:
            self._signatures["serving_default"] = tf.function(
                self.forecast, input_signature=[specs["close"]], autograph=False
            )
        if config.features or self._embedded:
            ticker = {"ticker": tf.TensorSpec([None], tf.string, "ticker")} if self._embedded else {}
            self._signatures["panel"] = tf.function(self.forecast_panel, autograph=False).get_concrete_function(
                **specs, **ticker
            )

    @property
    def signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """What an export answers: `serving_default` where the close is enough, `panel` where more is known."""
        return self._signatures

    def forecast(self, close: tf.Tensor) -> dict[str, tf.Tensor]:
        """Forecasts from closing prices alone; where tickers are told apart, as of one that is not known.

        Args:
            close: float32 [N, window], adjusted prices, oldest first.

        Returns:
            `quantiles` float32 [N, horizon, Q], in the unit of the prices, rising along Q; see `config.LEVELS`.
        """
        return self.forecast_panel(close=close)

    def forecast_panel(self, **columns: tf.Tensor) -> dict[str, tf.Tensor]:
        """Forecasts from all columns that the run reads.

        Args:
            **columns: `close`, and what `config.inputs_of` names besides, [N, window]; where tickers are told apart
                `ticker` string [N].

        Returns:
            As `forecast`.
        """
        close, ticker = columns["close"], columns.pop("ticker", None)
        known = tf.reduce_all(tf.math.is_finite(close) & (close > 0), axis=1)[:, None, None]
        safe = columns | {"close": tf.where(known[:, 0], close, 1.0)}
        returns = self.calibrated(self.raw_returns(safe | {"ticker": self._number(ticker, tf.shape(close)[0])}))
        prices = close[:, -1:, None] * tf.exp(returns / PERCENT)
        return {"quantiles": tf.where(known & tf.math.is_finite(prices), prices, np.nan)}

    def raw_returns(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        """Quantiles of cumulative log returns in percent, [N, H, Q], as the model has them: not calibrated.

        Args:
            columns: As the model takes them.
        """
        return self.model(columns, training=False)[:, 0, ..., 0]

    def calibrated(self, returns: tf.Tensor) -> tf.Tensor:
        """Moves quantiles by what they missed on validation: `conformal.apply_conformal`, in graph."""
        if self._margins is None:
            return returns
        last = returns.shape[-1] - 1
        width = returns[..., last - last // 4] - returns[..., last // 4]
        scale = tf.where(width > 0, width, 1.0)[..., None]
        outwards = tf.transpose(self._margins)  # [H, pairs]
        shift = tf.concat([-outwards, tf.zeros_like(outwards[:, :1]), outwards[:, ::-1]], axis=1)
        return tf.sort(returns + shift * scale, axis=-1)

    def _number(self, ticker: tf.Tensor | None, rows: tf.Tensor) -> tf.Tensor:
        """Numbers int32 [N] of tickers; 0 for one that is not known."""
        if ticker is None:
            return tf.zeros([rows], tf.int32)
        same = tf.cast(ticker[:, None] == tf.constant(self._tickers)[None], tf.int32)
        return tf.reduce_sum(same * tf.range(1, len(self._tickers) + 1), axis=1)


def _margins(scores: Scores, horizon: int) -> np.ndarray:
    """float32 [pairs, H]: those of the horizons that are reported, and in between on a line."""
    ahead, known = np.arange(1, horizon + 1), reported_horizons(horizon)
    return np.array([np.interp(ahead, known, margins) for margins in split_margins(scores)], np.float32)
