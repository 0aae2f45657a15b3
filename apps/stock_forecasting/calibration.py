"""By how much a trained model's intervals miss on validation."""

from apps.stock_forecasting.backtest import at_reported, forecast_all, outcomes
from apps.stock_forecasting.conformal import Scores, fit_conformal
from apps.stock_forecasting.data import Corpus
from apps.stock_forecasting.metrics import LEVELS
from apps.stock_forecasting.serving import StockForecaster
from recur.training.task import Trained


def fit(trained: Trained, corpus: Corpus) -> Scores:
    """Forecasts from validation's origins, and measures what intervals lack; nothing of test is seen.

    Returns:
        Scores at the horizons that are reported; those between take the margins of the nearest two.
    """
    config = trained.config
    module = StockForecaster(trained.model, trained.assets, config)
    quantiles = at_reported(forecast_all(module, corpus, corpus.validation, config))
    return fit_conformal(quantiles, outcomes(corpus, corpus.validation, config.horizon).returns, LEVELS)
