"""What `evaluate` does: the model and its baselines from the same origins, the pictures, and what it comes to."""

from typing import Any

import numpy as np

from apps.stock_forecasting import coverage, evaluation, plots
from apps.stock_forecasting.backtest import Outcomes, at_reported, baseline_forecasts, forecast_all, outcomes
from apps.stock_forecasting.conformal import adaptive_conformal, apply_conformal
from apps.stock_forecasting.data import Corpus
from apps.stock_forecasting.metrics import LEVELS
from apps.stock_forecasting.model import PERCENT
from apps.stock_forecasting.serving import StockForecaster
from apps.stock_forecasting.verdict import verdict
from recur.errors import InputError
from recur.training.runs import Run
from recur.training.task import Evaluation, Trained


def evaluate(trained: Trained, corpus: Corpus, run: Run) -> Evaluation:
    """Measures forecasts from every origin of the test part.

    Raises:
        InputError: The run tells tickers apart, and the data has others.
    """
    config, assets = trained.config, trained.assets
    names = tuple(prices.name for prices in corpus.panel)
    if config.ticker_units and names != assets.tickers:
        raise InputError(
            f"{corpus.source} has {', '.join(names)} and the run tells {', '.join(assets.tickers)} apart; "
            f"evaluate it on the same tickers"
        )
    found = outcomes(corpus, corpus.test, config.horizon)
    module = StockForecaster(trained.model, assets, config)
    at_every_row = forecast_all(module, corpus, corpus.test, config)
    raw = at_reported(at_every_row)
    own = calibrated(raw, found, assets.scores, config.calibration)
    scales = evaluation.train_scales([prices.log_close for prices in corpus.panel], [rows[-1] for rows in corpus.train])
    others = baseline_forecasts(corpus, corpus.test, config.horizon, config.season)
    mine = evaluation.losses(own, found)
    theirs = {name: evaluation.losses(forecast, found) for name, forecast in others.items()}
    kinds = evaluation.best_of_families(theirs)
    against = {family: evaluation.compare(mine, theirs[name], found) for family, name in kinds.items()}
    metrics = evaluation.scores(own, found, scales)
    skills = {f"skill_{family}": each["mean"].skill for family, each in against.items()}
    collapsed = evaluation.collapsed(own)
    details = {
        "verdict": verdict(
            {family: each["mean"] for family, each in against.items()}, metrics["coverage_80"], collapsed
        ),
        "worst_year_coverage_80": min(_by_year(own, found).values()),
        "collapsed": collapsed,
        "baseline_kinds": kinds,
        "by_horizon": {
            "this model": evaluation.by_horizon(own, found, scales),
            **{family: evaluation.by_horizon(others[name], found, scales) for family, name in kinds.items()},
        },
        "against": {
            family: {horizon: each._asdict() for horizon, each in table.items()} for family, table in against.items()
        },
        "pinball_of_all": {name: 100 * float(loss.mean()) for name, loss in theirs.items()},
        "coverage_80_by_year": {str(year): share for year, share in _by_year(own, found).items()},
        "calibrations": _calibrations(raw, found, assets.scores),
        "levels": list(LEVELS),
        "horizons": list(found.horizons),
    }
    plots.skill_plot(against, run.plots / "skill.png")
    plots.coverage_plot(own, found, run.plots / "coverage.png")
    plots.pit_plot(own, found, run.plots / "pit.png")
    shown = next(place for place, rows in enumerate(corpus.test) if len(rows))
    of_shown = PERCENT * at_every_row[found.tickers == shown].astype(np.float32)
    fans = module.calibrated(of_shown).numpy() / PERCENT
    plots.fan_chart(corpus.panel[shown], corpus.test[shown], fans, run.plots / "fan.png")
    return Evaluation(
        "test",
        len(found.dates),
        metrics | skills,
        {family: evaluation.scores(others[name], found, scales) for family, name in kinds.items()},
        details,
    )


def calibrated(raw: np.ndarray, found: Outcomes, scores: Any, calibration: str) -> np.ndarray:
    """Quantiles of log returns as a run's calibration has them.

    Args:
        raw: float [n, H, Q].
        found: What came after; seen only as it became known, and by `adaptive` alone.
        scores: Of validation; None for none.
        calibration: `none`, `split` or `adaptive`.
    """
    if scores is None or calibration == "none":
        return raw
    if calibration == "split":
        return apply_conformal(raw, scores)
    return adaptive_conformal(raw, found.returns, scores, found.dates, found.known)


def _calibrations(raw: np.ndarray, found: Outcomes, scores: Any) -> dict[str, dict[str, float]]:
    """What each calibration would have come to."""
    table = {}
    for name in ("none", "split", "adaptive") if scores is not None else ("none",):
        quantiles = calibrated(raw, found, scores, name)
        covered = coverage.covered(quantiles, found.returns, LEVELS, 0.8)
        table[name] = {
            "pinball": 100 * float(evaluation.losses(quantiles, found).mean()),
            "coverage_80": float(covered.mean()),
        }
    return table


def _by_year(quantiles: np.ndarray, found: Outcomes) -> dict[int, float]:
    """Coverage of the 80 % intervals by year of the origin; all together where there are no dates."""
    covered = coverage.covered(quantiles, found.returns, LEVELS, 0.8)
    dated = np.issubdtype(found.dates.dtype, np.datetime64)
    years = found.dates.astype("datetime64[Y]").astype(int) + 1970 if dated else np.zeros(len(found.dates), int)
    return coverage.coverage_by_year(covered, years)
