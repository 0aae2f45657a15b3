"""Stock forecasting: a window of prices in, quantiles of the prices to come out."""

from apps.stock_forecasting.config import ForecastOptions, StockConfig
from recur.training.application import Application, Headline

APPLICATION = Application(
    name="stock_forecasting",
    summary="prices in, quantile forecasts out: an LSTM and a filtered historical simulation",
    presets={
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
        "default": StockConfig(epochs=12, learning_rate=3e-3, warmup_steps=50, ema_momentum=0.99),
        "best": StockConfig(epochs=12, learning_rate=3e-3, warmup_steps=50, ema_momentum=0.99, members=10),
    },
    options=ForecastOptions,
    demo_seconds=40.0,
    headline=Headline(
        "pinball",
        higher_is_better=False,
        shortfall="Four tickers and a minute of training are little against a volatility model that is fitted to each "
        "ticker; `default` on twelve tickers (see the README) is ahead.",
    ),
)
