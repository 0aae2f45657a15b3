"""What the rules of the diagnosis look at: numbers by step, and whether something lasts."""

from collections.abc import Iterator

import pandas as pd

# How many looks in a row must agree: one batch proves nothing.
PERSISTS = 3


def series(records: pd.DataFrame, quantity: str) -> Iterator[tuple[str, str, pd.Series]]:
    """Gives layer, kind and values by step of each place where a quantity without index was measured.

    Args:
        records: See `shared.gradients.records`.
        quantity: Its name.
    """
    chosen = records[(records["quantity"] == quantity) & records["index"].isna()]
    for (layer, kind), group in chosen.groupby(["layer", "kind"], sort=False):
        yield layer, kind, group.drop_duplicates("step", keep="last").set_index("step")["value"]


def lasting(holds: pd.Series, looks: int = PERSISTS) -> int | None:
    """The first step by which something has held for a number of looks in a row, or None.

    Example:
        >>> lasting(pd.Series([True, False, True, True], index=[1, 21, 41, 61]), looks=2)
        61
    """
    met = holds.astype(int).rolling(looks).sum() == looks
    return int(met.idxmax()) if met.any() else None
