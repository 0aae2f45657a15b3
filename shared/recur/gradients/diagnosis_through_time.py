"""Names what goes wrong on the way back through time.

Vanishing and exploding are judged by how much of a gradient is *carried* back over k steps, where the last state alone
gets one (`recur.gradients.through_time.flow`). ‖∂L/∂h_t‖ is no evidence where every step has a loss of its own, as in
a language model: each h_t gets a gradient directly, and the norms are level however little comes from later steps. What
is carried is the product of the Jacobians and nothing else, so it holds for one loss at the end and for a loss at every
step alike. It is measured over the first steps of a sequence and continued geometrically to its length.

What a fading gradient means differs between families of cells. In a plain recurrent network the rate is a property of
the weights, which training hardly mends (Bengio et al. 1994). In a gated cell it is where the gates happen to be: an
LSTM that begins with forget biases of one keeps 73 % a step, a GRU about half, and both learn to keep what is worth
keeping. So a plain cell is judged by what reaches the first step, a gated one only by gates that let nothing through.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from recur.gradients.evidence import lasting, series
from recur.gradients.finding import Finding

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
