"""Prices from every source, what the rules mend and tell, and every input that is refused."""

import datetime
import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.stock_forecasting.prices import Prices, checked, read_prices
from recur.errors import InputError

pytestmark = pytest.mark.slow

HEADER = "Date,Open,High,Low,Close,Adj Close,Volume"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(count=30, first="2013-01-01"):
    """Weekdays; the close rises from 10 by a tenth a day, adjusted it is half of that."""
    lines = []
    for number, day in enumerate(pd.bdate_range(first, periods=count)):
        close = 10 + number / 10
        cells = (close - 0.05, close + 0.2, close - 0.3, close, close / 2, 1000 + number)
        lines.append(",".join([str(day.date()), *(f"{cell:.6g}" for cell in cells)]))
    return lines


def write(lines, name="a.csv", header=HEADER):
    content = "\n".join([header, *lines]) + "\n"
    with open(name, "w", encoding="utf-8") as file:  # noqa: PTH123 - in the working folder
        file.write(content)
    return name


def read(lines, header=HEADER, **options):
    (prices,) = read_prices(write(lines, header=header), **options)
    return prices


def refusal(source, **options):
    with pytest.raises(InputError) as refused:
        read_prices(str(source), **options)
    message = str(refused.value)
    assert "\n" not in message
    return message


def changed(line, **cells):
    """A row with some cells of others, by column as in the header without blanks."""
    names = HEADER.replace(" ", "").split(",")
    return ",".join(cells.get(name, cell) for name, cell in zip(names, line.split(","), strict=True))


class TestSources:
    def test_the_sample_is_adjusted_and_checked(self):
        (ibm,) = read_prices("sample", tickers=["IBM"])
        assert (ibm.name, len(ibm), ibm.notes) == ("IBM", 3270, ())
        assert list(ibm.table) == ["close", "volume", "high", "low"]
        assert str(ibm.table.index[0].date()) == "2000-03-01"
        # The day's close was 100.25; low and high are adjusted by what the close is.
        assert ibm.table["close"].iloc[0] < 80
        assert (ibm.table["low"] <= ibm.table["close"]).all()
        assert (ibm.table["close"] <= ibm.table["high"]).all()

    def test_tickers_of_the_sample_can_be_named(self):
        assert [prices.name for prices in read_prices("sample", tickers=("MSFT", "GOOG"))] == ["GOOG", "MSFT"]
        assert "has no ticker GOGO; did you mean GOOG?" in refusal("sample", tickers=("GOGO",))

    def test_without_the_sample_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        assert "pip install -r requirements-samples.txt" in refusal("sample")

    def test_a_file_of_yahoo_finance(self):
        prices = read(rows(3))
        assert (prices.name, prices.notes, prices.dated) == ("a", (), True)
        assert prices.table.index.tolist() == list(pd.to_datetime(["2013-01-01", "2013-01-02", "2013-01-03"]))
        np.testing.assert_allclose(prices.table["close"], [5, 5.05, 5.1])
        np.testing.assert_allclose(prices.table["high"], [5.1, 5.15, 5.2])
        np.testing.assert_allclose(prices.table["low"], [4.85, 4.9, 4.95])
        np.testing.assert_allclose(prices.table["volume"], [1000, 1001, 1002])
        np.testing.assert_allclose(np.exp(prices.log_close), [5, 5.05, 5.1])

    @pytest.mark.parametrize("delimiter", [";", "\t"])
    def test_delimiters_cases_and_compression(self, here, delimiter):
        expected = read(rows()).table
        text = "\n".join([HEADER.lower().replace(" ", "_"), *rows(), ""]).replace(",", delimiter)
        (here / "b.CSV.gz").write_bytes(gzip.compress(text.encode("utf-8-sig")))
        (prices,) = read_prices("b.CSV.gz")
        assert prices.name == "b"
        pd.testing.assert_frame_equal(prices.table, expected)

    def test_a_folder_is_a_panel_whose_tickers_keep_their_calendars(self, here):
        (here / "panel").mkdir()
        write(rows(20), "panel/^B.csv")
        write(rows(30, "2012-05-01"), "panel/A.csv")
        write(["nothing"], "panel/.hidden.csv")
        (here / "panel" / "README.txt").write_text("about")
        first, second = read_prices("panel")
        assert (first.name, second.name) == ("A", "^B")
        assert (len(first), len(second)) == (30, 20)
        assert first.table.index[-1] < second.table.index[0]
        assert [prices.name for prices in read_prices("panel", tickers=["^B"])] == ["^B"]

    def test_a_table_with_tickers_is_a_panel(self):
        both = [f"{line},{ticker}" for line in rows() for ticker in ("Y", "X")]
        write(both, header=f"{HEADER},Ticker")
        expected = read(rows()).table
        write(both, header=f"{HEADER},Ticker")
        panel = read_prices("a.csv")
        assert [prices.name for prices in panel] == ["X", "Y"]
        for prices in panel:
            pd.testing.assert_frame_equal(prices.table, expected)

    def test_columns_by_name_of_a_series_that_is_no_stock(self):
        lines = [f'"1981-01-{day:02}",{20 + day % 7},{1.5},0' for day in range(1, 32)]
        prices = read(lines, "day,Temp,High,Volume", date_column="Day", value_column="temp", adjusted=True)
        assert list(prices.table) == ["close"]  # whatever High and Volume are, they are not those of a price
        assert prices.table["close"].iloc[:3].tolist() == [21, 22, 23]

    def test_times_of_day_stay_and_offsets_go(self):
        lines = [f"2013-01-0{1 + hour // 24} {hour % 24:02}:00:00-05:00,{20 + hour % 5}" for hour in range(48)]
        prices = read(lines, "Date,Close", adjusted=True)
        assert prices.table.index[:2].tolist() == list(pd.to_datetime(["2013-01-01 00:00", "2013-01-01 01:00"]))
        assert prices.notes == ()

    def test_a_matrix_has_no_dates(self, here):
        values = np.random.default_rng(0).uniform(0.5, 2, (50, 11)).round(6)
        text = "\n".join(",".join(map(str, row)) for row in values)
        (here / "m.txt.gz").write_bytes(gzip.compress(text.encode()))
        panel = read_prices("m.txt.gz", adjusted=True)
        assert [prices.name for prices in panel] == [f"{number:02}" for number in range(1, 12)]
        np.testing.assert_array_equal(np.column_stack([prices.table["close"] for prices in panel]), values)
        assert not panel[0].dated
        assert "nothing says" in refusal("m.txt.gz")


