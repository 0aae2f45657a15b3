"""Features know the window alone, and of it the past; the level of prices does not matter."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.stock_forecasting.config import inputs_of
from apps.stock_forecasting.features import FLOOR, REACH, feature_names, features_of, recent_volatility
from apps.stock_forecasting.prices import Prices

GROUPS = ("range", "volume", "calendar")


def compute(table: pd.DataFrame, groups=GROUPS) -> pd.DataFrame:
    columns = Prices("", table).columns(groups)
    features = features_of({name: tf.constant(values[None]) for name, values in columns.items()}, groups)
    return pd.DataFrame(features.numpy()[0], columns=feature_names(groups), index=table.index)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_no_feature_changes_when_every_later_price_does(make_table, data):
    rows = data.draw(st.sampled_from([2, 40, 300]))
    table = make_table(rows, data.draw(st.integers(0, 5)))
    origin = data.draw(st.integers(0, rows - 2))
    changed = table.copy()
    changed.iloc[origin + 1 :] *= np.random.default_rng(data.draw(st.integers(0, 5))).uniform(
        2, 10, (rows - origin - 1, 4)
    )
    changed["high"] = changed[["high", "close"]].max(axis=1)
    changed["low"] = changed[["low", "close"]].min(axis=1)
    before, after = compute(table), compute(changed)
    pd.testing.assert_frame_equal(before.iloc[: origin + 1], after.iloc[: origin + 1], check_exact=True)
    # The test would see it if a feature did.
    assert not np.isclose(before["volatility_1"].iloc[origin + 1], after["volatility_1"].iloc[origin + 1])


def test_rows_that_a_feature_looks_back_over_are_enough(make_table):
    table = make_table(700)
    whole, end = compute(table), compute(table.iloc[-REACH - 50 + 1 :])
    np.testing.assert_allclose(end.iloc[-50:], whole.iloc[-50:], rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("factor", [1e-3, 0.37, 1e4])
def test_the_level_of_prices_does_not_matter(make_table, factor):
    table = make_table(300)
    other = table.copy()
    other[["close", "high", "low"]] *= factor
    np.testing.assert_allclose(compute(other), compute(table), atol=2e-3)


def test_features_by_hand(make_table):
    table = make_table(300)
    features, row = compute(table), 290
    returns = np.diff(np.log(table["close"]))[:row]
    usual = np.sqrt(np.mean(returns[-60:] ** 2))
    assert features["return"].iloc[row] == pytest.approx(np.clip(returns[-1] / usual, -6, 6), rel=1e-3)
    assert features["absolute_return"].iloc[row] == pytest.approx(abs(features["return"].iloc[row]))
    for span in (5, 20, 60, 120, 250):
        wanted = np.log(np.sqrt(np.mean(returns[-span:] ** 2)))
        assert features[f"volatility_{span}"].iloc[row] == pytest.approx(wanted, rel=1e-3)
    falls = np.minimum(returns[-20:], 0)
    assert features["downside_20"].iloc[row] == pytest.approx(np.log(np.sqrt(np.mean(falls**2))), rel=1e-3)
    assert features["trend_20"].iloc[row] == pytest.approx(returns[-20:].sum() / usual / np.sqrt(20), rel=1e-3)
    parkinson = np.log(table["high"] / table["low"]) ** 2 / (4 * np.log(2))
    assert features["range"].iloc[row] == pytest.approx(np.log(parkinson.iloc[row]) / 2, rel=1e-3)
    assert features["range_20"].iloc[row] == pytest.approx(np.log(parkinson.iloc[271:291].mean()) / 2, rel=1e-3)
    log_volume = np.log(1 + table["volume"])
    wanted = log_volume.iloc[row] - log_volume.iloc[271:291].mean()
    assert features["volume"].iloc[row] == pytest.approx(wanted, abs=1e-3)
    monday = features[table.index.day_of_week == 0].iloc[-1]
    assert monday[["week_sin", "week_cos"]].tolist() == [0, 1]
    assert monday["days_since"] == pytest.approx(np.log(3))


def test_what_is_missing_has_a_stand_in(make_table):
    table = make_table(60)
    table.iloc[50, table.columns.get_indexer(["high", "low", "volume"])] = np.nan
    features = compute(table)
    assert np.isfinite(features).all(axis=None)
    assert features["range"].iloc[50] == pytest.approx(features["volatility_1"].iloc[50])
    assert features["volume"].iloc[50] == 0


def test_a_price_that_stands_still_has_the_least_volatility(make_table):
    table = make_table(80, columns=("close",))
    table["close"] = 7.0
    features = compute(table, ())
    np.testing.assert_allclose(features.filter(like="volatility"), np.log(FLOOR), rtol=1e-6)
    assert (features[["return", "trend_60"]] == 0).all(axis=None)


def test_fewer_groups_have_fewer_inputs_and_features():
    assert list(inputs_of(())) == ["close"]
    assert list(inputs_of(("calendar", "range"))) == ["close", "day", "high", "low"]
    assert set(feature_names(GROUPS)) - set(feature_names()) > {"range", "volume", "week_sin"}


def test_a_column_that_is_missing_is_named(make_table):
    with pytest.raises(KeyError, match="volume"):
        Prices("", make_table(columns=("close",))).columns(("volume",))
    with pytest.raises(KeyError, match="day"):
        Prices("", make_table().reset_index(drop=True)).columns(("calendar",))


def test_recent_volatility_is_that_of_twenty_rows(make_table):
    features = compute(make_table(100, columns=("close",)), ())
    recent = recent_volatility(tf.constant(features.to_numpy()[None]))
    np.testing.assert_array_equal(recent[0], features["volatility_20"])
