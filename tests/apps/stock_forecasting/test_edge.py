"""The benchmark of conversions of a stock model, small: what is forecast, and that every form forecasts it."""

import numpy as np
import pytest

from apps.stock_forecasting.application import APPLICATION
from apps.stock_forecasting.backtest import outcomes_of
from benchmarks.serving.edge import chosen, closes, forecast_all, lite, pinball, table
from recur.serving.export import export_run
from recur.training import loading
from recur.training.runs import open_run
from tfserving_dev.session import NativeSavedModel

pytestmark = pytest.mark.slow


def test_origins_are_spread_evenly():
    origins = chosen((np.arange(100), np.arange(7), np.arange(0)), 20)
    assert [rows.tolist() for rows in origins] == [[*range(0, 100, 6)], [0, 6], []]


def test_every_form_forecasts_the_same(tiny_stock_run, tmp_path):
    run = open_run(APPLICATION.name, str(tiny_stock_run))
    trained = loading.load(APPLICATION, run)
    corpus = loading.read_again(APPLICATION, run, trained.config)
    origins = chosen(corpus.test, 20)
    close, outcomes = closes(corpus, origins, trained.config), outcomes_of(corpus, origins, trained.config.horizon)
    assert len(close) == len(outcomes.returns)
    last = [prices.table["close"].iloc[rows] for prices, rows in zip(corpus.panel, origins, strict=True)]
    np.testing.assert_array_equal(close[:, -1], np.concatenate(last).astype(np.float32))
    still = np.full_like(close[:1], 50.0)  # no price moves: the least of every volatility
    version = export_run(APPLICATION, run, trained, tmp_path)
    with NativeSavedModel(version) as model:
        expected = forecast_all(lambda rows: model.run({"close": rows})["quantiles"], close, "export")
        of_still = model.run({"close": still})["quantiles"]
    loss = pinball(expected, close, outcomes)
    rows = [{"form": "export", "bytes": 1, "pinball": loss, "milliseconds": 1.0}]
    for form, near in (("float32", 1e-5), ("float16", 2e-3), ("int8", 2e-3)):
        forecast, size = lite(version, form, 64)
        quantiles = forecast_all(forecast, close, form)
        np.testing.assert_allclose(quantiles, expected, rtol=near)
        np.testing.assert_allclose(forecast(np.resize(still, (64, still.shape[1])))[:1], of_still, rtol=near)
        assert pinball(quantiles, close, outcomes) == pytest.approx(loss, rel=0.01)
        rows.append({**rows[0], "form": form, "bytes": size, "largest_deviation": near})
    report = {"forecasts": len(close), "run": "tiny", "data": "made up", "rows": rows}
    assert table(report).count("\n") == 3 + len(rows)
