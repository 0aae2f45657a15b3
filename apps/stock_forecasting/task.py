"""The work of stock forecasting: prices divided by time, features and recurrent layers, calibrated quantiles."""

import dataclasses
import logging
from typing import Any

import keras

from apps.stock_forecasting.assets import StockAssets
from apps.stock_forecasting.backtest import at_reported, forecast_all, outcomes_of
from apps.stock_forecasting.batches import steps_per_pass, stock_datasets
from apps.stock_forecasting.config import LEVELS, StockConfig
from apps.stock_forecasting.conformal import fit_conformal
from apps.stock_forecasting.data import Corpus, read_corpus
from apps.stock_forecasting.filtered_simulation import fewest_rows
from apps.stock_forecasting.model import PinballLoss, QuantileForecaster, pinball
from apps.stock_forecasting.serving import StockForecaster
from recur.errors import InputError
from recur.training.task import Datasets, Task, Trained

logger = logging.getLogger(__name__)


class StockForecasting(Task[StockConfig, Corpus, StockAssets]):
    """Prices in, quantile forecasts out."""

    assets = StockAssets
    serving_module = StockForecaster
    monitor = "val_pinball"

    def read(self, source: str, config: StockConfig) -> Corpus:
        """Reads and checks prices, and divides them by time."""
        if config.read > config.window:
            raise InputError(f"`read` {config.read} rows are more than `window` {config.window} has; lower it")
        if config.burn_in >= config.read:
            raise InputError(f"`burn_in` {config.burn_in} leaves nothing of `read` {config.read} rows; lower it")
        if config.simulation and config.window < (fewest := fewest_rows(config.horizon)):
            raise InputError(
                f"`window` {config.window} is too short to simulate {config.horizon} rows ahead from; give {fewest}, "
                f"a shorter `horizon`, or `simulation` 0"
            )
        corpus = read_corpus(source, config)
        steps_per_pass(corpus, config)  # refuses before anything is written
        for line in corpus.notes:
            logger.info(line)
        return corpus

    def fit_assets(self, corpus: Corpus, config: StockConfig) -> StockAssets:
        """The scaler of the features."""
        return StockAssets.fit(corpus, config)

    def datasets(self, corpus: Corpus, assets: StockAssets, config: StockConfig) -> Datasets:
        """Segments of every ticker, with what came after their rows."""
        return stock_datasets(corpus, config)

    def build(self, config: StockConfig, assets: StockAssets) -> QuantileForecaster:
        """Features, recurrent layers, quantiles."""
        model = QuantileForecaster(config, tickers=len(assets.tickers), mean=assets.mean, variance=assets.variance)
        model.build()
        return model

    def objective(self, config: StockConfig) -> dict[str, Any]:
        """Pinball loss, weighted in training by how calm the past was."""
        return {"loss": PinballLoss(), "metrics": [keras.metrics.MeanMetricWrapper(pinball, "pinball")]}

    def finish(self, trained: Trained[StockConfig, StockAssets], corpus: Corpus) -> StockAssets:
        """The assets with how much intervals lack on validation, at the horizons that are reported."""
        config = trained.config
        if config.calibration == "none":
            return trained.assets
        raw = at_reported(forecast_all(StockForecaster(trained), corpus, corpus.validation, config))
        returns = outcomes_of(corpus, corpus.validation, config.horizon).returns
        return dataclasses.replace(trained.assets, scores=fit_conformal(raw, returns, LEVELS))


TASK = StockForecasting()
