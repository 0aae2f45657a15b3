"""Features know the past alone, and little of that; windows and targets are the rows that they say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.stock_forecasting.features import SPANS, features_of, fit_scaler, targets, warm_up, windows


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_feature_changes_when_every_later_price_does(make_table, data):
    rows = data.draw(st.integers(2, 300))
    table = make_table(rows, data.draw(st.integers(0, 5)))
    spans = data.draw(st.lists(st.integers(1, 80), min_size=1, max_size=3, unique=True))
    origin = data.draw(st.integers(0, rows - 1))
    changed = table.copy()
    factors = np.random.default_rng(data.draw(st.integers(0, 5))).uniform(0.1, 10, (rows - origin - 1, 4))
    changed.iloc[origin + 1 :] *= factors
    changed["high"] = changed[["high", "close"]].max(axis=1)
    changed["low"] = changed[["low", "close"]].min(axis=1)
    before, after = features_of(table, spans), features_of(changed, spans)
    pd.testing.assert_frame_equal(before.iloc[: origin + 1], after.iloc[: origin + 1], check_exact=True)
    # The test would see it if a feature did.
    if warm_up(spans, volume=True) <= origin + 1 < rows:
        assert before["return"].iloc[origin + 1] != after["return"].iloc[origin + 1]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 120), st.sampled_from([("close",), ("close", "volume"), ("close", "volume", "high", "low")]))
def test_a_window_of_rows_is_enough(make_table, count, columns):
    table = make_table(300, columns=columns)
    first = warm_up(SPANS, "volume" in columns)
    whole, end = features_of(table), features_of(table.iloc[-first - count :])
    assert end.iloc[:first].isna().any(axis=1).all()
    np.testing.assert_allclose(end.iloc[first:], whole.iloc[-count:], rtol=1e-10, atol=1e-10)


def test_features_by_hand(make_table):
    table = make_table(100)
    found = features_of(table, (5, 20))
    row, returns = 60, np.diff(np.log(table["close"]))
    last = returns[row - 5 : row]
    assert found["return"].iloc[row] == pytest.approx(returns[row - 1])
    assert found["volatility_5"].iloc[row] == pytest.approx(np.log(np.sqrt(np.mean(last**2))))
    parkinson = np.log(table["high"] / table["low"]) ** 2 / (4 * np.log(2))
    assert found["range"].iloc[row] == pytest.approx(np.log(parkinson.iloc[row]) / 2)
    assert found["range_20"].iloc[row] == pytest.approx(np.log(parkinson.iloc[41:61].mean()) / 2)
    log_volume = np.log(1 + table["volume"])
    assert found["volume"].iloc[row] == pytest.approx(log_volume.iloc[row] - log_volume.iloc[41:61].mean())
    monday = found[table.index.day_of_week == 0].iloc[-1]
    assert (monday["week_sin"], monday["week_cos"]) == (0, 1)
    assert monday["days_since"] == pytest.approx(np.log(3))


def test_fewer_columns_give_fewer_features(make_table):
    everything = set(features_of(make_table()))
    assert set(features_of(make_table(columns=("close", "volume")))) == {
        name for name in everything if not name.startswith("range")
    }
    assert "volume" not in set(features_of(make_table(columns=("close", "high", "low"))))
    undated = make_table(columns=("close",)).reset_index(drop=True)
    assert list(features_of(undated)) == ["return", "volatility_5", "volatility_20", "volatility_60"]
    assert list(features_of(make_table(columns=("close",)), calendar=False)) == list(features_of(undated))


def test_what_is_missing_or_stands_still_gives_finite_features(make_table):
    table = make_table(200)
    table.loc[table.index[100:110], ["high", "low"]] = np.nan
    table.loc[table.index[105:120], "volume"] = np.nan
    table.loc[table.index[130:160], ["close", "high", "low"]] = 7.0
    table.loc[table.index[170:], "volume"] = 0.0
    found = features_of(table, (5, 20))
    assert np.isfinite(found.iloc[20:].to_numpy()).all()
    assert found["range"].iloc[103] == pytest.approx(np.log(abs(found["return"].iloc[103])))
    assert found["volume"].iloc[110] == 0
    assert features_of(table.iloc[:3], (5,)).isna().all(axis=None)


@given(st.integers(1, 20), st.lists(st.integers(19, 49), max_size=5))
def test_windows_end_at_their_origins(window, origins):
    features = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    found = windows(features, np.array(origins, np.int64), window)
    assert (found.shape, found.dtype) == ((len(origins), window, 3), np.float32)
    for row, origin in zip(found, origins, strict=True):
        np.testing.assert_array_equal(row, features[origin - window + 1 : origin + 1])


def test_windows_that_cannot_be():
    features = np.ones((50, 2))
    for origin in (8, 50):
        with pytest.raises(ValueError, match="a window of 10 rows ends from 9 to 49"):
            windows(features, np.array([20, origin]), 10)
    features[15] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        windows(features, np.array([20]), 10)
    assert windows(features, np.array([25]), 10).shape == (1, 10, 2)


def test_targets_are_cumulative_returns():
    log_prices = np.cumsum(np.random.default_rng(0).normal(size=30))
    found = targets(log_prices, np.array([3, 24]), 5)
    np.testing.assert_allclose(found[0], log_prices[4:9] - log_prices[3])
    np.testing.assert_allclose(np.diff(found[1]), np.diff(log_prices[25:]))
    assert targets(log_prices, np.array([], np.int64), 5).shape == (0, 5)
    with pytest.raises(ValueError, match="need 5 rows after origins up to 25"):
        targets(log_prices, np.array([25]), 5)


def test_a_scaler_knows_train_alone():
    chooser = np.random.default_rng(0)
    features = [chooser.normal(3, 2, (100, 2)), chooser.normal(3, 2, (60, 2)), chooser.normal(size=(40, 2))]
    features[0][:10], features[1][:, 1] = np.nan, 3.0
    origins = [np.arange(20, 50), np.arange(20, 30), np.array([], np.int64)]
    scaler = fit_scaler(features, origins)
    known = np.concatenate([features[0][10:50], features[1][:30]])
    np.testing.assert_allclose(scaler.mean, known.mean(axis=0))
    np.testing.assert_allclose(scaler.scale, known.std(axis=0))
    changed = [features[0].copy(), features[1].copy(), np.full((40, 2), 1e9)]
    changed[0][50:], changed[1][30:] = 1e9, -1e9
    for before, after in zip(scaler, fit_scaler(changed, origins), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_feature_that_never_changes_is_not_divided_by_zero():
    scaler = fit_scaler([np.full((10, 1), 0.1)], [np.array([9])])
    np.testing.assert_allclose(scaler(np.array([[0.1], [1.1]])), [[0], [1]], atol=1e-12)
    with pytest.raises(ValueError, match="no row"):
        fit_scaler([np.full((10, 1), np.nan)], [np.array([9])])
