"""What training reads: a function of the step, of train's rows alone, with what came after them."""

import dataclasses

import numpy as np
import pytest

from apps.stock_forecasting import batches
from apps.stock_forecasting.application import APPLICATION
from apps.stock_forecasting.batches import all_series, series_of, steps_per_pass, train_batches
from apps.stock_forecasting.config import LEVELS, StockConfig
from apps.stock_forecasting.data import read_corpus
from apps.stock_forecasting.filtered_simulation import simulate
from recur.errors import InputError

pytestmark = pytest.mark.slow

CONFIG = StockConfig(
    batch_size=3, window=96, read=64, burn_in=32, horizon=5, validation_fraction=0.2, test_fraction=0.2, every=3
)


@pytest.fixture(scope="module")
def corpus(tiny_prices):
    return read_corpus(str(tiny_prices), CONFIG)


@pytest.fixture(scope="module")
def parts(corpus):
    return all_series(corpus, CONFIG), corpus.train


def take(parts, first, count, config=CONFIG):
    return list(train_batches(*parts, config)(first).take(count).as_numpy_iterator())


def equal(one, other):
    (inputs, *rest), (inputs_2, *rest_2) = one, other
    assert inputs.keys() == inputs_2.keys()
    return all(np.array_equal(inputs[name], inputs_2[name]) for name in inputs) and all(
        map(np.array_equal, rest, rest_2)
    )


def test_batches_are_a_function_of_the_step(parts):
    whole = take(parts, 0, 12)
    for first in (0, 1, 5, 9):
        for one, other in zip(take(parts, first, 3), whole[first:], strict=False):
            assert equal(one, other)
    assert not equal(whole[0], take(parts, 0, 1, dataclasses.replace(CONFIG, seed=1))[0])


def test_what_an_example_says_is_what_came_after_its_rows(parts, corpus):
    seen = set()
    for inputs, wanted, weights in take(parts, 0, 12):
        for row in range(len(wanted)):
            close, number = inputs["close"][row], inputs["ticker"][row]
            (ticker,) = {
                place
                for place, prices in enumerate(corpus.panel)
                if close[-1] in prices.table["close"].to_numpy().astype(np.float32)
            }
            assert number in (0, ticker + 1)
            prices = corpus.panel[ticker].table["close"].to_numpy()
            end = int(np.flatnonzero(prices.astype(np.float32) == close[-1])[0])
            assert end <= corpus.train[ticker][-1]
            np.testing.assert_array_equal(close, prices[end - len(close) + 1 : end + 1].astype(np.float32))
            for place, target, weight, simulated in zip(
                inputs["origins"][row], wanted[row], weights[row], inputs["simulated"][row], strict=True
            ):
                origin = end - (CONFIG.read - 1 - place)
                if not weight:
                    continue
                seen.add((ticker, origin))
                assert origin in corpus.train[ticker]
                returns = 100 * np.log(prices[origin + 1 : origin + 6] / prices[origin])
                np.testing.assert_allclose(target, returns, rtol=1e-4, atol=1e-4)
                past = np.diff(np.log(prices[origin - 60 : origin + 1]))
                assert weight == pytest.approx(1 / (100 * np.sqrt(np.mean(past**2))), rel=1e-4)
                window = prices[None, origin - 95 : origin + 1].astype(np.float32)
                np.testing.assert_allclose(simulated, simulate(window, (1, 5), LEVELS)[0], rtol=1e-3, atol=1e-6)
    assert {ticker for ticker, _ in seen} == {0, 1}


def test_some_tickers_are_withheld(parts):
    numbers = np.concatenate([inputs["ticker"] for inputs, _, _ in take(parts, 0, 40)])
    assert 0 < (numbers == 0).mean() < 0.3


def test_validation_is_seen_from_its_last_row(corpus):
    assets = APPLICATION.task.fit_assets(corpus, CONFIG)
    data = APPLICATION.task.datasets(corpus, assets, CONFIG)
    validation = list(data.validation.as_numpy_iterator())
    ends = [corpus.panel[0].table["close"].to_numpy()[row] for row in corpus.validation[0][:: batches.VALIDATION_EVERY]]
    np.testing.assert_allclose(validation[0][0]["close"][:, -1], ends, rtol=1e-6)
    assert all((weights == 1).all() for _, _, weights in validation)
    assert sum(len(wanted) for _, wanted, _ in validation) == sum(-(-len(rows) // 4) for rows in corpus.validation)


def test_too_few_rows_for_a_batch(corpus):
    with pytest.raises(InputError, match="a batch takes 500 segments of 32"):
        steps_per_pass(corpus, dataclasses.replace(CONFIG, batch_size=500))


def test_a_column_that_features_need(corpus):
    bare = dataclasses.replace(corpus.panel[0], table=corpus.panel[0].table[["close"]])
    with pytest.raises(InputError, match="AAA has no volume; give data that does, or leave it out of `features`"):
        series_of(1, bare, dataclasses.replace(CONFIG, features=("volume",)))
