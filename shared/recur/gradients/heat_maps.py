"""Pictures of gradients: over layers and steps, and through time.

They are drawn without `matplotlib.pyplot`: whose notebook or window it is, chooses where pyplot draws.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recur.files import save_figure

DECADES = 12  # that colours tell apart


def write_heat_maps(records: pd.DataFrame, folder: Path) -> list[Path]:
    """Draws `gradient_flow.png` and, for a model with recurrent layers, `gradient_through_time.png`.

    Args:
        records: See `recur.gradients.records`.
        folder: Where they go; it is made.

    Returns:
        Their paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"gradient_flow": gradient_flow(records), "gradient_through_time": gradient_through_time(records)}
    return [save_figure(figure, folder / f"{name}.png") for name, figure in figures.items() if figure is not None]


def gradient_flow(records: pd.DataFrame) -> Figure | None:
    """The norm of each weight's gradient, layer × step; None where there is nothing to draw."""
    norms = records[(records.quantity == "gradient_norm") & ~records.kind.isin(["model", "state"])]
    if norms.empty:
        return None
    names = norms.layer.map(_short_names(norms.layer.unique())) + " " + norms.kind
    grid = norms.assign(name=names).pivot_table(index="name", columns="step", values="value", sort=False)
    grid = grid.reindex(index=names.unique(), columns=sorted(norms.step.unique()))
    figure = Figure(figsize=(9, 1.4 + 0.3 * len(grid)), layout="constrained")
    axis = figure.subplots()
    _draw(axis, grid, "log₁₀ of the gradient's norm")
    axis.set_yticks(np.arange(len(grid)) + 0.5, grid.index)
    axis.invert_yaxis()
    axis.set_title("Gradients, layer by layer")
    return figure


def gradient_through_time(records: pd.DataFrame) -> Figure | None:
    """‖∂L/∂h_t‖ of each recurrent layer, time lag × step; None for a model without one."""
    norms = records[(records.quantity == "gradient_norm") & (records.kind == "state")]
    if norms.empty:
        return None
    layers = list(norms.layer.unique())
    names = _short_names(layers)
    figure = Figure(figsize=(9, 3.4 * len(layers)), layout="constrained")
    axes = figure.subplots(len(layers), squeeze=False)
    for axis, layer in zip(axes[:, 0], layers, strict=True):
        grid = norms[norms.layer == layer].pivot_table(index="index", columns="step", values="value")
        _draw(axis, grid, "log₁₀ ‖∂L/∂h‖")
        marks = np.unique(np.linspace(0, len(grid) - 1, 6).astype(int))
        axis.set_yticks(marks + 0.5, grid.index[marks])
        axis.set(title=f"{names[layer]}: gradients through time", ylabel="steps before the last")
    return figure


def _short_names(layers: Iterable[str]) -> dict[str, str]:
    """The end of each layer's path, as short as tells it from the others: long ones leave no room for the picture."""
    parts = {layer: layer.split("/") for layer in layers}
    depth = dict.fromkeys(parts, 1)

    def name(layer: str) -> str:
        return "/".join(parts[layer][-depth[layer] :])

    while same := [
        layer
        for layer in parts
        if depth[layer] < len(parts[layer]) and sum(name(layer) == name(other) for other in parts) > 1
    ]:
        for layer in same:
            depth[layer] += 1
    return {layer: name(layer) for layer in parts}


def _draw(axis: Axes, grid: pd.DataFrame, label: str) -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.log10(grid.to_numpy(dtype=float))
    finite = logarithms[np.isfinite(logarithms)]
    top = float(finite.max()) if finite.size else 0.0
    bottom = max(float(finite.min()) if finite.size else -1.0, top - DECADES)
    logarithms[np.isneginf(logarithms)] = bottom
    # NaN and infinity stay white.
    colours = axis.pcolormesh(np.ma.masked_invalid(logarithms), vmin=bottom, vmax=max(top, bottom + 1e-3))
    axis.figure.colorbar(colours, ax=axis, label=label)
    marks = np.unique(np.linspace(0, grid.shape[1] - 1, 8).astype(int))
    axis.set_xticks(marks + 0.5, grid.columns[marks])
    axis.set_xlabel("training step")
