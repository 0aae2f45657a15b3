"""What an evaluation comes to, in words that promise nothing."""

from collections.abc import Mapping

from apps.stock_forecasting.evaluation import Comparison

NAMES = {
    "last_value": "the last value",
    "drift": "drift",
    "seasonal_naive": "the value a season before",
    "random_walk": "the random walk with past quantiles",
    "ewma": "EWMA volatility",
    "garch": "GARCH(1,1)",
}
SURE = 0.05
WARNING = "Past losses promise nothing for those to come; this is no trading advice."


def verdict(against: Mapping[str, Comparison], coverage_80: float, collapsed: bool) -> str:
    """A few sentences: what was beaten, how surely, what was not.

    Args:
        against: Of each baseline, over all horizons.
        coverage_80: Share of the targets in the 80 % intervals.
        collapsed: Whether the medians are copies of the last price.

    Example:
        >>> print(verdict({"drift": Comparison(0.02, 0.01, 0.03, 0.001)}, 0.8, False))
        Pinball loss is 2.0 % below that of drift (p = 0.001). The 80 % intervals held 80.0 % of what came. Past losses promise nothing for those to come; this is no trading advice.
    """  # noqa: E501
    groups: dict[str, list[str]] = {"below": [], "above": [], "open": []}
    for name, each in against.items():
        kind = "open" if each.p_value >= SURE else "below" if each.skill > 0 else "above"
        p_value = "p < 0.001" if each.p_value < 0.001 else f"p = {each.p_value:.3f}"
        sign = f"{100 * each.skill:+.1f} %, " if kind == "open" else f"{100 * abs(each.skill):.1f} % {kind} that of "
        named = NAMES.get(name, name)
        groups[kind].append(f"{named} ({sign}{p_value})" if kind == "open" else f"{sign}{named} ({p_value})")
    sentences = [f"Pinball loss is {_listed(groups[kind])}." for kind in ("below", "above") if groups[kind]]
    if groups["open"]:
        sentences.append(f"No difference is established from {_listed(groups['open'])}.")
    if not groups["below"]:
        sentences.insert(0, "There is no skill here that a user could rely on.")
    if collapsed:
        sentences.append("The medians are copies of the last price.")
    sentences.append(f"The 80 % intervals held {100 * coverage_80:.1f} % of what came.")
    return " ".join([*sentences, WARNING])


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
