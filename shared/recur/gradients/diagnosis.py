"""Names what is wrong with a training run from what `GradientMonitor` wrote down.

A rule looks for evidence that lasts, and evidence that is complete at some step stays so, whatever follows: a finished
run gives the findings that were said while it trained.

Vanishing and exploding through time are judged by how much of a gradient is *carried* back over k steps, where the last
state alone gets one (`recur.gradients.through_time.flow`). ‖∂L/∂h_t‖ is no evidence where every step has a loss of its
own, as in a language model: each h_t gets a gradient directly, and the norms are level however little comes from later
steps. What is carried is the product of the Jacobians and nothing else, so it holds for one loss at the end and for a
loss at every step alike. It is measured over the first steps of a sequence and continued geometrically to its length.

What a fading gradient means differs between families of cells. In a plain recurrent network the rate is a property of
the weights, which training hardly mends (Bengio et al. 1994). In a gated cell it is where the gates happen to be: an
LSTM that begins with forget biases of one keeps 73 % a step, a GRU about half, and both learn to keep what is worth
keeping. So a plain cell is judged by what reaches the first step, a gated one only by gates that let nothing through.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

# How many looks in a row must agree: one batch proves nothing.
PERSISTS = 3

# What arrives at the first step, of what left the last, below which float32 all but loses it in the sum over all steps:
# its precision is 1.2e-7 (IEEE 754).
VANISHED = 1e-6

# A gated cell as initialised keeps about half of a gradient a step (GRU) or more (LSTM); one that keeps less than a
# third has gates that are shut.
GATED_RATE = 1 / 3

# A gradient that grows so on its way back drowns what the last steps say, and clipping scales all of it to nothing.
EXPLODED = 100.0

# Plain cells: orthogonal, identity and Glorot's initialisation have a spectral radius of 1, He's for rectifiers of
# 1.41; above 1 a gradient can explode (Pascanu et al. 2013, section 2.1).
RADIUS = 1.5
BEGINNING = 100  # steps, within which a kernel still shows how it was initialised

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


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with its evidence and what to do.

    Attributes:
        name: What it is called: "vanishing gradient", "exploding gradient", "dead units", "saturated gates",
            "saturated units", "learning rate too high", "learning rate too low", "non-finite gradient".
        layer: Path of the layer; empty for the model as a whole.
        step: Of training, at which the evidence was complete.
        evidence: What was measured, in numbers.
        remedy: What to do about it.

    Example:
        >>> print(Finding("dead units", "dense", 81, "100 % of its units get no gradient", "Lower the learning rate."))
        step 81: dead units in dense: 100 % of its units get no gradient. Lower the learning rate.
    """

    name: str
    layer: str
    step: int
    evidence: str
    remedy: str

    def __str__(self) -> str:
        where = f" in {self.layer}" if self.layer else ""
        return f"step {self.step}: {self.name}{where}: {self.evidence}. {self.remedy}"


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
    by_place: dict[tuple[str, str], dict[int, float]] = {}
    for layer, kind, step, value in zip(*columns, strict=True):
        by_place.setdefault((layer, kind), {})[step] = value
    for (layer, kind), values in by_place.items():
        yield layer, kind, pd.Series(values, dtype=float)


def lasting(holds: pd.Series, looks: int = PERSISTS) -> int | None:
    """The first step by which something has held for a number of looks in a row, or None.

    Example:
        >>> lasting(pd.Series([True, False, True, True], index=[1, 21, 41, 61]), looks=2)
        61
    """
    met = holds.astype(int).rolling(looks).sum() == looks
    return int(met.idxmax()) if met.any() else None


def through_time(records: pd.DataFrame) -> Iterator[Finding]:
    """Gradients that vanish or explode on their way back through a recurrent layer."""
    gated = set(records[records["kind"] == "gates"]["layer"])
    carried = records[records["quantity"] == "carried"]
    lengths = {layer: values for layer, _, values in series(records, "steps")}
    for layer, group in carried.groupby("layer", sort=False):
        broken = group.loc[~np.isfinite(group["value"]), "step"]
        looks = group[~group["step"].isin(broken)].pivot_table(index="step", columns="index", values="value")
        if layer not in lengths or looks.shape[1] < 4:
            continue
        steps = float(lengths[layer].median())
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = looks.apply(_rate, axis=1)
            reached = rates ** (steps - 1)
        lost = (reached < VANISHED) & (rates < GATED_RATE if layer in gated else True)
        if (step := lasting(lost)) is not None:
            yield _vanishing(layer, step, looks.loc[step], rates[step], steps, layer in gated)
        if (step := lasting(reached > EXPLODED)) is not None:
            yield _exploding(layer, step, looks.loc[step], rates[step], steps)


