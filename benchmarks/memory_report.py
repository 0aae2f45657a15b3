"""What `benchmarks.long_memory` shows: a table, the curves of learning, and the gradient through time of every cell."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from benchmarks.memory_tasks import Task
from recur.files import save_figure

# The range of colours of the gradient, relative to that of the last step.
WEAKEST, STRONGEST = 1e-8, 1e1
COLUMNS = 4  # of a picture

REACH = (
    "Reach: how much of the gradient arrives at the first step, ‖∂L/∂h_1‖ / ‖∂L/∂h_T‖, T the last step; in the first\n"
    "hundredth of training and in the last (medians)."
)


@dataclasses.dataclass(frozen=True)
class Row:
    """A result.

    Attributes:
        task: What was learnt.
        cell: The title of the cell.
        result: As `benchmarks.memory_training.train` returns it, with `settings`, `minutes` and `baselines`.
        gradient: `step`, `[rows]`, and `norm`, ‖∂L/∂h_t‖, `[rows, task.steps]`.
    """

    task: Task
    cell: str
    result: dict[str, Any]
    gradient: dict[str, np.ndarray]

    def through_time(self) -> np.ndarray:
        """Returns ‖∂L/∂h_t‖ / ‖∂L/∂h_T‖, `[rows, task.steps]`, the last step T first; within the range of colours.

        It is no number where nothing arrives at the last step, or what arrives is infinite.
        """
        norms = self.gradient["norm"][:, ::-1]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.clip(norms / norms[:, :1], WEAKEST, STRONGEST)


def grouped(rows: Iterable[Row]) -> Iterator[tuple[Task, list[Row]]]:
    """Yields each task with its results."""
    for _, group in itertools.groupby(rows, lambda row: (row.task.name, row.task.length)):
        group = list(group)
        yield group[0].task, group


def heading(task: Task) -> str:
    """Returns the title of a task, with its length."""
    return f"{task.title}, {'delay' if task.every_step else 'length'} {task.length}"


def table(report: dict[str, Any], rows: list[Row]) -> str:
    """Returns the results as Markdown."""
    lines = [f"{report['cores']} cores, {', '.join(f'{name} {value}' for name, value in report['versions'].items())}."]
    lines += [f"{name} was skipped: {reason}." for name, reason in report["skipped"].items()]
    for task, group in grouped(rows):
        side = "below" if task.lower_is_better else "above"
        baselines = ", ".join(f"{name} {value:.4f}" for name, value in group[0].result["baselines"].items())
        names = ["cell", "parameters", "learning rate", task.metric, "outcome", "steps", "minutes", "steps/s", "reach"]
        lines += ["", f"**{heading(task)}**: {task.metric} on {task.held_out_sizes['test']:,} test sequences."]
        lines += [f"Solved {side} {task.solved_at:.4f} in validation. Baselines: {baselines}.", ""]
        lines += [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        lines += [f"| {' | '.join(columns(row))} |" for row in group]
    return "\n".join([*lines, "", REACH])


def columns(row: Row) -> list[str]:
    """Returns the cells of a result's line in the table."""
    result, settings = row.result, row.result["settings"]
    first_step = row.through_time()[:, -1]
    some = max(len(first_step) // 100, 1)
    reach = [float(np.median(part)) for part in (first_step[:some], first_step[-some:])]
    return [
        row.cell,
        f"{result['parameters']:,}",
        f"{settings['learning_rate']:g}",
        f"{result['test']:.4f}",
        result["outcome"],
        f"{result['steps']:,}",
        f"{result['seconds'] / 60:.1f}",
        f"{result['steps'] / result['seconds']:.0f}",
        ", ".join(f"{'< ' * (value <= WEAKEST)}{value:.0e}" for value in reach),
    ]


def plot_curves(rows: list[Row], path: Path) -> None:
    """Draws the metric in validation against the training step, a panel a task."""
    groups = list(grouped(rows))
    figure = Figure(figsize=(6 * len(groups), 4.5), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False)
    for axis, (task, group) in zip(axes[0], groups, strict=True):
        for row in group:
            curve = row.result["curve"]
            axis.plot(curve["step"], curve["validation"], ".-", label=f"{row.cell} ({row.result['outcome']})")
        for style, (name, value) in zip(("--", ":"), group[0].result["baselines"].items(), strict=False):
            axis.axhline(value, color="black", linestyle=style, linewidth=1, label=name)
        axis.axhline(task.solved_at, color="green", linewidth=1, label="solved")
        axis.set(title=heading(task), xlabel="training step", ylabel=f"{task.metric} in validation")
        axis.set(xscale="log", yscale="log" if task.lower_is_better else "linear")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    save_figure(figure, path)


def plot_gradients(rows: list[Row], path: Path) -> None:
    """Draws the gradient through time, lag × training step in logarithmic colours: a panel a cell."""
    lines = [
        (task, group[begin : begin + COLUMNS])
        for task, group in grouped(rows)
        for begin in range(0, len(group), COLUMNS)
    ]
    width = max(len(group) for _, group in lines)
    figure = Figure(figsize=(3.4 * width + 1.2, 3.2 * len(lines) + 0.8), layout="constrained")
    axes = figure.subplots(len(lines), width, squeeze=False)
    colours = LogNorm(WEAKEST, STRONGEST)
    for line, (task, group) in zip(axes, lines, strict=True):
        for axis in line[len(group) :]:
            axis.set_axis_off()
        for axis, row in zip(line, group, strict=False):
            last = row.gradient["step"][-1]
            image = axis.imshow(
                row.through_time().T, norm=colours, aspect="auto", cmap="magma", extent=(0, last, task.steps, 0)
            )
            axis.set_title(f"{row.cell}: {row.result['outcome']}", fontsize="medium")
            axis.set(xlabel="training step")
        line[0].set_ylabel(f"{heading(task)}\nlag: steps before the last")
    figure.colorbar(image, ax=axes, extend="both", shrink=0.8, label="‖∂L/∂h_t‖ / ‖∂L/∂h_T‖")
    figure.suptitle("The gradient of the loss by the state, on its way back through time")
    save_figure(figure, path)
