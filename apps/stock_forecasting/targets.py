"""What is forecast."""

import numpy as np


def targets(log_prices: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    """Cumulative log returns from each origin on.

    Args:
        log_prices: float [rows].
        origins: int [...].
        horizon: H, how many rows ahead.

    Returns:
        The same type [..., H]; at 0 the return of the row after the origin.

    Raises:
        ValueError: There are fewer rows after an origin.
    """
    log_prices, origins = np.asarray(log_prices), np.asarray(origins)
    if origins.size and (origins.min() < 0 or origins.max() + horizon >= len(log_prices)):
        raise ValueError(f"need {horizon} rows after origins up to {origins.max()}, there are {len(log_prices)} in all")
    return log_prices[origins[..., None] + np.arange(1, horizon + 1)] - log_prices[origins][..., None]
