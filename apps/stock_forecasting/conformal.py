"""Intervals that cover what they say: quantiles are moved by what they missed on data that was not fitted on.

The two quantiles at τ and 1 − τ are moved together, outwards or inwards, by as much as their interval lacked; then all
are sorted (Chernozhukov et al. 2010), so that none cross. Scores are divided by the width between the quantiles a
quarter from either end, so that a calm week and a wild one are calibrated alike (CQR-r of Sesia and Candès 2020).

Sources:
    Romano, Y., Patterson, E. and Candès, E. J. (2019), "Conformalized Quantile Regression", NeurIPS, equations 6–8;
    Gibbs, I. and Candès, E. J. (2021), "Adaptive Conformal Inference Under Distribution Shift", NeurIPS, equation 2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RATE = 0.005
"""How fast the level adapts: γ of Gibbs and Candès, who use this one on volatility."""


class Scores(NamedTuple):
    """What intervals lacked on calibration data.

    Attributes:
        sorted: float64 [pairs, H, n], rising: by how many of its scale each target is outside, negative inside.
        levels: [Q], of the quantiles.
    """

    sorted: np.ndarray
    levels: tuple[float, ...]


def fit_conformal(quantiles: np.ndarray, targets: np.ndarray, levels: Sequence[float]) -> Scores:
    """Measures by how much intervals miss.

    Args:
        quantiles: float [n, H, Q], of validation; they do not cross.
        targets: float [n, H].
        levels: [Q], symmetric: with τ there is 1 − τ.

    Raises:
        ValueError: Levels are not symmetric, or there are no rows.
    """
    quantiles, targets = np.asarray(quantiles, np.float64), np.asarray(targets, np.float64)
    if not len(targets):
        raise ValueError("no row to calibrate on")
    if not np.allclose(np.add(levels, levels[::-1]), 1):
        raise ValueError(f"levels must be symmetric, got {list(levels)}")
    scores = np.array([_score(quantiles, targets, pair) for pair in range(len(levels) // 2)])
    return Scores(np.sort(np.moveaxis(scores, 1, -1), axis=-1), tuple(levels))


def conformal_quantile(scores: np.ndarray, miss: float | np.ndarray) -> np.ndarray:
    """The score that all but a share of new ones stay below: the ⌈(n + 1)(1 − α)⌉-th of n.

    Args:
        scores: float [..., n], rising.
        miss: α, a number or [...].

    Returns:
        float64 [...]. Where so small a share needs more scores than there are, the largest: not infinity, which is
        what the theory has there. Where α is 1 or more, the smallest.
    """
    number = scores.shape[-1]
    rank = np.ceil((number + 1) * (1 - np.asarray(miss, np.float64)) - 1e-9).astype(np.int64)
    rank = np.broadcast_to(np.clip(rank, 1, number), scores.shape[:-1])
    return np.take_along_axis(scores, rank[..., None] - 1, axis=-1)[..., 0]


def apply_conformal(quantiles: np.ndarray, scores: Scores) -> np.ndarray:
    """Moves quantiles by what they missed, the same at all times (split conformal).

    Args:
        quantiles: float [n, H, Q].
        scores: Of `fit_conformal`.

    Returns:
        float64 [n, H, Q], sorted. On rows that are exchangeable with the calibration's the interval between τ and
        1 − τ covers at least 1 − 2τ, as long as no two had to change places.
    """
    return _moved(np.asarray(quantiles, np.float64), split_margins(scores))


def split_margins(scores: Scores) -> np.ndarray:
    """By how many of their scale each pair of quantiles moves outwards, float64 [pairs, H]; inwards if negative."""
    pairs = len(scores.sorted)
    miss = np.broadcast_to(2 * np.array(scores.levels[:pairs])[:, None], scores.sorted.shape[:2])
    return conformal_quantile(scores.sorted, miss)


def adaptive_conformal(
    quantiles: np.ndarray,
    targets: np.ndarray,
    scores: Scores,
    dates: np.ndarray,
    known: np.ndarray,
    rate: float = RATE,
) -> np.ndarray:
    """Moves quantiles by more after they missed too often, by less after they covered too much.

    The share α that may miss is corrected by γ (α* − misses) after every date, with the mean miss of all targets that
    have become known since: a forecast h rows ahead tells nothing for h rows.

    Args:
        quantiles: float [n, H, Q].
        targets: float [n, H], seen only from `known` on.
        scores: Of `fit_conformal`, on earlier rows.
        dates: [n], of the origins, in any order.
        known: [n, H], of the same type: the date at which each target is known, later than that of the origin.
        rate: γ; 0 is `apply_conformal`.

    Returns:
        float64 [n, H, Q], sorted; forecasts of a date depend on targets known at that date alone.

    Raises:
        ValueError: A target is known at its origin.
    """
    quantiles, targets = np.asarray(quantiles, np.float64), np.asarray(targets, np.float64)
    dates, known = np.asarray(dates), np.asarray(known)
    if (known <= dates[:, None]).any():
        raise ValueError("a target cannot be known at its origin")
    pairs, (count, horizon) = len(scores.sorted), targets.shape
    aim = 2 * np.array(scores.levels[:pairs])[:, None]  # [pairs, 1]
    miss = np.repeat(aim, horizon, axis=1)  # [pairs, H]
    own = np.array([_score(quantiles, targets, pair) for pair in range(pairs)]).reshape(pairs, count, horizon)
    margins = np.empty((pairs, count, horizon))
    calendar = np.unique(dates)
    of_date = np.searchsorted(calendar, dates)
    # A target is taken into account at the first date at which it is known.
    arrival = np.searchsorted(calendar, known, side="left")
    by_date = _grouped(of_date, len(calendar))
    arriving = [_grouped(arrival[:, step], len(calendar)) for step in range(horizon)]
    for date in range(len(calendar)):
        for step in range(horizon):
            if len(rows := arriving[step][date]):
                missed = (own[:, rows, step] > margins[:, rows, step]).mean(axis=1)
                miss[:, step] += rate * (aim[:, 0] - missed)
        margins[:, by_date[date]] = conformal_quantile(scores.sorted, miss)[:, None]
    return _moved(quantiles, margins)


def _grouped(places: np.ndarray, groups: int) -> list[np.ndarray]:
    """Which rows have each place from 0 on; those beyond the last group are left out."""
    order = np.argsort(places, kind="stable")
    return np.split(order, np.searchsorted(places[order], np.arange(1, groups + 1)))[:groups]


def _scale(quantiles: np.ndarray) -> np.ndarray:
    """Width between the quantiles a quarter from either end, [n, H]; 1 where that is 0."""
    last = quantiles.shape[-1] - 1
    width = quantiles[..., last - last // 4] - quantiles[..., last // 4]
    return np.where(width > 0, width, 1.0)


def _score(quantiles: np.ndarray, targets: np.ndarray, pair: int) -> np.ndarray:
    """Equation 6 of Romano et al., scaled: by how much each target is outside an interval; [n, H]."""
    outside = np.maximum(quantiles[..., pair] - targets, targets - quantiles[..., -1 - pair])
    return outside / _scale(quantiles)


def _moved(quantiles: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Quantiles, each pair of them moved by margins [pairs, H] or [pairs, n, H] of their scale."""
    moved, scale = quantiles.copy(), _scale(quantiles)
    for pair, margin in enumerate(margins):
        moved[..., pair] -= margin * scale
        moved[..., -1 - pair] += margin * scale
    return np.sort(moved, axis=-1)
