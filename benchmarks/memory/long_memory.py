"""Which recurrent networks remember for long: the classic tasks, and the gradient through time while they are learnt.

    python -m benchmarks.memory.long_memory [--task REGEX] [--cell REGEX] [--length N] [--minutes M]
        [--out FOLDER] [--json]

Tasks: `adding`, `copying`, `digits` (pixel by pixel) and `permuted` (the same, pixels permuted). Cells: `tanh` (plain
network with small random weights), `glorot` and `orthogonal` (the same, initialised so), `irnn` (Le et al. 2015),
`gru`, `lstm` and `chrono` (LSTM with the biases of Tallec & Ollivier 2018). Each is trained on each task until it has
solved it, at most so many minutes. Validation tells when a task is solved and which weights are best; the test part is
measured once, with these.

Writes `long_memory.json` and the gradients after each result, and at the end `long_memory.md`, `long_memory_curves.png`
and `long_memory_gradients.png`, of all results in the folder. What is there already is not computed again.
"""

import dataclasses
import itertools
import json as json_format
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

import keras
import matplotlib.pyplot as plt
import numpy as np
import tyro
from matplotlib.colors import LogNorm

from benchmarks.layers import peers
from benchmarks.memory.tasks import Adding, Copying, Digits, PermutedDigits, Task
from benchmarks.memory.training import CELLS, Settings, train
from recur.files import atomically, read_json, save_figure, write_json

TASKS: dict[str, type[Task]] = {task.name: task for task in (Adding, Copying, Digits, PermutedDigits)}
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
        result: As `training.train` returns it, with `settings`, `minutes` and `baselines`.
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
    figure, axes = plt.subplots(1, len(groups), figsize=(6 * len(groups), 4.5), squeeze=False, layout="constrained")
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
    figure, axes = plt.subplots(
        len(lines), width, figsize=(3.4 * width + 1.2, 3.2 * len(lines) + 0.8), squeeze=False, layout="constrained"
    )
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


def main(
    task: str = "",
    cell: str = "",
    length: int | None = None,
    minutes: float = 15.0,
    seed: int = 0,
    out: Path = Path("runs/bench"),
    json: bool = False,
    again: bool = False,
):
    """Trains recurrent cells on tasks of long memory.

    Args:
        task: A regular expression; only tasks whose name it is found in are tried.
        cell: A regular expression; only cells whose name it is found in are tried.
        length: Of the adding problem (200 unless told) and the delay of copying (100 unless told), in steps.
        minutes: How long to train a cell on a task at most.
        seed: Of weights and training examples.
        out: Where to write the results, the table and the plots.
        json: Print one JSON object and nothing else.
        again: Also compute results that are there already.
    """
    try:
        tasks = [TASKS[name] for name in TASKS if re.search(task, name)]
        cells = [name for name in CELLS if re.search(cell, name)]
        chosen = [kind() if length is None or kind.fixed_length else kind(length) for kind in tasks]
    except (re.error, ValueError) as error:
        sys.exit(f"error: {error}")
    if not (tasks and cells):
        sys.exit(f"error: nothing matches; the tasks are {', '.join(TASKS)}; the cells are {', '.join(CELLS)}")
    out.mkdir(parents=True, exist_ok=True)
    report = read(out) | {"cores": os.cpu_count(), "versions": peers.versions(), "skipped": {}}
    log(f"at most {len(chosen) * len(cells) * minutes:.0f} minutes")
    for one in chosen:
        try:
            baselines = one.baselines()
        except ModuleNotFoundError as error:
            report["skipped"][one.name] = f"{error}; pip install -r requirements-bench.txt"
            log(f"{one.name} was skipped: {report['skipped'][one.name]}")
            continue
        for name in cells:
            settings = Settings.of(one, name, seed=seed)
            if not again and stands(report["results"].get(key(settings)), settings, minutes):
                log(f"{key(settings)} is there already")
                continue
            result, gradient = train(one, settings, minutes)
            asked = {"settings": dataclasses.asdict(settings), "minutes": minutes, "baselines": baselines}
            report["results"][key(settings)] = asked | result
            write(out, report, key(settings), gradient)
            keras.backend.clear_session(free_memory=True)
    rows = list(in_order(report["results"], out))
    described = table(report, rows)
    (out / "long_memory.md").write_text(described + "\n")
    if rows:
        plot_curves(rows, out / "long_memory_curves.png")
        plot_gradients(rows, out / "long_memory_gradients.png")
    print(json_format.dumps(report) if json else described)


def log(line: str) -> None:
    """Prints a line to standard error."""
    print(line, file=sys.stderr, flush=True)


def key(settings: Settings) -> str:
    """Returns what a result goes by: there is one for each task, length and cell."""
    return f"{settings.task} {settings.length} {settings.cell}"


def stands(result: dict[str, Any] | None, settings: Settings, minutes: float) -> bool:
    """Whether a result is what training with these settings, so long, would find."""
    if result is None or result["settings"] != dataclasses.asdict(settings):
        return False
    return result["outcome"] != "out of time" or result["minutes"] >= minutes


def read(out: Path) -> dict[str, Any]:
    """Returns the report in a folder, or an empty one."""
    path = out / "long_memory.json"
    return read_json(path) if path.exists() else {"results": {}}


def write(out: Path, report: dict[str, Any], name: str, gradient: dict[str, np.ndarray]) -> None:
    """Writes the gradient through time of one result, and then the report."""
    path = gradient_path(out, name)
    path.parent.mkdir(exist_ok=True)
    with atomically(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **gradient)
    write_json(out / "long_memory.json", report)


def gradient_path(out: Path, name: str) -> Path:
    """Returns where the gradient through time of a result is."""
    return out / "long_memory" / f"{name.replace(' ', '_')}.npz"


def in_order(results: dict[str, dict], out: Path) -> Iterator[Row]:
    """Yields the results in the order of tasks, lengths and cells, each with its gradient through time."""

    def place(name: str) -> tuple[int, int, int]:
        settings = results[name]["settings"]
        return list(TASKS).index(settings["task"]), settings["length"], list(CELLS).index(settings["cell"])

    for name in sorted(results, key=place):
        settings = results[name]["settings"]
        kind = TASKS[settings["task"]]
        task = kind() if kind.fixed_length else kind(settings["length"])
        with np.load(gradient_path(out, name)) as arrays:
            yield Row(task, CELLS[settings["cell"]].title, results[name], dict(arrays))


if __name__ == "__main__":
    tyro.cli(main)