class TestRules:
    def test_null_rows_are_left_out(self):
        lines = rows()
        lines[4] = "2013-01-07,null,null,null,null,null,null"
        prices = read(lines)
        assert prices.notes == ("left out 1 row without a price, the first of 2013-01-07",)
        assert len(prices) == 29
        assert pd.Timestamp("2013-01-07") not in prices.table.index

    def test_blank_lines_are_no_rows(self):
        assert len(read(["", *rows(5), "", ""])) == 5

    def test_rows_out_of_order_are_sorted(self):
        expected = read(rows()).table
        backwards, shuffled = read(rows()[::-1]), read(rows()[5:] + rows()[:5])
        pd.testing.assert_frame_equal(backwards.table, expected)
        pd.testing.assert_frame_equal(shuffled.table, expected)
        assert backwards.notes == ("sorted the rows: the newest came first",)
        assert shuffled.notes == ("sorted the rows: they were out of order",)

    def test_a_date_twice(self):
        expected = read(rows()).table
        prices = read([*rows(), rows()[3]])
        pd.testing.assert_frame_equal(prices.table, expected)
        assert prices.notes[-1] == "left out 1 row of a date that is there already, with the same price"
        write([*rows(), changed(rows()[3], AdjClose="7")])
        assert "a.csv, line 32: 2013-01-04 is there already with another price; keep one" in refusal("a.csv")

    def test_a_close_outside_low_and_high_widens_them(self):
        lines = rows()
        lines[2] = changed(lines[2], High="10.1")
        lines[3] = changed(lines[3], Low="12", High="11")
        prices = read(lines)
        assert prices.notes == (
            "took high and low for missing in 1 row where high is below low",
            "widened low and high to hold a close outside them in 1 row, the first of 2013-01-03",
        )
        assert prices.table["high"].iloc[2] == prices.table["close"].iloc[2]
        assert prices.table[["high", "low"]].isna().all(axis=1).tolist() == [False] * 3 + [True] + [False] * 26

    def test_zeros_of_early_years_are_missing(self):
        lines = rows()
        lines[0] = changed(lines[0], Open="0", Low="0")
        prices = read(lines)
        assert prices.notes == ("took zeros of open, high and low in 1 row for missing",)
        assert np.isnan(prices.table["low"].iloc[0])

    @pytest.mark.parametrize("ratio", [2, 3, 1.5, 0.1])
    def test_a_jump_like_a_split_is_told(self, ratio):
        lines = [f"{day.date()},{(100 + number % 3) * (ratio if number > 20 else 1)}" for number, day in BUSINESS_DAYS]
        (warning,) = read(lines, "Date,Close", adjusted=True).notes
        assert warning.startswith("warning: ")
        assert "on 2013-01-30: if that is a split, the prices are not adjusted" in warning

    def test_a_crash_is_no_split(self):
        lines = [f"{day.date()},{(100 + number % 3) * (0.77 if number > 20 else 1)}" for number, day in BUSINESS_DAYS]
        assert read(lines, "Date,Close", adjusted=True).notes == ()

    def test_long_gaps_are_told(self):
        lines = rows(30) + [changed(line, Close="13", Open="13", AdjClose="6.5") for line in rows(5, "2013-06-03")]
        (note,) = [note for note in read(lines).notes if "gap" in note]
        assert note == "the longest gap between dates is from 2013-02-11 to 2013-06-03; rows, not days, are forecast"

    @settings(max_examples=25, deadline=None)
    @given(st.permutations(range(30)), st.sets(st.integers(0, 29), max_size=10))
    def test_whatever_the_order_and_repetition_the_table_is_the_same(self, order, repeated):
        lines = rows()
        values = pd.DataFrame({"close": np.arange(1.0, 31)}, index=pd.RangeIndex(2, 32))
        dates = pd.DatetimeIndex([line.split(",")[0] for line in lines])
        expected, _ = checked(values, dates, "x")
        places = [*order, *repeated]
        table, _ = checked(values.iloc[places].set_axis(range(2, len(places) + 2)), dates[places], "x")
        pd.testing.assert_frame_equal(table, expected, check_freq=False)


