"""What is served: prices in, prices out, the same answer everywhere, and never a plausible number for bad input."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.stock_forecasting.application import APPLICATION
from apps.stock_forecasting.backtest import at_reported, forecast_all, outcomes_of
from apps.stock_forecasting.config import ForecastOptions
from apps.stock_forecasting.conformal import apply_conformal
from apps.stock_forecasting.data import read_corpus
from apps.stock_forecasting.model import PERCENT
from apps.stock_forecasting.serving import StockForecaster
from recur.serving.answers import answers, ask_module, ask_saved_model
from recur.serving.export import export_run
from recur.training import loading
from recur.training.runs import open_run
from recur.training.task import Trained
from tests.shared.recur.serving.asking import assert_asked_as_predicted
from tfserving_dev.session import NativeSavedModel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tiny_stock_run):
    return open_run(APPLICATION.name, str(tiny_stock_run))


@pytest.fixture(scope="module")
def trained(run):
    return loading.load(APPLICATION, run)


@pytest.fixture(scope="module")
def module(trained):
    return APPLICATION.task.serving_module(trained)


@pytest.fixture(scope="module")
def exported(run, trained, tmp_path_factory):
    return export_run(APPLICATION, run, trained, tmp_path_factory.mktemp("saved_models"))


@pytest.fixture(scope="module")
def close(make_table):
    return np.stack([make_table(96, seed)["close"] for seed in range(5)]).astype(np.float32)


def quantiles(module, close):
    return module.signatures["serving_default"](tf.constant(close, tf.float32))["quantiles"].numpy()


def test_shape_order_and_unit(module, close):
    forecast = quantiles(module, close)
    assert forecast.shape == (5, 5, 21)
    assert forecast.dtype == np.float32
    assert (np.diff(forecast, axis=-1) >= 0).all()
    assert (forecast > 0).all()
    assert (forecast[:, 0, 0] < close[:, -1]).all()
    assert (close[:, -1] < forecast[:, 0, -1]).all()
    width = forecast[..., -1] / forecast[..., 0]
    assert (np.diff(width, axis=1) > 0).all(), "what is further ahead is less sure"


@pytest.mark.parametrize("factor", [1e-2, 1e3])
def test_the_level_of_prices_goes_out_and_comes_back(module, close, factor):
    np.testing.assert_allclose(quantiles(module, close * factor), quantiles(module, close) * factor, rtol=1e-4)


def test_a_row_does_not_depend_on_its_batch_mates(module, close):
    alone = np.concatenate([quantiles(module, row[None]) for row in close])
    np.testing.assert_allclose(quantiles(module, close), alone, rtol=1e-5)
    assert quantiles(module, close[:0]).shape == (0, 5, 21)


@settings(max_examples=15)
@given(st.integers(0, 95), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -3.0]))
def test_a_number_that_is_no_price_is_answered_with_nan(module, close, place, wrong):
    bad = close.copy()
    bad[2, place] = wrong
    forecast = quantiles(module, bad)
    assert np.isnan(forecast[2]).all()
    good = [0, 1, 3, 4]
    np.testing.assert_allclose(forecast[good], quantiles(module, close)[good], rtol=1e-5)


def test_prices_at_the_ends_of_float32_are_answered_or_nan(module):
    for price in (1e-38, 1e38):
        forecast = quantiles(module, np.full((1, 96), price, np.float32))
        assert np.isnan(forecast).all() or np.isfinite(forecast).all()


def test_predict_export_and_cpp_loader_give_the_same_forecast(module, exported, tiny_prices):
    paths = [str(path) for path in sorted(tiny_prices.glob("*.csv"))]
    predicted = list(answers(APPLICATION, ask_module(module), paths, ForecastOptions()))
    with NativeSavedModel(exported) as saved_model:
        served = list(answers(APPLICATION, ask_saved_model(saved_model), paths, ForecastOptions()))
    for mine, theirs in zip(predicted, served, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            same = np.allclose(value, theirs[name], rtol=1e-6) if "_" in name and "last_d" not in name else True
            assert same, name
    assert [answer["ticker"] for answer in predicted] == ["AAA", "BBB"]
    assert (exported / "assets.extra/tf_serving_warmup_requests").exists()


def test_a_server_answers_what_predict_does(module, exported, tiny_prices, capsys):
    paths = [str(path) for path in sorted(tiny_prices.glob("*.csv"))]
    assert_asked_as_predicted(APPLICATION, module, exported, paths, capsys)


def test_the_calibration_in_graph_is_that_of_the_backtest(trained, module, tiny_prices):
    corpus = read_corpus(str(tiny_prices), trained.config)
    every = forecast_all(module, corpus, corpus.test, trained.config)
    in_graph = module.calibrated((PERCENT * every).astype(np.float32)).numpy() / PERCENT
    wanted = apply_conformal(at_reported(every), trained.assets.scores)
    np.testing.assert_allclose(at_reported(in_graph), wanted, rtol=1e-3, atol=1e-6)
    assert np.abs(at_reported(in_graph) - at_reported(every)).max() > 1e-5
    assert len(outcomes_of(corpus, corpus.test, 5).dates) == len(every)


def test_more_columns_and_tickers_make_a_panel(trained, close):
    config = dataclasses.replace(trained.config, features=("range", "volume", "calendar"), ticker_units=3)
    assets = dataclasses.replace(trained.assets, mean=(), variance=())
    model, random = APPLICATION.task.build(config, assets), np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.2, weight.shape) for weight in model.get_weights()])
    module = StockForecaster(Trained(config, assets, model))
    assert list(module.signatures) == ["panel"]
    inputs = {"close": close, "high": close * 1.01, "low": close * 0.99, "volume": close * 0 + 1000}
    inputs["day"] = np.tile(np.arange(96, dtype=np.int32), (5, 1))
    inputs["ticker"] = np.array([b"AAA", b"BBB", b"AAA", b"never seen", b""], dtype=object)
    forecast = ask_module(module).ask("panel", inputs)["quantiles"]
    assert np.isfinite(forecast).all()
    other = ask_module(module).ask("panel", inputs | {"ticker": inputs["ticker"][[1, 1, 0, 4, 3]]})["quantiles"]
    changed = ~np.isclose(forecast, other, rtol=1e-6).all(axis=(1, 2))
    assert changed.tolist() == [True, False, False, False, False], "unknown tickers are one and the same"
    missing = ask_module(module).ask("panel", inputs | {"high": close * np.nan, "volume": close * np.nan})
    assert np.isfinite(missing["quantiles"]).all()


def test_trained_is_read_back(trained):
    assert isinstance(trained, Trained)
    assert trained.assets.scores is not None
    assert trained.assets.tickers == ("AAA", "BBB")
