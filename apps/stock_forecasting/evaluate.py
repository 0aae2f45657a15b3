"""What `evaluate` does: the model and its baselines from the same origins, the pictures, and what it comes to."""

from collections.abc import Mapping

import numpy as np

from apps.stock_forecasting import backtest, metrics, plots
from apps.stock_forecasting.assets import StockAssets
from apps.stock_forecasting.backtest import Outcomes, at_reported, forecast_all, outcomes_of
from apps.stock_forecasting.baselines import baseline_forecasts
from apps.stock_forecasting.config import LEVELS, StockConfig
from apps.stock_forecasting.conformal import Scores, adaptive_conformal, apply_conformal
from apps.stock_forecasting.data import Corpus
from apps.stock_forecasting.model import PERCENT
from apps.stock_forecasting.serving import StockForecaster
from apps.stock_forecasting.significance import compare, verdict
from recur.errors import InputError
from recur.training.runs import Run
from recur.training.task import Evaluation, Trained

FAMILIES = {"random_walk": "random_walk_", "ewma": "ewma_", "garch": "garch_"}
"""Baselines of which there are several kinds; the model is held against the best of each, chosen on the same part."""


def evaluate(trained: Trained[StockConfig, StockAssets], corpus: Corpus, run: Run) -> Evaluation:
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
    outcomes = outcomes_of(corpus, corpus.test, config.horizon)
    module = StockForecaster(trained)
    at_every_row = forecast_all(module, corpus, corpus.test, config)
    raw = at_reported(at_every_row)
    own = calibrated(raw, outcomes, assets.scores, config.calibration)
    scales = backtest.train_scales([prices.log_close for prices in corpus.panel], [rows[-1] for rows in corpus.train])
    others = baseline_forecasts(corpus, corpus.test, config.horizon, config.season)
    losses = backtest.losses(own, outcomes)
    of_baselines = {name: backtest.losses(forecast, outcomes) for name, forecast in others.items()}
    kinds = best_of_families(of_baselines)
    shown = {"this model": own} | {family: others[name] for family, name in kinds.items()}
    scores = {name: backtest.scores(quantiles, outcomes, scales) for name, quantiles in shown.items()}
    against = {
        family: compare(losses, of_baselines[name], outcomes.dates, outcomes.horizons) for family, name in kinds.items()
    }
    together = {family: by_horizon["mean"] for family, by_horizon in against.items()}
    by_year = _coverage_by_year(own, outcomes)
    model_scores, collapsed = scores.pop("this model"), backtest.collapsed(own)
    details = {
        "verdict": verdict(together, model_scores["coverage_80"], collapsed),
        "worst_year_coverage_80": min(by_year.values()),
        "collapsed": collapsed,
        "baseline_kinds": kinds,
        "by_horizon": {name: backtest.by_horizon(quantiles, outcomes, scales) for name, quantiles in shown.items()},
        "against": {
            family: {horizon: comparison._asdict() for horizon, comparison in by_horizon.items()}
            for family, by_horizon in against.items()
        },
        "pinball_of_all": {name: 100 * float(loss.mean()) for name, loss in of_baselines.items()},
        "coverage_80_by_year": {str(year): share for year, share in by_year.items()},
        "calibrations": _calibrations(raw, outcomes, assets.scores),
        "levels": list(LEVELS),
        "horizons": list(outcomes.horizons),
    }
    plots.skill_plot(against, run.plots / "skill.png")
    plots.coverage_plot(own, outcomes, run.plots / "coverage.png")
    plots.pit_plot(own, outcomes, run.plots / "pit.png")
    first = next(place for place, rows in enumerate(corpus.test) if len(rows))
    of_first = PERCENT * at_every_row[outcomes.tickers == first].astype(np.float32)
    fans = module.calibrated(of_first).numpy() / PERCENT
    plots.fan_chart(corpus.panel[first], corpus.test[first], fans, run.plots / "fan.png")
    return Evaluation(
        split="test",
        examples=len(outcomes.dates),
        metrics=model_scores | {f"skill_{family}": comparison.skill for family, comparison in together.items()},
        baselines=scores,
        details=details,
    )


def best_of_families(of_baselines: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The name of each baseline that is reported, and of which kind it is: of several kinds the one that loses least.

    Args:
        of_baselines: Losses [n, H] by name.
    """
    chosen: dict[str, str] = {}
    for name in of_baselines:
        family = next((short for short, prefix in FAMILIES.items() if name.startswith(prefix)), name)
        if family not in chosen or of_baselines[name].mean() < of_baselines[chosen[family]].mean():
            chosen[family] = name
    return chosen


def calibrated(raw: np.ndarray, outcomes: Outcomes, scores: Scores | None, calibration: str) -> np.ndarray:
    """Quantiles of log returns as a run's calibration has them.

    Args:
        raw: float [n, H, Q].
        outcomes: What came after; seen only as it became known, and by `adaptive` alone.
        scores: Of validation; None for none.
        calibration: `none`, `split` or `adaptive`.
    """
    if scores is None or calibration == "none":
        return raw
    if calibration == "split":
        return apply_conformal(raw, scores)
    return adaptive_conformal(raw, outcomes.returns, scores, outcomes.dates, outcomes.known)


def _calibrations(raw: np.ndarray, outcomes: Outcomes, scores: Scores | None) -> dict[str, dict[str, float]]:
    """What each calibration would have come to."""
    table = {}
    for name in ("none", "split", "adaptive") if scores is not None else ("none",):
        quantiles = calibrated(raw, outcomes, scores, name)
        covered = metrics.covered(quantiles, outcomes.returns, LEVELS, 0.8)
        table[name] = {
            "pinball": 100 * float(backtest.losses(quantiles, outcomes).mean()),
            "coverage_80": float(covered.mean()),
        }
    return table


def _coverage_by_year(quantiles: np.ndarray, outcomes: Outcomes) -> dict[int, float]:
    """Coverage of the 80 % intervals by year of the origin; all together where there are no dates."""
    covered = metrics.covered(quantiles, outcomes.returns, LEVELS, 0.8)
    dated = np.issubdtype(outcomes.dates.dtype, np.datetime64)
    years = outcomes.dates.astype("datetime64[Y]").astype(int) + 1970 if dated else np.zeros(len(outcomes.dates), int)
    return metrics.coverage_by_year(covered, years)
