"""The commands from prices to forecasts, and what they say of bad input."""

import json

import numpy as np
import pandas as pd
import pytest

from apps.stock_forecasting.application import APPLICATION
from recur.cli.application import main
from tests.conftest import CommandLine

pytestmark = pytest.mark.slow


@pytest.fixture
def stock_forecasting(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    return CommandLine(lambda words: main(APPLICATION, words), tmp_path, capfd, monkeypatch)


@pytest.fixture
def run_copy(tiny_stock_run, tmp_path):
    import shutil

    return shutil.copytree(tiny_stock_run, tmp_path / "run")


def test_evaluate(stock_forecasting, run_copy):
    answer = stock_forecasting("evaluate", run_copy, "--json")
    assert answer.status == 0, answer.errors
    report = json.loads(answer.output)
    assert report == json.loads((run_copy / "metrics.json").read_text())
    assert set(report["baselines"]) == {"last_value", "drift", "random_walk", "ewma", "garch"}
    assert {"pinball", "crps", "mase", "coverage_80", "skill_random_walk", "skill_garch"} <= set(report["metrics"])
    assert all(np.isfinite(value) for row in report["baselines"].values() for value in row.values())
    assert all(np.isfinite(value) for value in report["metrics"].values())
    assert report["details"]["verdict"].endswith("this is no trading advice.")
    assert set(report["details"]["calibrations"]) == {"none", "split", "adaptive"}
    assert report["details"]["horizons"] == [1, 5]
    assert {path.name for path in (run_copy / "plots").glob("*.png")} >= {
        "fan.png",
        "coverage.png",
        "pit.png",
        "skill.png",
    }
    table = stock_forecasting("evaluate", run_copy).output
    assert "no trading advice" in table


def test_predict(stock_forecasting, tiny_stock_run, tiny_prices, tmp_path):
    path = tiny_prices / "AAA.csv"
    answer = stock_forecasting("predict", tiny_stock_run, path, "--json")
    assert answer.status == 0, answer.errors
    (forecast,) = json.loads(answer.output)["answers"]
    rows = pd.read_csv(path)
    assert (forecast["ticker"], forecast["last_date"]) == ("AAA", rows["Date"].iloc[-1])
    assert forecast["dates"] == [str(date.date()) for date in pd.bdate_range(rows["Date"].iloc[-1], periods=6)[1:]]
    assert forecast["last_close"] == pytest.approx(rows["Adj Close"].iloc[-1])
    names = ["low_95", "low_80", "low_50", "median", "high_50", "high_80", "high_95"]
    assert (np.diff([forecast[name] for name in names], axis=0) >= 0).all()
    shown = stock_forecasting("predict", tiny_stock_run, path).output
    assert forecast["dates"][-1] in shown
    assert "low_80" in shown
    written = stock_forecasting("predict", tiny_stock_run, path, "--output", "out.csv")
    assert written.status == 0
    assert json.loads(pd.read_csv(tmp_path / "out.csv")["median"][0]) == pytest.approx(forecast["median"])


@pytest.mark.parametrize(
    ("rows", "cells", "wanted"),
    [
        (50, {}, "has 50 rows and the model reads 96; give more"),
        (200, {150: ("Adj Close", "-3")}, "the price is -3; mend the row or take it out"),
        (200, {150: ("Adj Close", "abc")}, "is 'abc', no finite number"),
        (200, {150: ("Adj Close", "inf")}, "is 'inf', no finite number"),
        (200, {199: ("Date", "2199-01-01")}, "2199"),
        (200, {150: ("Date", "soon")}, "is 'soon', no date"),
        (0, {}, "has a header and no row below it"),
    ],
)
def test_predict_refuses_bad_prices(stock_forecasting, tiny_stock_run, tiny_prices, tmp_path, rows, cells, wanted):
    table = pd.read_csv(tiny_prices / "AAA.csv", dtype=str).iloc[:rows]
    for row, (column, cell) in cells.items():
        table.loc[row, column] = cell
    table.to_csv("bad.csv", index=False)
    assert wanted in stock_forecasting.refused("predict", tiny_stock_run, "bad.csv")


def test_predict_refuses_what_it_cannot_read(stock_forecasting, tiny_stock_run, tiny_prices):
    assert "there is nothing at 'missing.csv'" in stock_forecasting.refused("predict", tiny_stock_run, "missing.csv")
    table = pd.read_csv(tiny_prices / "AAA.csv")
    table.drop(columns=["Adj Close", "Close"]).to_csv("no_price.csv", index=False)
    assert "no column named Close" in stock_forecasting.refused("predict", tiny_stock_run, "no_price.csv")
    table.assign(**{"Adj Close": 5.0, "Close": 5.0, "High": 5.0, "Low": 5.0, "Open": 5.0}).to_csv(
        "flat.csv", index=False
    )
    assert "flat.csv" in stock_forecasting.refused("predict", tiny_stock_run, "flat.csv")
    both = pd.concat([table.assign(Ticker="AAA"), table.assign(Ticker="BBB")])
    both.to_csv("two.csv", index=False)
    assert "has AAA, BBB; choose one with --ticker" in stock_forecasting.refused("predict", tiny_stock_run, "two.csv")
    assert stock_forecasting("predict", tiny_stock_run, "two.csv", "--ticker", "BBB", "--json").status == 0
    raw = table.drop(columns="Adj Close")
    raw.to_csv("raw.csv", index=False)
    assert "--adjusted" in stock_forecasting.refused("predict", tiny_stock_run, "raw.csv")
    assert stock_forecasting("predict", tiny_stock_run, "raw.csv", "--adjusted", "--json").status == 0


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--window", "5000"], "window + horizon needs 5,005"),
        (["--read", "97"], "--read 97 rows are more than --window 96 has"),
        (["--horizon", "70"], "--window 96 is too short to simulate 70 rows ahead from; give 104"),
        (["--burn-in", "64"], "--burn-in 64 leaves nothing of --read 64 rows"),
        (["--test-from", "1999-01-01"], "test cannot begin at 1999-01-01"),
        (["--test-from", "then"], "--test-from 'then' is no date"),
        (["--tickers", "CCC"], "has no ticker CCC"),
        (["--value-column", "Price"], "no column named Price"),
        (["--date-column", "Day"], "no column named Day"),
        (["--batch-size", "5000"], "a batch takes 5000 segments of 32"),
        (["--features", "weather"], "weather"),
        (["--widow", "5"], "--window"),
    ],
)
def test_train_refuses(stock_forecasting, tiny_prices, tiny_flags, flags, wanted):
    words = ["train", "--data", tiny_prices, *tiny_flags]
    for name, value in zip(flags[::2], flags[1::2], strict=True):
        if name in words:
            words[words.index(name) + 1] = value
        else:
            words += [name, value]
    assert wanted in stock_forecasting.refused(*words)