BUSINESS_DAYS = list(enumerate(pd.bdate_range("2013-01-01", periods=40)))


class TestRefusals:
    def test_nothing_there(self, here):
        assert "there is nothing at 'b.csv'; give a CSV file, a folder of them, or `sample`" in refusal("b.csv")
        assert "nothing at ''" in refusal("")
        (here / "folder").mkdir()
        assert "has no .csv file" in refusal("folder")
        (here / "a.xlsx").write_bytes(b"PK")
        assert "neither .csv nor .txt" in refusal("a.xlsx")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b" \n\n", "is empty"),
            (HEADER.encode(), "has a header and no row below it"),
            ("Date,Close\n2013-01-02,1 €\n".encode("latin-1", "replace").replace(b"?", b"\x80"), "is not UTF-8"),
            (f"{HEADER}\n".encode("utf-16"), "is UTF-16"),
            (b"Date\0", "binary"),
            (b"Date,Close\n2013-01-02,1,2\n", "is no table"),
        ],
    )
    def test_files_that_are_no_tables(self, here, content, said):
        (here / "a.csv").write_bytes(content)
        assert said in refusal("a.csv", adjusted=True)

    @pytest.mark.parametrize("missing", ["Date", "Close"])
    def test_a_missing_column(self, here, missing):
        header = {"Date": "Day,Close", "Close": "Date,Price"}[missing]
        write(["2013-01-02,1", "2013-01-03,2"], header=header)
        message = refusal("a.csv", adjusted=True)
        assert f"a.csv has no column named {missing}; it has {header.replace(',', ', ')}; name the one" in message

    def test_a_column_that_is_almost_there(self):
        write(["2013-01-02,1", "2013-01-03,2"], header="Date,Price")
        assert "did you mean Price?" in refusal("a.csv", adjusted=True, value_column="Prices")

    def test_prices_that_are_not_declared_to_be_adjusted(self):
        lines = ["2013-01-02,1", "2013-01-03,2"]
        write(lines, header="Date,Close")
        assert "nothing says that Close of a.csv is adjusted and it has no Adj Close; say `adjusted`" in refusal(
            "a.csv"
        )
        assert len(read(lines, "Date,Close", adjusted=True)) == 2
        write(rows())
        assert "nothing says that Close" in refusal("a.csv", value_column="Close")

    @pytest.mark.parametrize(
        ("column", "cell", "said"),
        [
            ("AdjClose", "abc", "Adj Close is 'abc', no finite number"),
            ("AdjClose", "inf", "Adj Close is 'inf', no finite number"),
            ("High", "1_0", "High is '1_0', no finite number"),
            ("AdjClose", "-5", "the price is -5; mend the row"),
            ("AdjClose", "0", "the price is 0; mend the row"),
            ("Close", "-0.01", "the price is -0.01"),
            ("Low", "-1", "the low is -1"),
            ("Volume", "-1", "the volume is -1"),
            ("Date", "01/31/2013", "Date is '01/31/2013', no date; write dates as 2013-01-31"),
            ("Date", "2013-02-30", "no date"),
            ("Date", "", "Date is '', no date"),
            ("Date", "9999-01-01", "still to come"),
        ],
    )
    def test_cells_that_cannot_be_right(self, column, cell, said):
        lines = rows()
        lines[7] = changed(lines[7], **{column: cell})
        write(lines)
        message = refusal("a.csv")
        # Older versions of pandas cannot tell a date so far away from none.
        assert said in message or (cell == "9999-01-01" and "no date" in message)
        assert "a.csv, line 9: " in message

    def test_lines_are_counted_as_an_editor_does(self):
        write(["", *rows(3), "", changed(rows(4)[3], AdjClose="x")])
        assert "line 7:" in refusal("a.csv")

    def test_dates_to_come(self):
        write(rows(30))
        message = refusal("a.csv", today=pd.Timestamp("2013-01-31"))
        assert (
            "line 26: 2013-02-04 is still to come; give prices up to 2013-01-31" in message or "2013-02-05" in message
        )
        tomorrow = datetime.date.today() + datetime.timedelta(days=3)
        write([*rows(), changed(rows()[0], Date=str(tomorrow))])
        assert "still to come" in refusal("a.csv")

    def test_prices_that_tell_nothing(self):
        write(rows(1))
        assert "a.csv has a single price; a forecast needs a history" in refusal("a.csv")
        write([changed(line, AdjClose="5") for line in rows()])
        assert "a.csv: all 30 prices are 5; nothing is to forecast" in refusal("a.csv")
        write([changed(line, AdjClose="null") for line in rows()])
        assert "no row with a price" in refusal("a.csv")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("1,2\n3\n", "line 2, has 1 numbers where line 1 has 2"),
            ("1,2\n3,x\n", "line 2: column 2 has 'x', no finite number"),
            ("1,2\n3,nan\n", "line 2: column 2 has 'nan', no finite number"),
            ("a,b\n3,4\n", "line 1: column 1 has 'a'"),
            ("1,2\n3,-4\n", "column 2, line 2: the price is -4"),
            ("1,2\n3,2\n", "column 2: all 2 prices are 2"),
            ("1,2\n", "has a single price"),
        ],
    )
    def test_matrices(self, here, text, said):
        (here / "m.txt").write_text(text)
        assert said in refusal("m.txt", adjusted=True)


def test_real_prices(recur_data):
    panel = {prices.name: prices for prices in read_prices(str(recur_data / "stocks"))}
    assert len(panel) == 12
    assert panel["AAPL"].notes == ("left out 1 row without a price, the first of 1981-08-10",)
    assert len(panel["AAPL"]) == 9672
    assert sum("outside them in 4 rows" in note for note in panel["XOM"].notes) == 1
    for prices in panel.values():
        assert prices.table.index.is_monotonic_increasing
        assert np.isfinite(prices.log_close).all()
        inside = prices.table.dropna()
        assert ((inside["low"] <= inside["close"]) & (inside["close"] <= inside["high"])).all()


def test_real_exchange_rates(recur_data):
    panel = read_prices(str(recur_data / "exchange_rate" / "exchange_rate.txt.gz"), adjusted=True)
    assert [len(prices) for prices in panel] == [7588] * 8
    assert Prices("x", panel[0].table).log_close.shape == (7588,)
