"""ETTh1's protocol, the two networks that are measured in it, and the table."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from benchmarks.long_horizon import data as ett_data
from benchmarks.long_horizon.dlinear import DLinear, moving_average
from benchmarks.long_horizon.ett import CASES, Arguments, competitors, main, table
from benchmarks.long_horizon.published import PUBLISHED
from benchmarks.long_horizon.recurrent import SegmentForecaster
from benchmarks.long_horizon.training import Settings, dataset, forecast, train
from recur.errors import InputError

pytestmark = pytest.mark.slow

WINDOW, HORIZON = 48, 30
SETTINGS = Settings(window=WINDOW, loss="mse", learning_rate=0.01, batch=64, steps=12, epochs=3, patience=2)


@pytest.fixture
def short_parts(monkeypatch):
    bounds = {"train": (0, 400), "validation": (400, 600), "test": (600, 800)}
    monkeypatch.setattr(ett_data, "BOUNDS", bounds)
    return bounds


def days(rows=800):
    hours = np.arange(rows)
    return np.stack([np.sin(hours * 2 * np.pi / 24), np.cos(hours * 2 * np.pi / 24) * 3 + 5], axis=1)


def test_windows_of_a_part_have_their_targets_in_it(short_parts):
    train_part, test = (ett_data.first_targets(part, WINDOW, HORIZON) for part in ("train", "test"))
    assert (train_part[0], train_part[-1] + HORIZON) == (WINDOW, 400)
    assert (test[0], test[-1] + HORIZON) == (600, 800)


def test_scaling_knows_train_alone(short_parts):
    values = days()
    changed = values.copy()
    changed[400:] *= 7
    assert ett_data.scaled(values)[:400] == pytest.approx(ett_data.scaled(changed)[:400])
    assert ett_data.scaled(values)[:400].std(axis=0) == pytest.approx(1, abs=1e-5)


def test_naive_forecasts_and_errors():
    values = np.arange(100.0)[:, None]
    firsts = np.array([50, 60])
    targets = ett_data.targets_of(values, firsts, 30)
    assert targets[1, 0].tolist() == list(range(60, 90))
    assert (ett_data.last_value(values, firsts, 30)[0] == 49).all()
    season = ett_data.seasonal_naive(values, firsts, 30)
    assert season[0, 0].tolist() == [*range(26, 50), *range(26, 32)]
    assert ett_data.errors(targets + 2, targets) == {"mse": 4.0, "mae": 2.0}
    with pytest.raises(ValueError, match="targets' shape"):
        ett_data.errors(targets[:1], targets)


def test_files_that_are_not_etth1_are_refused(tmp_path):
    with pytest.raises(InputError, match="RECUR_DATA"):
        ett_data.read_series(tmp_path / "ETTh1.csv", "univariate")
    path = tmp_path / "short.csv"
    pd.DataFrame({"OT": [1.0, 2.0]}).to_csv(path)
    with pytest.raises(InputError, match="20 months"):
        ett_data.read_series(path, "univariate")
    with pytest.raises(InputError, match="no column HUFL"):
        ett_data.read_series(path, "multivariate")


def test_dataset_has_what_came_after_a_window(short_parts):
    values = np.stack([np.arange(800.0), -np.arange(800.0)], axis=1).astype(np.float32)
    inputs, targets = next(iter(dataset(values, "test", HORIZON, SETTINGS)))
    assert inputs["window"][0, -1] == 599
    assert targets[0, 0] == 600
    assert inputs["series"][:2].numpy().tolist() == [0, 1]
    assert targets[1, -1] == -629
    seen = [inputs["window"] for inputs, _ in dataset(values, "train", HORIZON, SETTINGS)]
    assert max(float(tf.reduce_max(tf.abs(window))) for window in seen) < 400 - HORIZON


@pytest.mark.parametrize(("cell", "level"), [("gru", "last"), ("lstm", "mean")])
def test_level_of_a_window_does_not_matter_to_the_recurrent_network(cell, level):
    model = SegmentForecaster(WINDOW, HORIZON, series=2, segment=24, cell=cell, units=8, dropout=0.5, level=level)
    window = tf.random.stateless_normal([3, WINDOW], [0, 1])
    series = tf.constant([0, 1, 0])
    forecast = model({"window": window, "series": series})
    assert forecast.shape == (3, HORIZON)
    assert model({"window": window + 5, "series": series}).numpy() == pytest.approx(forecast.numpy() + 5, abs=1e-4)
    clone = SegmentForecaster.from_config(model.get_config())
    clone.build()
    clone.set_weights(model.get_weights())
    assert clone({"window": window, "series": series}).numpy() == pytest.approx(forecast.numpy())
    if level == "mean":
        scaled = model({"window": 3 * window, "series": series})
        assert scaled.numpy() == pytest.approx(3 * forecast.numpy(), abs=1e-3)
    with pytest.raises(ValueError, match="whole segments"):
        SegmentForecaster(50, HORIZON)
    with pytest.raises(ValueError, match="there are last, mean"):
        SegmentForecaster(WINDOW, HORIZON, level="first")


def test_dlinear_sees_the_moving_average():
    values = tf.random.stateless_normal([2, 60], [0, 1])
    padded = np.pad(values, [[0, 0], [12, 12]], mode="edge")
    expected = np.stack([padded[:, row : row + 25].mean(axis=1) for row in range(60)], axis=1)
    assert moving_average(values).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "build",
    [lambda: SegmentForecaster(WINDOW, HORIZON, series=2, units=16), lambda: DLinear(WINDOW, HORIZON)],
    ids=["recurrent", "DLinear"],
)
def test_days_that_repeat_are_learnt(short_parts, build):
    values = ett_data.scaled(days())
    logged = []
    result = train(build, values, HORIZON, SETTINGS, lambda epoch, logs: logged.append(epoch))
    firsts = ett_data.first_targets("test", WINDOW, HORIZON)
    naive = ett_data.errors(ett_data.last_value(values, firsts, HORIZON), ett_data.targets_of(values, firsts, HORIZON))
    assert result.test["mse"] < naive["mse"] / 4
    assert len(logged) == result.epochs >= result.best_epoch
    model = build()
    model.build()
    assert result.parameters == model.count_params()
    assert forecast(model, values, "test", HORIZON, SETTINGS).shape == (171, 2, HORIZON)
    keras.backend.clear_session(free_memory=False)


def test_table_puts_published_figures_below():
    errors = {"test": {"mse": 0.5, "mae": 0.25}, "seconds": 60.0}
    names = ("recurrent", "DLinear", "last day", "last value")
    report = {"settings": {"seed": 0}, "cores": 2, "cases": {"multivariate/336": dict.fromkeys(names, errors)}}
    text = table(report)
    assert "| recurrent | 0.500 / 0.250 |" in text
    assert "| LSTnet, published | 2.655 / 1.369 |" in text
    assert "univariate" not in text
    assert {kind for kind, _ in CASES} == set(PUBLISHED)


def test_linear_model_has_the_rate_that_validation_prefers():
    ways = competitors("multivariate", 7, 24, Arguments(seed=2))
    assert [len(every) for _, every in ways.values()] == [1, 3]
    assert {settings.seed for _, every in ways.values() for settings in every} == {2}
    assert list(competitors("univariate", 1, 24, Arguments(forecaster="DLinear"))) == ["DLinear"]


def test_wrong_use_is_said_in_a_line(monkeypatch, capsys):
    monkeypatch.delenv("RECUR_DATA", raising=False)
    main(Arguments())
    assert capsys.readouterr().err.startswith("skipped: RECUR_DATA")
    monkeypatch.setenv("RECUR_DATA", "nowhere")
    with pytest.raises(SystemExit, match="no case matches"):
        main(Arguments(only="weekly"))
    with pytest.raises(SystemExit, match="no regular expression"):
        main(Arguments(only="("))
    with pytest.raises(SystemExit, match="cannot read"):
        main(Arguments(only="univariate/24"))
