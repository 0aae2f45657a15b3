"""Pictures of a run."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from recur.files import save_figure
from recur.training.runs import Run


def training_curves(run: Run) -> Path:
    """Draws `plots/curves.png` from `history.csv`: each metric on train and validation, and the learning rate."""
    history = pd.read_csv(run.path / "history.csv")
    names = [name for name in history if f"val_{name}" in history]
    figure = Figure(figsize=(5 * (len(names) + 1), 3.6), layout="constrained")
    axes = figure.subplots(1, len(names) + 1, squeeze=False)
    for axis, name in zip(axes[0], names, strict=False):
        axis.plot(history["step"], history[name], marker="o", markersize=3, label="train, while it learns")
        axis.plot(history["step"], history[f"val_{name}"], marker="o", markersize=3, label="validation")
        lowest = history[f"val_{name}"].idxmin()
        axis.annotate(
            f"{history[f'val_{name}'][lowest]:.3f}",
            (history["step"][lowest], history[f"val_{name}"][lowest]),
            textcoords="offset points",
            xytext=(0, 8),
            ha="center",
        )
        axis.set(xlabel="step", ylabel=name)
        axis.legend()
        axis.grid(alpha=0.3)
    axes[0][-1].plot(history["step"], history["learning_rate"], marker="o", markersize=3)
    axes[0][-1].set(xlabel="step", ylabel="learning rate")
    axes[0][-1].grid(alpha=0.3)
    return save_figure(figure, run.plots / "curves.png")
