"""What the rules of the diagnosis look at: numbers by step, and whether something lasts."""

from collections.abc import Iterator

import pandas as pd

# How many looks in a row must agree: one batch proves nothing.
PERSISTS = 3


def series(records: pd.DataFrame, quantity: str, *kinds: str) -> Iterator[tuple[str, str, pd.Series]]:
    """Gives layer, kind and values by step of each place where a quantity without index was measured.

    Args:
        records: See `recur.gradients.records`.
        quantity: Its name.
        *kinds: Only these; all by default.
    """
    chosen = (records["quantity"] == quantity) & records["index"].isna()
    if kinds:
        chosen &= records["kind"].isin(kinds)
    columns = (records.loc[chosen, name].tolist() for name in ("layer", "kind", "step", "value"))
    found: dict[tuple[str, str], dict[int, float]] = {}
    for layer, kind, step, value in zip(*columns, strict=True):
        found.setdefault((layer, kind), {})[step] = value
    for (layer, kind), values in found.items():
        yield layer, kind, pd.Series(values, dtype=float)


def lasting(holds: pd.Series, looks: int = PERSISTS) -> int | None:
    """The first step by which something has held for a number of looks in a row, or None.

    Example:
        >>> lasting(pd.Series([True, False, True, True], index=[1, 21, 41, 61]), looks=2)
        61
    """
    met = holds.astype(int).rolling(looks).sum() == looks
    return int(met.idxmax()) if met.any() else None
