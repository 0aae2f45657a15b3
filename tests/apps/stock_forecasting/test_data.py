"""Division by time, with nothing of a later part in an earlier one."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.stock_forecasting.config import StockConfig
from apps.stock_forecasting.data import Corpus, divide, read_corpus
from recur.errors import InputError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, count=200, first="2012-01-02", seed=0):
    steps = np.random.default_rng(seed).normal(0, 0.01, count)
    dates = pd.bdate_range(first, periods=count)
    table = pd.DataFrame({"Adj Close": 100 * np.exp(np.cumsum(steps))}, index=dates.rename("Date"))
    table.to_csv(name)
    return name


def divided(source, window, horizon, validation, test, **settings) -> Corpus:
    shares = {"validation_fraction": validation, "test_fraction": test}
    return read_corpus(source, StockConfig(window=window, horizon=horizon, **shares, **settings))


def refusal(*arguments, **settings):
    with pytest.raises(InputError) as refused:
        divided(*arguments, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


SMALL = st.integers(0, 59)


@given(st.integers(1, 60), st.integers(1, 30), st.integers(1, 12), SMALL, SMALL, st.integers(1, 3))
def test_targets_of_a_part_end_before_the_next_begins(rows, window, horizon, validation, more, step):
    index = pd.RangeIndex(0, rows * step, step)
    boundaries = validation, min(validation + more, 70)
    parts = divide(index, window, horizon, *boundaries)
    ends = [*boundaries, np.inf]
    starts = [0, *boundaries]
    times = index.to_numpy()
    for part, start, end in zip(parts, starts, ends, strict=True):
        assert (np.diff(part) == 1).all()
        for origin in part:
            assert origin >= window - 1
            assert start <= times[origin]
            assert times[origin + horizon] < end
    # Between two parts lies one horizon, and no origin that could be there is missing.
    taken = set(np.concatenate(parts))
    for origin in range(window - 1, rows - horizon):
        last = times[origin + horizon]
        crosses = any(times[origin] < boundary <= last for boundary in boundaries)
        assert (origin in taken) != crosses


def test_parts_of_one_ticker(here):
    corpus = divided(write("a.csv"), 20, 5, 0.25, 0.2)
    assert [part[0][[0, -1]].tolist() for part in (corpus.train, corpus.validation, corpus.test)] == [
        [19, 114],
        [120, 154],
        [160, 194],
    ]
    index = corpus.panel[0].table.index
    assert (corpus.validation_from, corpus.test_from) == (index[120], index[160])
    assert corpus.notes == ()


def test_a_panel_is_divided_at_the_same_dates(here):
    (here / "p").mkdir()
    write("p/A.csv", 300, "2011-01-03")
    write("p/B.csv", 200, "2011-06-01", seed=1)
    corpus = divided("p", 10, 5, 0.2, 0.2, test_from="2011-12-15")
    assert corpus.test_from == pd.Timestamp("2011-12-15")
    for ticker, prices in enumerate(corpus.panel):
        dates = prices.table.index
        train, validation, test = (part[ticker] for part in (corpus.train, corpus.validation, corpus.test))
        assert dates[train[-1] + 5] < corpus.validation_from <= dates[validation[0]]
        assert dates[validation[-1] + 5] < corpus.test_from <= dates[test[0]]
        assert validation[0] - train[-1] == 6
        assert test[-1] == len(dates) - 6
    spans = "they begin from 2011-01-03 to 2011-06-01 and end by 2012-03-06"
    assert corpus.notes == (f"the 2 tickers keep calendars of their own: {spans}",)


def test_a_ticker_that_is_too_short_is_left_out_and_one_that_ended_stays(here):
    (here / "p").mkdir()
    write("p/long.csv", 300, "2011-01-03")
    write("p/ended.csv", 120, "2011-01-03", seed=1)
    write("p/new.csv", 60, "2012-01-02", seed=2)
    write("p/short.csv", 10, "2011-01-03", seed=3)
    corpus = divided("p", 20, 5, 0.2, 0.3)
    assert [prices.name for prices in corpus.panel] == ["ended", "long"]
    assert len(corpus.train[0])
    assert not len(corpus.test[0])
    assert "short: left out, for it has 10 rows and window + horizon needs 25" in corpus.notes
    assert "new: left out, for no origin of it is in train, with 20 rows up to it and 5 after it" in corpus.notes


def test_a_matrix_is_divided_by_rows(here):
    values = np.exp(np.random.default_rng(0).normal(size=(100, 2)))
    (here / "m.txt").write_text("\n".join(f"{a:.5f},{b:.5f}" for a, b in values))
    corpus = divided("m.txt", 5, 3, 0.25, 0.2, adjusted=True)
    assert (corpus.validation_from, corpus.test_from) == (60, 80)
    assert corpus.test[1].tolist() == list(range(80, 97))
    assert "has no dates for `test_from`" in refusal("m.txt", 5, 3, 0.25, 0.2, test_from="2013-01-01", adjusted=True)


def test_the_fingerprint_is_that_of_prices_and_parts(here):
    write("a.csv")
    first = divided("a.csv", 20, 5, 0.25, 0.2).fingerprint
    assert divided("a.csv", 20, 5, 0.25, 0.2).fingerprint == first
    assert divided("a.csv", 20, 5, 0.25, 0.3).fingerprint != first
    write("a.csv", seed=1)
    assert divided("a.csv", 20, 5, 0.25, 0.2).fingerprint != first


@pytest.mark.parametrize(
    ("window", "horizon", "options", "said"),
    [
        (190, 20, {}, "a: it has 200 rows and window + horizon needs 210"),
        (150, 20, {}, "no origin of it is in train"),
        (20, 45, {}, "a.csv has no origin for validation"),
        (20, 5, {"test_from": "2030-01-01"}, "goes from 2012-01-02 to 2012-10-05; test cannot begin at 2030-01-01"),
        (20, 5, {"test_from": "2011-01-01"}, "test cannot begin at 2011-01-01"),
        (20, 5, {"test_from": "soon"}, "`test_from` 'soon' is no date"),
        (20, 5, {"test_from": "2012-10-03"}, "has no origin for test"),
    ],
)
def test_too_few_rows(here, window, horizon, options, said):
    write("a.csv")
    assert said in refusal("a.csv", window, horizon, 0.2, 0.2, **options)


def test_shares_that_leave_nothing(here):
    write("a.csv")
    assert "cannot be held out" in refusal("a.csv", 20, 5, 0.0, 0.2)


def test_real_prices(recur_data):
    corpus = divided(str(recur_data / "stocks"), 256, 20, 0.1, 0.15, test_from="2013-01-01")
    assert len(corpus.panel) == 12
    first = {prices.table.index[rows[0]] for prices, rows in zip(corpus.panel, corpus.test, strict=True)}
    assert first == {pd.Timestamp("2013-01-02")}
    assert sum(map(len, corpus.test)) == 18_816
