"""What comes after an origin changes nothing that is known, fitted, learnt, calibrated or forecast at it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from apps.stock_forecasting.application import APPLICATION
from apps.stock_forecasting.backtest import forecast_all
from apps.stock_forecasting.baselines import baseline_forecasts
from apps.stock_forecasting.config import StockConfig
from apps.stock_forecasting.data import Corpus
from apps.stock_forecasting.prices import Prices
from apps.stock_forecasting.serving import StockForecaster
from recur.training import loading, stages
from recur.training.config import checked
from recur.training.runs import open_run
from recur.training.task import Trained

pytestmark = pytest.mark.slow

CONFIG = StockConfig(
    epochs=1,
    steps_per_epoch=3,
    batch_size=4,
    window=96,
    read=64,
    burn_in=32,
    horizon=5,
    units=4,
    members=1,
    test_fraction=0.2,
    validation_fraction=0.2,
    features=("range", "volume", "calendar"),
)
ORIGINS_KEPT = 20
"""Of each ticker's test origins; every price after the last of them is changed."""


@pytest.fixture(scope="module")
def corpora(tiny_prices: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Corpus]:
    """Prices as they are, and with every price and volume changed after some origin in test."""
    before = APPLICATION.task.read(str(tiny_prices), checked(CONFIG))
    changed = tmp_path_factory.mktemp("changed")
    random = np.random.default_rng(0)
    for prices, rows in zip(before.panel, before.test, strict=True):
        table = pd.read_csv(tiny_prices / f"{prices.name}.csv")
        later = slice(int(rows[ORIGINS_KEPT - 1]) + 1, None)
        columns = ["Open", "High", "Low", "Close", "Adj Close"]
        factors = np.exp(np.cumsum(random.normal(0, 0.2, len(table.iloc[later]))))
        table.loc[table.index[later], columns] = table.loc[table.index[later], columns].mul(factors, axis=0)
        table.loc[table.index[later], "Volume"] = table.loc[table.index[later], "Volume"] * 3 + 1
        table.to_csv(changed / f"{prices.name}.csv", index=False)
    after = APPLICATION.task.read(str(changed), checked(CONFIG))
    assert all((a == b).all() for part in ("train", "validation", "test") for a, b in _parts(before, after, part))
    return before, after


def _parts(before: Corpus, after: Corpus, part: str) -> zip:
    return zip(getattr(before, part), getattr(after, part), strict=True)


def train(corpus: Corpus, folder: Path) -> Trained:
    run = stages.train(APPLICATION, corpus.source, CONFIG, "quick", folder / "run")
    return loading.load(APPLICATION, open_run(APPLICATION.name, str(run.path)))


def forecasts(trained: Trained, corpus: Corpus) -> np.ndarray:
    """Calibrated quantiles from the origins that come before the change."""
    kept = tuple(rows[:ORIGINS_KEPT] for rows in corpus.test)
    module = StockForecaster(trained)
    raw = forecast_all(module, corpus, kept, trained.config)
    return module.calibrated(raw.astype(np.float32)).numpy()


@pytest.fixture(scope="module")
def trained(corpora: tuple[Corpus, Corpus], tmp_path_factory: pytest.TempPathFactory) -> list[Trained]:
    return [train(corpus, tmp_path_factory.mktemp("run")) for corpus in corpora]


def test_nothing_that_is_known_at_an_origin_changes(corpora, trained):
    before, after = trained
    assert (before.assets.mean, before.assets.variance) == (after.assets.mean, after.assets.variance)
    np.testing.assert_array_equal(before.assets.scores.sorted, after.assets.scores.sorted)
    for mine, theirs in zip(before.model.get_weights(), after.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(forecasts(before, corpora[0]), forecasts(after, corpora[1]))
    kept = [tuple(rows[:ORIGINS_KEPT] for rows in corpus.test) for corpus in corpora]
    of_baselines = [baseline_forecasts(corpus, rows, 5, 7) for corpus, rows in zip(corpora, kept, strict=True)]
    assert "seasonal_naive" in of_baselines[0]
    for name, forecast in of_baselines[0].items():
        np.testing.assert_array_equal(forecast, of_baselines[1][name], err_msg=name)


def test_the_forecasts_after_it_do_change(corpora, trained):
    later = [
        forecast_all(
            StockForecaster(trained[0]),
            corpus,
            tuple(rows[ORIGINS_KEPT + 5 :] for rows in corpus.test),
            CONFIG,
        )
        for corpus in corpora
    ]
    assert not np.isclose(*later).all(axis=(1, 2)).any()


def of_shifted_columns(corpora: tuple[Corpus, Corpus], trained: Trained, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Tomorrow's row among the features."""
    plain = Prices.columns
    monkeypatch.setattr(
        Prices, "columns", lambda *words: {name: np.roll(values, -1) for name, values in plain(*words).items()}
    )
    return [forecasts(trained, corpus) for corpus in corpora]


def of_scaler_on_test(corpora: tuple[Corpus, Corpus], trained: Trained, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A scaler that is fitted on all rows, as stock tutorials do."""
    every = dataclasses.replace
    return [np.array(APPLICATION.task.fit_assets(every(corpus, train=corpus.test), CONFIG).mean) for corpus in corpora]


def of_calibration_on_test(
    corpora: tuple[Corpus, Corpus], trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    """Intervals that are calibrated on what they are judged by."""
    parts = [dataclasses.replace(corpus, validation=corpus.test) for corpus in corpora]
    return [APPLICATION.task.finish(trained, corpus).scores.sorted for corpus in parts]


@pytest.mark.parametrize("plant", [of_shifted_columns, of_scaler_on_test, of_calibration_on_test])
def test_a_planted_look_ahead_is_seen(corpora, trained, monkeypatch, plant):
    before, after = plant(corpora, trained[0], monkeypatch)
    assert not np.array_equal(before, after)
