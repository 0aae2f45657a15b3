"""Names what is wrong with a training run from what `GradientMonitor` wrote down.

A rule looks for evidence that lasts, and evidence that is complete at some step stays so, whatever follows: a finished
run gives the findings that were said while it trained. What vanishes and explodes through time is judged in
`recur.gradients.diagnosis_through_time`, which says by what.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from recur.gradients.diagnosis_through_time import large_radius, through_time
from recur.gradients.evidence import PERSISTS, lasting, series
from recur.gradients.finding import Finding

# How far a norm may leap over its median so far; Pascanu et al. 2013 clip at 5 to 10 times the mean.
LEAP = 1000.0

# Mean share of gates or units within 1 % of their bounds. Gates that are meant to stay open for hundreds of steps bring
# it to one half: forget gates near 1 and input gates near 0, output gates free (Tallec and Ollivier 2018).
SATURATED = 0.8

# Share of the units of a layer without any gradient for several looks.
DEAD = 0.5

# Update-to-weight ratio, median over kernels: about 1e-3 is usual (Karpathy, CS231n), and Adam at common rates starts
# between 1e-3 and 1e-1. A single step may not replace half of the weights, nor a hundred make them ten times as
# large (small embeddings do grow sixfold meanwhile, at a rate of 6e-3).
RATIO_HIGH, RATIO_AT_ONCE, RATIO_LOW = 0.1, 0.5, 1e-4
GROWN, WITHIN = 10.0, 100
# Both count from half the norm that Glorot's initialisation gives: a kernel that begins at zero has to grow.
USUAL = 0.5
# From how many steps on a run whose weights hardly move is called slow; a warm-up may take the first.
SLOW_AFTER = 100
# Of the first gradient norm; a run that has come below it has learned what it can.
FADED = 0.01


def diagnose(records: pd.DataFrame) -> list[Finding]:
    """Returns what is wrong, each thing once for a layer, in the order in which it showed.

    Args:
        records: See `recur.gradients.records`; of a whole run, or of its beginning.

    Example:
        >>> from recur.gradients.records import table
        >>> diagnose(table([(step, "dense", "kernel", "dead_units", None, 1.0) for step in (1, 21, 41)]))[0].name
        'dead units'
    """
    found = sorted((finding for rule in _RULES for finding in rule(records)), key=lambda finding: finding.step)
    worse = [finding.step for finding in found if finding.name in ("exploding gradient", "non-finite gradient")]
    # Next to weights or gradients that have exploded every step looks small.
    return [each for each in found if each.name != "learning rate too low" or each.step < min(worse, default=np.inf)]


def not_finite(records: pd.DataFrame) -> Iterator[Finding]:
    """A NaN or an infinity in any gradient, at any step."""
    rows = records[records["quantity"] == "not_finite"]
    if rows.empty:
        return
    step = int(rows["step"].min())
    first = rows[(rows["step"] == step) & (rows["kind"] != "model")]
    count = int(rows[(rows["step"] == step) & (rows["kind"] == "model")]["value"].iloc[0])
    layers = list(dict.fromkeys(first["layer"]))
    named = ", ".join(layers[:3]) + (f" and {len(layers) - 3} more" if len(layers) > 3 else "")
    yield Finding(
        "non-finite gradient",
        "",
        step,
        f"{count} step{'' if count == 1 else 's'} so far with NaN or infinite gradients, in {named}",
        "Look for NaN, infinity or extreme values in the data; where there are none, lower the learning rate and clip "
        "by global norm. GradientClipping skips such steps and keeps the weights.",
    )


def leap(records: pd.DataFrame) -> Iterator[Finding]:
    """A global gradient norm far above what it was."""
    for _, _, norms in series(records, "gradient_norm", "model"):
        before = norms.shift().expanding(PERSISTS).median()
        # After convergence a batch that fits badly may leap far above the median, but not above where it all began.
        far = (norms > LEAP * before) & (before > 0) & (norms > norms.shift().cummax())
        if far.any():
            step = int(far.idxmax())
            yield Finding(
                "exploding gradient",
                "",
                step,
                f"the global norm is {norms[step]:.1e} and was {before[step]:.1e} before",
                "Clip by global norm (GradientClipping), lower the learning rate, or warm it up.",
            )


def saturated(records: pd.DataFrame) -> Iterator[Finding]:
    """Gates or activations that stay at their bounds, where they pass no gradient."""
    for layer, kind, shares in series(records, "saturated"):
        if (step := lasting(shares > SATURATED)) is not None:
            yield Finding(
                "saturated gates" if kind == "gates" else "saturated units",
                layer,
                step,
                f"{shares[step]:.0%} of its {kind} are within 1 % of their bounds",
                "Standardise the inputs, lower the learning rate, initialise smaller, or use a layer-normalised cell.",
            )


def dead_units(records: pd.DataFrame) -> Iterator[Finding]:
    """Units without any gradient; where a whole layer is dead those before it get none because of it."""
    shares: dict[str, pd.Series] = {}
    for layer, _, values in series(records, "dead_units"):
        # A weight may lack gradients for reasons of its own, a recurrent kernel in a sequence of one step say.
        shares[layer] = values if layer not in shares else np.minimum(shares[layer], values)
    found = [(layer, values, lasting(values >= DEAD, 1)) for layer, values in shares.items()]
    whole = [i for i, (_, values, step) in enumerate(found) if step is not None and values.loc[step:].max() == 1]
    for i, (layer, values, step) in enumerate(found):
        if step is None or (whole and i < whole[-1] and values.loc[step:].max() == 1):
            continue
        yield Finding(
            "dead units",
            layer,
            step,
            f"{values[step]:.0%} of its units get no gradient",
            "Lower the learning rate and start biases at zero; use leaky ReLU, ELU or tanh, He initialisation, or "
            "normalisation before the activation.",
        )


def learning_rate(records: pd.DataFrame) -> Iterator[Finding]:
    """Updates that are too large or too small beside the weights; biases, which begin at zero, do not count."""
    kernels = records[records["kind"].str.contains("kernel|embeddings")]
    if not (kernels["quantity"] == "update_ratio").any():
        return
    by_step = {name: _by_step(kernels, name) for name in ("update_ratio", "weight_norm", "usual_norm")}
    ratios, norms, usual = by_step["update_ratio"].median(axis=1), by_step["weight_norm"], by_step["usual_norm"]
    floor = USUAL * usual.max().reindex(norms.columns).fillna(0)
    counted = by_step["update_ratio"] * (norms / norms.clip(lower=floor, axis=1)).fillna(1)
    large = counted.reindex(index=ratios.index, columns=by_step["update_ratio"].columns).median(axis=1)
    rates = {step: rate for _, _, values in series(records, "learning_rate") for step, rate in values.items()}
    grown = _growth(norms.clip(lower=floor, axis=1))
    signs = [(large > RATIO_HIGH, PERSISTS), (large > RATIO_AT_ONCE, 1), (grown > GROWN, 1)]
    steps = [step for holds, looks in signs if (step := lasting(holds, looks)) is not None]
    if steps:
        step = min(steps)
        ratio = large.loc[:step].max()
        yield Finding(
            "learning rate too high",
            "",
            step,
            f"a step changed the kernels by {ratio:.1%} of their norm (about 0.1 % is usual), and they "
            f"grew {grown.loc[step]:.1f}-fold within {WITHIN} steps, at a rate of {rates.get(step, np.nan):.1e}",
            "Divide it by ten, or more; warm it up; clip by global norm (GradientClipping).",
        )
    middle = ratios.expanding().median()
    slow = (middle < RATIO_LOW) & (ratios.index - ratios.index[0] >= SLOW_AFTER) & (middle > 0)
    # Steps that were large enough, and gradients that have faded since, are signs of a schedule or of convergence.
    slow &= (ratios >= RATIO_LOW).cumsum() < PERSISTS
    for _, _, sizes in series(records, "gradient_norm", "model"):
        slow &= (sizes > FADED * sizes.iloc[0]).reindex(slow.index, fill_value=True)
    if (step := lasting(slow, 1)) is not None:
        yield Finding(
            "learning rate too low",
            "",
            step,
            f"a step changes the kernels by {middle[step]:.1e} of their norm (about 1e-3 is usual), at a rate of "
            f"{rates.get(step, np.nan):.1e}",
            "Multiply it by ten, or more, or look for what keeps gradients small.",
        )


def _by_step(kernels: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Returns a quantity, a row a step and a column a kernel."""
    rows = kernels[kernels["quantity"] == quantity]
    return rows.pivot_table(index="step", columns=["layer", "kind"], values="value")


def _growth(table: pd.DataFrame) -> pd.Series:
    """By step, how many times as large the kernels are as at most `WITHIN` steps before: the median over them."""
    before = table.iloc[np.searchsorted(table.index, table.index - WITHIN)]
    return pd.Series(np.nanmedian(table.to_numpy() / before.where(before > 0).to_numpy(), axis=1), index=table.index)


_RULES: tuple[Callable[[pd.DataFrame], Iterator[Finding]], ...] = (
    not_finite,
    through_time,
    large_radius,
    leap,
    saturated,
    dead_units,
    learning_rate,
)
