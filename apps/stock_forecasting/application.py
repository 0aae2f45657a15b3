"""Stock forecasting as the contract has it."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.stock_forecasting.config import PRESETS, StockConfig
from recur.errors import InputError
from recur.training import application
from recur.training.application import Headline, Shapes
from recur.training.task import Datasets, Evaluation, Trained

if TYPE_CHECKING:
    import keras
    import numpy as np

    from apps.stock_forecasting.assets import StockAssets
    from apps.stock_forecasting.data import Corpus
    from apps.stock_forecasting.serving import StockForecaster
    from recur.training.runs import Run

logger = logging.getLogger(__name__)


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


class StockForecasting(application.Application[StockConfig, "Corpus", "StockAssets"]):
    """Prices in, quantile forecasts out."""

    name = "stock_forecasting"
    summary = "prices in, quantile forecasts out: an LSTM and a filtered historical simulation"
    options = ForecastOptions
    monitor = "val_pinball"
    presets = PRESETS
    demo_seconds = 40.0
    headline = Headline(
        "pinball",
        higher_is_better=False,
        shortfall="Four tickers and a minute of training are little against a volatility model that is fitted to each "
        "ticker; `default` on twelve tickers (see the README) is ahead.",
    )

    @property
    def demo_inputs(self) -> Sequence[str]:
        """Path of the newest rows of the packaged sample."""
        from apps.stock_forecasting.forecasts import example_file

        return [example_file()]

    def read(self, source: str, config: StockConfig) -> "Corpus":
        """Reads and checks prices, and divides them by time."""
        from apps.stock_forecasting.batches import steps_per_pass
        from apps.stock_forecasting.data import read_corpus
        from apps.stock_forecasting.filtered_simulation import fewest_rows

        if config.read > config.window:
            raise InputError(f"--read {config.read} rows are more than --window {config.window} has; lower it")
        if config.burn_in >= config.read:
            raise InputError(f"--burn-in {config.burn_in} leaves nothing of --read {config.read} rows; lower it")
        if config.simulation and config.window < (fewest := fewest_rows(config.horizon)):
            raise InputError(
                f"--window {config.window} is too short to simulate {config.horizon} rows ahead from; give {fewest}, "
                f"a shorter --horizon, or --simulation 0"
            )
        corpus = read_corpus(
            source,
            config.window,
            config.horizon,
            config.validation_fraction,
            config.test_fraction,
            config.test_from,
            config.date_column,
            config.value_column,
            config.adjusted,
            config.tickers,
        )
        steps_per_pass(corpus, config)  # refuses before anything is written
        for line in corpus.notes:
            logger.info(line)
        return corpus

    def fit_assets(self, corpus: "Corpus", config: StockConfig) -> "StockAssets":
        """The scaler of the features."""
        from apps.stock_forecasting.assets import StockAssets, fit_scaler
        from apps.stock_forecasting.batches import all_series

        scaler = fit_scaler(all_series(corpus, config), corpus.train, config)
        return StockAssets(tuple(prices.name for prices in corpus.panel), *scaler)

    def write_assets(self, assets: "StockAssets", folder: Path) -> None:
        """Writes scaler and tickers."""
        assets.write(folder)

    def read_assets(self, folder: Path) -> "StockAssets":
        """Reads what was written, and the calibration once it is fitted."""
        from apps.stock_forecasting.assets import StockAssets

        return StockAssets.read(folder)

    def datasets(self, corpus: "Corpus", assets: "StockAssets", config: StockConfig) -> Datasets:
        """Segments of every ticker, with what came after their rows."""
        from apps.stock_forecasting.batches import stock_datasets

        return stock_datasets(corpus, config)

    def build(self, config: StockConfig, assets: "StockAssets") -> "keras.Model":
        """Features, recurrent layers, quantiles."""
        from apps.stock_forecasting.model import QuantileForecaster

        model = QuantileForecaster(
            horizon=config.horizon,
            groups=config.features,
            tickers=len(assets.tickers),
            ticker_units=config.ticker_units,
            cell=config.cell,
            units=config.units,
            layers=config.layers,
            dropout=config.dropout,
            members=config.members,
            read=config.read,
            simulation=config.simulation,
            mean=assets.mean,
            variance=assets.variance,
        )
        model.build()
        return model

    def objective(self, config: StockConfig) -> dict[str, Any]:
        """Pinball loss, weighted in training by how calm the past was."""
        import keras

        from apps.stock_forecasting.objective import PinballLoss, pinball

        return {"loss": PinballLoss(), "metrics": [keras.metrics.MeanMetricWrapper(pinball, "pinball")]}

    def finish(self, trained: Trained, corpus: "Corpus", run: "Run") -> None:
        """Measures on validation by how much intervals miss."""
        from apps.stock_forecasting.assets import write_scores
        from apps.stock_forecasting.calibration import fit

        if trained.config.calibration != "none":
            write_scores(fit(trained, corpus), run.assets)

    def evaluate(self, trained: Trained, corpus: "Corpus", run: "Run") -> Evaluation:
        """A backtest beside baselines."""
        from apps.stock_forecasting.report import evaluate

        return evaluate(trained, corpus, run)

    def serving_module(self, trained: Trained) -> "StockForecaster":
        """From a window of prices to quantiles of those to come."""
        from apps.stock_forecasting.serving import StockForecaster

        return StockForecaster(trained.model, trained.assets, trained.config)

    def warmup_requests(self, shapes: Shapes) -> Mapping[str, Mapping[str, Any]]:
        """Made-up windows for each signature."""
        from apps.stock_forecasting.forecasts import warmup_requests

        return warmup_requests(shapes)

    def request(
        self, inputs: Sequence[str], options: ForecastOptions, shapes: Shapes
    ) -> "tuple[str, Mapping[str, np.ndarray]]":
        """The newest rows of files, as many as the model reads, for `serving_default` or `panel`."""
        from apps.stock_forecasting.forecasts import request

        return request(inputs, options, shapes)

    def records(
        self, inputs: Sequence[str], outputs: "Mapping[str, np.ndarray]", options: ForecastOptions
    ) -> list[dict[str, Any]]:
        """Dates, medians and intervals."""
        from apps.stock_forecasting.forecasts import records

        return records(inputs, outputs, options)

    def show(self, answer: dict[str, Any]) -> str:
        """A table with a row a date."""
        from apps.stock_forecasting.forecasts import shown

        return shown(answer)


APPLICATION = StockForecasting()