def _rate(shares: pd.Series) -> float:
    """The factor a step, from one step back on: the way into an LSTM's cell is another than the way along it.

    Where all is lost to underflow, as much as float32 can tell.
    """
    last = np.flatnonzero(shares.fillna(0))[-1]
    return (shares.iloc[last] / shares.iloc[1]) ** (1 / (last - 1)) if last > 1 else shares.iloc[last] * last


def _told(shares: pd.Series, steps: float, rate: float) -> str:
    known = shares.dropna()
    lag = int(known.index[-1])
    return f"{known.iloc[-1]:.1e} of it arrives {lag} steps back, a factor of {rate:.2f} a step, over {steps:.0f} steps"


def _vanishing(layer, step, shares, rate, steps, gated):
    lag = 1 + np.log(1e-3) / np.log(rate) if rate > 0 else 1
    evidence = f"a thousandth of the gradient is left after {lag:.0f} steps; {_told(shares, steps, rate)}"
    remedy = (
        "Its gates are shut: begin with a forget bias of 1 or more (chrono initialisation for long memory), and scale "
        "the inputs."
        if gated
        else "Use an LSTM or a GRU; or a ReLU cell with the identity as recurrent initialiser (IRNN), or at least an "
        f"orthogonal one and tanh; sequences longer than {max(lag, 1):.0f} steps only cost time."
    )
    return Finding("vanishing gradient", layer, step, evidence, remedy)


def _exploding(layer, step, shares, rate, steps):
    remedy = (
        "Initialise the recurrent kernel orthogonal with gain 1, clip by global norm (GradientClipping), shorten the "
        "truncation, or use an LSTM or a GRU, or layer normalisation."
    )
    return Finding("exploding gradient", layer, step, f"it grows on its way back: {_told(shares, steps, rate)}", remedy)


def large_radius(records: pd.DataFrame) -> Iterator[Finding]:
    """A plain recurrent layer whose kernel begins with too large a spectral radius."""
    gated = set(records[records["kind"] == "gates"]["layer"])
    rows = records[(records["quantity"] == "spectral_radius") & ~records["layer"].isin(gated)]
    recurrent = set(records[records["kind"] == "state"]["layer"])
    for layer, group in rows[rows["layer"].isin(recurrent)].groupby("layer", sort=False):
        first = group.iloc[0]
        if first["step"] <= BEGINNING and first["value"] > RADIUS and group["index"].max() == 0:
            yield Finding(
                "exploding gradient",
                layer,
                int(first["step"]),
                f"the recurrent kernel begins with a spectral radius of {first['value']:.2f}: along its largest "
                f"eigenvector a gradient grows by as much a step, unless units saturate",
                "Initialise it orthogonal with gain 1, and clip by global norm (GradientClipping).",
            )


def diagnose(records: pd.DataFrame) -> list[Finding]:
    """Returns what is wrong, each thing once for a layer, in the order in which it showed.

    Args:
        records: See `recur.gradients.records`; of a whole run, or of its beginning.

    Example:
        >>> from recur.gradients.records import table
        >>> diagnose(table([(step, "dense", "kernel", "dead_units", None, 1.0) for step in (1, 21, 41)]))[0].name
        'dead units'
    """
    findings = sorted((finding for rule in _RULES for finding in rule(records)), key=lambda finding: finding.step)
    worse = [finding.step for finding in findings if finding.name in ("exploding gradient", "non-finite gradient")]
    # Next to weights or gradients that have exploded every step looks small.
    return [
        finding
        for finding in findings
        if finding.name != "learning rate too low" or finding.step < min(worse, default=np.inf)
    ]


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
    judged = [(layer, values, lasting(values >= DEAD, 1)) for layer, values in shares.items()]
    whole = [i for i, (_, values, step) in enumerate(judged) if step is not None and values.loc[step:].max() == 1]
    for i, (layer, values, step) in enumerate(judged):
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
    grown = pd.DataFrame(table.to_numpy() / before.where(before > 0).to_numpy(), index=table.index)
    return grown.median(axis=1)  # NaN where every kernel was zero


_RULES: tuple[Callable[[pd.DataFrame], Iterator[Finding]], ...] = (
    not_finite,
    through_time,
    large_radius,
    leap,
    saturated,
    dead_units,
    learning_rate,
)
