"""Pictures of a backtest: fans beside prices, coverage over time, where targets fell, skill by horizon."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from apps.stock_forecasting import metrics
from apps.stock_forecasting.backtest import Outcomes
from apps.stock_forecasting.config import CONFIDENCES, LEVELS
from apps.stock_forecasting.prices import Prices
from apps.stock_forecasting.significance import Comparison
from recur.files import save_figure

LAST_ROWS = 250
"""About a year of trading days."""
PERIODS = 40
"""Into which the dates of a picture are divided at most."""
BINS = 20


def fan_chart(prices: Prices, origins: np.ndarray, quantiles: np.ndarray, path: Path) -> Path:
    """Draws forecasts that follow one another over the last year, each from where the one before ends.

    Args:
        prices: Of the ticker.
        origins: int [n], the rows that are forecast from, rising.
        quantiles: float [n, H, Q], of cumulative log returns.
        path: Where the PNG goes.
    """
    horizon = quantiles.shape[1]
    last = int(origins[-1])
    chosen = np.flatnonzero(((last - origins) % horizon == 0) & (origins > last - LAST_ROWS))
    close, index = prices.table["close"].to_numpy(), prices.table.index
    shown = slice(max(0, origins[chosen[0]] - horizon), last + horizon + 1)
    figure, axis = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for place in chosen:
        rows = np.arange(origins[place], origins[place] + horizon + 1)
        returns = np.concatenate([np.zeros((1, len(LEVELS))), quantiles[place]])
        levels = close[origins[place]] * np.exp(returns)
        for confidence, shade in ((0.95, 0.12), (0.8, 0.2), (0.5, 0.3)):
            low, high = metrics.interval(levels, LEVELS, confidence)
            label = f"{confidence:.0%} interval" if place == chosen[0] else None
            axis.fill_between(index[rows], low, high, color="tab:blue", alpha=shade, linewidth=0, label=label)
        label = "median" if place == chosen[0] else None
        axis.plot(index[rows], levels[:, len(LEVELS) // 2], color="tab:blue", linewidth=1, linestyle="--", label=label)
    axis.plot(index[shown], close[shown], color="black", linewidth=1.2, label=f"{prices.name}, adjusted close")
    axis.set(ylabel="price", title=f"{prices.name}: forecasts of {horizon} rows, each from the price of its first day")
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    return save_figure(figure, path)


def coverage_plot(quantiles: np.ndarray, outcomes: Outcomes, path: Path) -> Path:
    """Draws the share of targets in the 50, 80 and 95 % intervals over time, all horizons together.

    Args:
        quantiles: float [n, H, Q].
        outcomes: What came after.
        path: Where the PNG goes.
    """
    dates = np.unique(outcomes.dates)
    groups = np.array_split(dates, min(PERIODS, len(dates)))
    place = np.searchsorted([group[0] for group in groups], outcomes.dates, side="right") - 1
    middles = [group[len(group) // 2] for group in groups]
    figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
    for confidence in CONFIDENCES:
        covered = metrics.covered(quantiles, outcomes.returns, LEVELS, confidence)
        shares = [covered[place == group].mean() for group in range(len(groups))]
        (line,) = axis.plot(middles, shares, marker="o", markersize=3, label=f"{confidence:.0%} interval")
        axis.axhline(confidence, color=line.get_color(), linestyle=":", linewidth=1)
    axis.set(ylim=(0, 1.02), xlabel="date of the forecast", ylabel="share that was inside", title="Coverage over time")
    axis.legend()
    axis.grid(alpha=0.3)
    return save_figure(figure, path)


def pit_plot(quantiles: np.ndarray, outcomes: Outcomes, path: Path) -> Path:
    """Draws at which level of its forecast each target lay, a histogram a horizon; flat if forecasts are calibrated.

    Args are those of `coverage_plot`.
    """
    levels = metrics.pit(quantiles, outcomes.returns, LEVELS)
    figure, axes = plt.subplots(
        1,
        len(outcomes.horizons),
        figsize=(3.2 * len(outcomes.horizons), 3),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, horizon, column in zip(axes[0], outcomes.horizons, levels.T, strict=True):
        axis.hist(column, bins=BINS, range=(0, 1), density=True, color="tab:blue", alpha=0.7)
        axis.axhline(1, color="black", linestyle=":")
        axis.set(xlabel="level", title=f"{horizon} ahead")
    axes[0][0].set_ylabel("density")
    figure.suptitle("Where the targets lay among the quantiles (PIT)")
    return save_figure(figure, path)


def skill_plot(against: Mapping[str, Mapping[str, Comparison]], path: Path) -> Path:
    """Draws skill against each baseline by horizon, with its 95 % interval; above zero the model is better.

    Args:
        against: By baseline and horizon, as `significance.compare` has it.
        path: Where the PNG goes.
    """
    shown = {name: table for name, table in against.items() if name not in ("last_value", "drift")} or against
    table = pd.DataFrame(
        {name: {key: comparison.skill for key, comparison in rows.items()} for name, rows in shown.items()}
    )
    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    width = 0.8 / len(table.columns)
    for place, (name, rows) in enumerate(shown.items()):
        skills = np.array([comparison.skill for comparison in rows.values()])
        reach = np.array([[own.skill - own.low, own.high - own.skill] for own in rows.values()]).T
        at = np.arange(len(rows)) + (place - (len(shown) - 1) / 2) * width
        bars = 100 * np.nan_to_num(reach, posinf=0)
        axis.bar(at, 100 * skills, width, yerr=bars, capsize=3, label=name.replace("_", " "), alpha=0.8)
    ticks = [key if key == "mean" else f"{key} ahead" for key in table.index]
    axis.set_xticks(range(len(ticks)), ticks)
    axis.axhline(0, color="black", linewidth=1)
    axis.set(ylabel="less pinball loss, %", title="Skill against baselines, with its 95 % interval")
    axis.legend()
    axis.grid(alpha=0.3, axis="y")
    return save_figure(figure, path)
