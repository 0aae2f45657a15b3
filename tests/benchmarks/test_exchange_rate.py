"""The protocols of LSTNet and GluonTS: which rows they forecast, and what they measure."""

import dataclasses

import numpy as np
import pytest

from apps.stock_forecasting.config import LEVELS
from apps.stock_forecasting.prices import read_prices
from benchmarks.exchange_rate.__main__ import FILE, Arguments, configuration, main, table
from benchmarks.exchange_rate.forecasts import baseline_medians, mirrored_mean, write_both_ways
from benchmarks.exchange_rate.measures import established, point_forecasts
from benchmarks.exchange_rate.protocols import (
    HORIZONS,
    origins,
    relative_squared_error,
    rolling_loss,
    rolling_origins,
    split,
)
from recur.training import stages


def test_rse_is_that_of_lstnet():
    random = np.random.default_rng(0)
    targets = random.normal(size=(50, 3)) * [1, 10, 0.1]
    forecasts = targets + random.normal(size=targets.shape)
    # main.py: sqrt(total_loss / n_samples) / data.rse, where utils.py has x.std() * sqrt((len(x) - 1) / len(x)).
    squares = ((forecasts - targets) ** 2).sum()
    deviation = np.sqrt(((targets - targets.mean()) ** 2).sum() / (targets.size - 1)) * np.sqrt(49 / 50)
    assert relative_squared_error(forecasts, targets) == pytest.approx(np.sqrt(squares / targets.size) / deviation)
    assert relative_squared_error(targets, targets) == 0
    with pytest.raises(ValueError, match="forecasts and targets"):
        relative_squared_error(forecasts[:, :2], targets)


def test_last_value_scores_what_is_known(recur_data):
    values = np.loadtxt(recur_data / FILE, delimiter=",")
    parts = split(len(values))
    errors = [
        relative_squared_error(values[origins(parts.test, parts.rows, horizon)], values[parts.test :])
        for horizon in HORIZONS
    ]
    assert [round(error, 4) for error in errors] == [0.0171, 0.0238, 0.0329, 0.0434]


def test_origins_lie_a_horizon_before_their_part():
    assert origins(10, 13, 4).tolist() == [6, 7, 8]
    rows = rolling_origins(100, windows=3, length=30)
    assert rows.tolist() == [99, 129, 159]  # the first window is rows 100 to 129


def test_point_forecasts_are_of_the_rows_wanted():
    values = np.arange(1.0, 21.0).reshape(10, 2)
    returns = np.zeros((2, 4, 3, 1))
    returns[1, 2, 1] = np.log(2)
    forecasts = point_forecasts(returns, values, np.arange(5, 9), np.array([6, 7]), 2)
    assert forecasts == pytest.approx(values[[6, 7]] * [[1, 1], [1, 2]])


def test_rates_and_inverses_go_to_the_application(tmp_path):
    rates = np.exp(np.random.default_rng(0).normal(size=(50, 2)).cumsum(axis=0) / 100)
    write_both_ways(rates, tmp_path / "both.txt")
    panel = read_prices(str(tmp_path / "both.txt"), adjusted=True)
    assert panel[0].log_close == pytest.approx(-panel[2].log_close, abs=1e-7)
    assert panel[3].log_close == pytest.approx(-np.log(rates[:, 1]), abs=1e-7)


def test_what_is_said_of_inverses_is_mirrored():
    # A rate of which 1, 2, 4 is said, and an inverse of which the same is said: rises and falls cancel.
    forecasts = mirrored_mean(np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]))
    assert forecasts.tolist() == [[-1.5, 0.0, 1.5]]
    assert mirrored_mean(np.array([[1.0, 2.0, 4.0], [-4.0, -2.0, -1.0]])).tolist() == [[1.0, 2.0, 4.0]]


def test_baselines_have_one_number_a_row_ahead():
    rates = np.random.default_rng(0).normal(size=(300, 2)).cumsum(axis=0) / 100
    medians = baseline_medians(rates, np.array([200, 250]), 5)
    assert {median.shape for median in medians.values()} == {(2, 2, 5, 1)}
    assert (medians["last_value"] == 0).all()
    assert medians["drift"][1, 0, 4, 0] == pytest.approx(5 * (rates[200, 1] - rates[0, 1]) / 200)


def test_a_gain_is_established_where_errors_are_surely_smaller():
    scores = {"this model": [1.0, 1.0, 1.1], "last_value": [1.1, 1.1, 1.0]}
    assert established(scores, [0.01, 0.2, 0.01]) == [True, False, False]


def test_rolling_loss_is_weighted_over_nine_levels():
    last, targets = np.array([2.0]), np.array([[3.0]])
    certain = np.zeros((1, 1, len(LEVELS)))
    assert rolling_loss(certain, LEVELS, last, targets) == pytest.approx(2 * 0.5 / 3)  # the mean of τ (3 − 2) is 0.5
    with pytest.raises(ValueError, match="quantiles at"):
        rolling_loss(certain[..., :3], LEVELS[:3], last, targets)


def test_settings_go_to_the_application():
    config = configuration(Arguments(seed=3, members=2))
    assert (config.seed, config.members, config.horizon, config.adjusted) == (3, 2, 30, True)
    named = {field.name for field in dataclasses.fields(Arguments)} - {"run", "output"}
    assert named <= set(dataclasses.asdict(config))


def test_table_says_what_collapsed():
    report = {
        "run": "runs/x",
        "settings": {"seed": 0},
        "train_seconds": 60.0,
        "seconds": 90.0,
        "cores": 2,
        "rse": {part: {"this model": [0.1] * 4, "last_value": [0.2] * 4} for part in ("validation", "test")},
        "crps": {part: {"this model": 0.01} for part in ("validation", "test")},
        "distance": 0.0,
        "collapsed": True,
        "p_values": {"test": [0.5] * 4},
        "established": [],
    }
    text = table(report)
    assert "| last_value | 0.20000" in text
    assert "collapsed" in text
    assert "LSTNet-skip" in text
    assert "a gain at no rows ahead" in text
    assert "collapsed" not in table(report | {"collapsed": False})


def test_without_data_it_says_so(monkeypatch, capsys):
    monkeypatch.delenv("RECUR_DATA", raising=False)
    monkeypatch.setattr(stages, "train", lambda *_: pytest.fail("it trains"))
    main(Arguments())
    assert capsys.readouterr().err.startswith("skipped: RECUR_DATA")
