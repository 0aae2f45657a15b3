"""Which recurrent networks remember for long: the classic tasks, and the gradient through time while they are learnt.

    python -m benchmarks.long_memory [--task REGEX] [--cell REGEX] [--length N] [--minutes M] [--out FOLDER] [--json]

Tasks: `adding`, `copying`, `digits` (pixel by pixel) and `permuted` (the same, pixels permuted). Cells: `tanh` (plain
network with small random weights), `glorot` and `orthogonal` (the same, initialised so), `irnn` (Le et al. 2015),
`gru`, `lstm` and `chrono` (LSTM with the biases of Tallec & Ollivier 2018). Each is trained on each task until it has
solved it, at most so many minutes. Validation tells when a task is solved and which weights are best; the test part is
measured once, with these.

Writes `long_memory.json` and the gradients after each result, and at the end `long_memory.md`, `long_memory_curves.png`
and `long_memory_gradients.png`, of all results in the folder. What is there already is not computed again.
"""

import dataclasses
import json as json_format
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

import keras
import numpy as np
import tyro

from benchmarks import memory_report, peers
from benchmarks.memory_digits import Digits, PermutedDigits
from benchmarks.memory_tasks import Adding, Copying, Task
from benchmarks.memory_training import CELLS, Settings, train
from recur.files import atomically, read_json, write_json

TASKS: dict[str, type[Task]] = {task.name: task for task in (Adding, Copying, Digits, PermutedDigits)}


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
            described = {"settings": dataclasses.asdict(settings), "minutes": minutes, "baselines": baselines}
            report["results"][key(settings)] = described | result
            write(out, report, key(settings), gradient)
            keras.backend.clear_session(free_memory=True)
    rows = list(in_order(report["results"], out))
    table = memory_report.table(report, rows)
    (out / "long_memory.md").write_text(table + "\n")
    if rows:
        memory_report.plot_curves(rows, out / "long_memory_curves.png")
        memory_report.plot_gradients(rows, out / "long_memory_gradients.png")
    print(json_format.dumps(report) if json else table)


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


def in_order(results: dict[str, dict], out: Path) -> Iterator[memory_report.Row]:
    """Yields the results in the order of tasks, lengths and cells, each with its gradient through time."""

    def place(name: str) -> tuple[int, int, int]:
        settings = results[name]["settings"]
        return list(TASKS).index(settings["task"]), settings["length"], list(CELLS).index(settings["cell"])

    for name in sorted(results, key=place):
        settings = results[name]["settings"]
        kind = TASKS[settings["task"]]
        task = kind() if kind.fixed_length else kind(settings["length"])
        with np.load(gradient_path(out, name)) as arrays:
            yield memory_report.Row(task, CELLS[settings["cell"]].title, results[name], dict(arrays))


if __name__ == "__main__":
    tyro.cli(main)
