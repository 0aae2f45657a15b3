"""Baselines that know of volatility: RiskMetrics' moving average and GARCH, with normal or with past residuals.

Both give a variance for each row ahead. A random walk's return over h rows has their sum; its quantiles are those of
the normal distribution, or those that past returns over h rows had in units of the deviation forecast for them.

Sources:
    J.P. Morgan (1996), "RiskMetrics Technical Document", 4th edition, section 5.2; Bollerslev, T. (1986), "Generalized
    Autoregressive Conditional Heteroskedasticity", Journal of Econometrics 31(3); Hull, J. and White, A. (1998),
    "Incorporating Volatility Updating into the Historical Simulation Method for Value-at-Risk", Journal of Risk 1(1):
    past residuals.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy.signal
import scipy.stats
from arch import arch_model
from numpy.lib.stride_tricks import sliding_window_view

from apps.stock_forecasting.config import LEVELS

Residuals = Literal["normal", "empirical"]
DECAY = 0.94
"""RiskMetrics' for daily returns."""
FEWEST = 20
"""Past returns below which their quantiles say nothing."""
TOGETHER = 2_000_000
"""Numbers that are sorted together."""
RESIDUAL_WINDOW = 1000
PERCENT = 100
"""GARCH is fitted on returns in percent: its optimiser is made for numbers of about 1."""
FEWEST_TO_FIT = 250
LEAST_VARIANCE = 1e-12
"""Of a log return; a price that stands still has some."""


class Garch(NamedTuple):
    """A GARCH(1,1) of log returns: σ²ₜ₊₁ = ω + α (rₜ − μ)² + β σ²ₜ.

    Attributes:
        mean: μ.
        omega: ω.
        alpha: α.
        beta: β.
        start: σ² of the first return.
    """

    mean: float
    omega: float
    alpha: float
    beta: float
    start: float

    def variances(self, returns: np.ndarray) -> np.ndarray:
        """Of the return after each of some returns.

        Args:
            returns: float [returns].

        Returns:
            float64 [returns], σ²ₜ₊₁ at t.
        """
        driven = self.omega + self.alpha * (np.asarray(returns, np.float64) - self.mean) ** 2
        variances, _ = scipy.signal.lfilter([1.0], [1.0, -self.beta], driven, zi=[self.beta * self.start])
        return variances

    def cumulative(self, variance: np.ndarray, horizon: int) -> np.ndarray:
        """Of the return over 1 to H rows.

        Args:
            variance: float [rows], of the next return.
            horizon: H.

        Returns:
            float64 [rows, H]: E σ²ₜ₊ₖ₊₁ = ω + (α + β) E σ²ₜ₊ₖ, summed.
        """
        ahead = [np.asarray(variance, np.float64)]
        for _ in range(horizon - 1):
            ahead.append(self.omega + (self.alpha + self.beta) * ahead[-1])
        return np.cumsum(ahead, axis=0).T


def ewma(
    log_prices: np.ndarray,
    origins: np.ndarray,
    horizons: Sequence[int],
    levels: Sequence[float] = LEVELS,
    residuals: Residuals = "normal",
    decay: float = DECAY,
) -> np.ndarray:
    """A walk without drift whose variance is an exponentially weighted mean of squared returns.

    Args:
        log_prices: float [rows], natural logarithms.
        origins: int [origins], rows to forecast from.
        horizons: H numbers of rows ahead.
        levels: Of the quantiles, rising, in (0, 1).
        residuals: Whether quantiles are the normal distribution's or those of the last 1,000 standardised returns.
        decay: λ, the weight of a row in units of the next one's.

    Returns:
        float64 [origins, H, levels], quantiles of the log return from the origin's row to those H after it.

    Raises:
        ValueError: No return is past; with empirical residuals, fewer than 20.
    """
    log_prices, origins = np.asarray(log_prices, np.float64), np.asarray(origins)
    squared = pd.Series(np.diff(log_prices, prepend=np.nan) ** 2)
    variance = squared.ewm(alpha=1 - decay).mean().to_numpy()  # weights that add up to 1 from the first return on
    cumulative = variance[:, None] * np.asarray(horizons)
    return _quantiles(log_prices, np.zeros(len(horizons)), cumulative, origins, horizons, levels, residuals)


