"""Scores, comparisons and the sentence that they come to."""

import numpy as np
import pytest
import scipy.stats

from apps.stock_forecasting import backtest, evaluate, significance
from apps.stock_forecasting.backtest import Outcomes
from apps.stock_forecasting.config import LEVELS
from apps.stock_forecasting.significance import Comparison, verdict

HORIZONS = (1, 5)
DEVIATION = 0.02


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """Two tickers whose returns are normal, each date the same for both but for a little."""
    random = np.random.default_rng(0)
    dates = np.arange("2015-01-01", "2018-01-01", dtype="datetime64[D]")
    shared = random.normal(0, DEVIATION, (len(dates), 2)) * np.sqrt(HORIZONS)
    returns = np.concatenate([shared, shared + random.normal(0, 0.002, shared.shape)])
    known = np.concatenate([dates, dates])[:, None] + np.array(HORIZONS)
    return Outcomes(HORIZONS, np.repeat([0, 1], len(dates)), np.concatenate([dates, dates]), known, returns)


def normal(outcomes: Outcomes, factor: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """Quantiles of the normal distribution with some times the right deviation."""
    one = scipy.stats.norm.ppf(LEVELS) * DEVIATION * factor + shift
    return np.broadcast_to(one * np.sqrt(HORIZONS)[:, None], (len(outcomes.dates), 2, len(LEVELS)))


SCALES = np.array([[0.016, 0.02], [0.016, 0.02]])


def test_scores_of_the_truth(outcomes):
    scores = backtest.scores(normal(outcomes, shift=1e-9), outcomes, SCALES)
    assert scores["coverage_80"] == pytest.approx(0.8, abs=0.02)
    assert scores["coverage_95"] == pytest.approx(0.95, abs=0.01)
    assert scores["rmsse"] == pytest.approx((1 + np.sqrt(5)) / 2, rel=0.05)
    assert scores["direction"] == pytest.approx(0.5, abs=0.05)
    assert scores["width_80"] == pytest.approx(200 * 1.2816 * DEVIATION * (1 + np.sqrt(5)) / 2, rel=0.01)
    assert all(np.isfinite(value) for value in scores.values())


def test_by_horizon_is_the_same_table_apart(outcomes):
    table = backtest.by_horizon(normal(outcomes), outcomes, SCALES)
    together = backtest.scores(normal(outcomes), outcomes, SCALES)
    assert list(table) == ["1", "5"]
    for name in ("pinball", "crps", "mase", "coverage_80"):
        assert np.mean([rows[name] for rows in table.values()]) == pytest.approx(together[name])


def test_a_wrong_scale_is_found_worse_and_the_same_is_not(outcomes):
    right, wide = (backtest.losses(normal(outcomes, factor), outcomes) for factor in (1.0, 2.0))
    against = significance.compare(right, wide, outcomes.dates, outcomes.horizons)
    assert list(against) == ["1", "5", "mean"]
    for comparison in against.values():
        assert 0 < comparison.low < comparison.skill < comparison.high
        assert comparison.p_value < 1e-6
    same = significance.compare(right, right, outcomes.dates, outcomes.horizons)["mean"]
    assert (same.skill, same.p_value) == (0.0, 1.0)
    assert significance.compare(wide, right, outcomes.dates, outcomes.horizons)["mean"].skill < 0


def test_tickers_of_one_date_count_once(outcomes):
    """Twice the same ticker makes nothing surer."""
    half = outcomes.tickers == 0
    once = Outcomes(HORIZONS, *(getattr(outcomes, name)[half] for name in ("tickers", "dates", "known", "returns")))
    twice = Outcomes(
        HORIZONS, *(np.concatenate([panel, panel]) for panel in (once.tickers, once.dates, once.known, once.returns))
    )
    results = []
    for panel in (once, twice):
        losses = (backtest.losses(normal(panel, factor), panel) for factor in (1.0, 1.1))
        results.append(significance.compare(*losses, panel.dates, panel.horizons)["mean"])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9)


def test_too_few_dates_for_a_test(outcomes):
    few = Outcomes(HORIZONS, outcomes.tickers[:3], outcomes.dates[:3], outcomes.known[:3], outcomes.returns[:3])
    losses = backtest.losses(normal(few), few)
    assert significance.compare(losses, losses * 2, few.dates, few.horizons)["mean"].p_value == 1.0


def test_of_a_family_the_best_is_taken():
    losses = {
        name: np.full((3, 2), value)
        for name, value in {"last_value": 9, "random_walk_250": 3, "random_walk_500": 2, "ewma_normal": 4}.items()
    }
    assert evaluate.best_of_families(losses) == {
        "last_value": "last_value",
        "random_walk": "random_walk_500",
        "ewma": "ewma_normal",
    }


def test_a_copy_of_the_last_price_is_called_collapsed(outcomes):
    assert backtest.collapsed(normal(outcomes))
    assert not backtest.collapsed(normal(outcomes, shift=0.001))


GOOD, OPEN, BAD = Comparison(0.02, 0.01, 0.03, 0.001), Comparison(0.01, -0.01, 0.03, 0.3), Comparison(-0.02, 0, 0, 0.01)


@pytest.mark.parametrize(
    ("against", "wanted"),
    [
        ({"random_walk": GOOD}, "Pinball loss is 2.0 % below that of the random walk with past quantiles (p = 0.001)."),
        ({"garch": OPEN}, "No difference is established from GARCH(1,1) (+1.0 %, p = 0.300)."),
        ({"garch": OPEN}, "There is no skill here that a user could rely on."),
        ({"drift": BAD}, "Pinball loss is 2.0 % above that of drift (p = 0.010)."),
        ({"ewma": GOOD._replace(p_value=1e-9)}, "p < 0.001"),
    ],
)
def test_the_sentence_says_what_was_beaten(against, wanted):
    said = verdict(against, 0.8, collapsed=False)
    assert wanted in said
    assert said.endswith("this is no trading advice.")
    assert "copies" not in said
    assert ("no skill" in said) == (GOOD.skill not in [comparison.skill for comparison in against.values()])
    assert "copies of the last price" in verdict(against, 0.8, collapsed=True)