def garch(
    log_prices: np.ndarray,
    origins: np.ndarray,
    horizons: Sequence[int],
    levels: Sequence[float] = LEVELS,
    fit_to: int | None = None,
    residuals: Residuals = "normal",
    refit_every: int = 0,
) -> np.ndarray:
    """A walk with constant drift and the variance of a GARCH(1,1), fitted by likelihood and then filtered forward.

    Args:
        log_prices: As `ewma` has it, like the three that follow.
        origins: Rising.
        horizons: H.
        levels: Of the quantiles.
        fit_to: The last row to fit on; the first origin by default.
        residuals: As `ewma` has them.
        refit_every: Rows after which to fit again, on all rows up to the origin then; 0 for never.

    Returns:
        As `ewma`.

    Raises:
        ValueError: There are fewer than 250 returns to fit on, or rows to fit on lie after the first origin.
    """
    log_prices, origins = np.asarray(log_prices, np.float64), np.asarray(origins)
    if not len(origins):
        return np.empty((0, len(horizons), len(levels)))
    fit_to = int(origins[0]) if fit_to is None else fit_to
    if fit_to > origins[0]:
        raise ValueError(f"the fit must not see rows after the first origin {origins[0]}, got {fit_to}")
    returns = np.diff(log_prices)
    block = (origins - origins[0]) // refit_every if refit_every else np.zeros(len(origins), np.int64)
    quantiles = np.empty((len(origins), len(horizons), len(levels)))
    for number in np.unique(block):
        rows = np.flatnonzero(block == number)
        fitted = fit_garch(returns[: origins[rows[0]] if number else fit_to])
        variance = np.concatenate([[fitted.start], fitted.variances(returns)])
        means = fitted.mean * np.asarray(horizons)
        cumulative = fitted.cumulative(variance, max(horizons))[:, np.asarray(horizons) - 1]
        quantiles[rows] = _quantiles(log_prices, means, cumulative, origins[rows], horizons, levels, residuals)
    return quantiles


def fit_garch(returns: np.ndarray) -> Garch:
    """Fits a GARCH(1,1) with constant mean by normal quasi-likelihood.

    Args:
        returns: float [returns], log returns.

    Raises:
        ValueError: There are fewer than 250, or they do not vary.
    """
    returns = np.asarray(returns, np.float64) * PERCENT
    if len(returns) < FEWEST_TO_FIT or np.ptp(returns) == 0:
        raise ValueError(f"need {FEWEST_TO_FIT} returns that vary to fit a GARCH, got {len(returns)}")
    model = arch_model(returns, mean="Constant", vol="GARCH", p=1, q=1, rescale=False)
    fitted = model.fit(disp="off", show_warning=False)
    mean, omega, alpha, beta = (float(fitted.params[name]) for name in ("mu", "omega", "alpha[1]", "beta[1]"))
    start = float(fitted.conditional_volatility[0]) ** 2
    return Garch(mean / PERCENT, omega / PERCENT**2, alpha, beta, start / PERCENT**2)


def _quantiles(
    log_prices: np.ndarray,
    means: np.ndarray,
    variances: np.ndarray,
    origins: np.ndarray,
    horizons: Sequence[int],
    levels: Sequence[float],
    residuals: Residuals,
) -> np.ndarray:
    """Quantiles from means [H] and variances [rows, H] of cumulative returns; float64 [origins, H, levels]."""
    if len(origins) and origins.min() < 1:
        raise ValueError("no return up to the first row tells of volatility; forecast from later ones")
    deviations = np.sqrt(np.maximum(variances, LEAST_VARIANCE))
    if residuals == "normal":
        standard = np.broadcast_to(scipy.stats.norm.ppf(levels), (len(origins), len(means), len(levels)))
    else:
        standard = np.empty((len(origins), len(means), len(levels)))
        for place, (step, mean) in enumerate(zip(horizons, means, strict=True)):
            # From the second row on: the first has no return, so no variance.
            past = (log_prices[1 + step :] - log_prices[1:-step] - mean) / deviations[1:-step, place]
            standard[:, place] = rolling_quantiles(past, origins - step - 1, RESIDUAL_WINDOW, levels)
    return means[:, None] + standard * deviations[origins][..., None]


def rolling_quantiles(values: np.ndarray, ends: np.ndarray, window: int, levels: Sequence[float]) -> np.ndarray:
    """Quantiles of the values up to some positions, interpolated as `numpy.quantile` does.

    Args:
        values: float [values].
        ends: int [ends], the last position of each window.
        window: How many values; those that there are where there are fewer.
        levels: Of the quantiles.

    Returns:
        float64 [ends, levels].

    Raises:
        ValueError: A window has fewer than 20 values.
    """
    if len(ends) and min(np.min(ends) + 1, window) < FEWEST:
        raise ValueError(f"need {FEWEST} past values for quantiles, got {min(np.min(ends) + 1, window)}")
    quantiles = np.empty((len(ends), len(levels)))
    full = np.flatnonzero(ends >= window - 1)
    if len(full):
        every = sliding_window_view(values, window)
        for some in np.array_split(full, -(-len(full) * window // TOGETHER)):
            quantiles[some] = _quantiles_of_sorted(np.sort(every[ends[some] - window + 1], axis=1), levels)
    for row in np.flatnonzero(ends < window - 1):
        quantiles[row] = np.quantile(values[: ends[row] + 1], levels)
    return quantiles


def _quantiles_of_sorted(ordered: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles [n, levels] of rising rows [n, window]: several times as fast as `numpy.quantile`."""
    places = np.asarray(levels) * (ordered.shape[1] - 1)
    below = np.floor(places).astype(int)
    low, high = ordered[:, below], ordered[:, np.minimum(below + 1, ordered.shape[1] - 1)]
    return low + (places - below) * (high - low)
