"""Measures the recurrent layers beside Keras's, TensorFlow's `BlockLSTMV2` and PyTorch's.

    python -m benchmarks.recurrent_layers [--json] [--full] [--only REGEX] [--seconds 30] [--out FOLDER]

Each case is one recurrent layer and a `Dense(64)` on every step's output: a training step (forward, backward, Adam) and
a forward pass as in inference. All competitors of a case take turns, so that what slows the machine slows all; medians
are reported. Writes `recurrent_layers.md`, `.json` and `.png`. The default grid takes at most 30 minutes on two cores.
"""

import dataclasses
import json as json_format
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf
import tyro

from benchmarks import peers

OURS, KERAS, PYTORCH = "ours", "Keras", "PyTorch"


def main(json: bool = False, full: bool = False, only: str = "", seconds: float = 30.0, out: Path = Path("runs/bench")):
    """Measures the recurrent layers beside their peers.

    Args:
        json: Print one JSON object and nothing else.
        full: Also measure SimpleRNN and sequences of 500 steps.
        only: A regular expression; only cases whose name it is found in are measured.
        seconds: How long to measure a case, once everything is compiled; at least three turns are made.
        out: Where to write the table, the figures and the plot.
    """
    cases = [case for case in grid(full) if re.search(only, case.name)]
    if not cases:
        sys.exit(f"error: no case matches {only!r}; names look like {next(grid(full)).name!r}")
    peaks = [matrix_product_peak()]
    rows = []
    for case in cases:
        competitors, skipped = peers.competitors(case)
        rows.append({"case": dataclasses.asdict(case), "name": case.name, **measure(competitors, seconds)})
        peaks.append(matrix_product_peak())
        rate = case.training_operations() / rows[-1]["training_ms"][OURS] / 1e6
        rows[-1] |= {"training_gflops": rate, "matmul_peak_gflops": peaks[-1]}
        print(describe(rows[-1]), file=sys.stderr, flush=True)
        keras.backend.clear_session(free_memory=True)
    report = {
        "cores": os.cpu_count(),
        "versions": peers.versions(),
        "skipped": skipped,
        "matmul_peak_gflops": float(np.median(peaks)),
        "geometric_mean_speedup": speedups(rows),
        "cases": rows,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "recurrent_layers.json").write_text(json_format.dumps(report, indent=1))
    (out / "recurrent_layers.md").write_text(table(report))
    plot(report, out / "recurrent_layers.png")
    print(json_format.dumps(report) if json else table(report))


def grid(full: bool) -> Iterator[peers.Case]:
    """Yields the cases, the quick ones first."""
    for layer in ("LSTM", "GRU", "SimpleRNN") if full else ("LSTM", "GRU"):
        for units in (64, 256, 512):
            for length in (50, 200, 500) if full else (50, 200):
                for batch in (1, 32, 128):
                    yield peers.Case(layer, batch, length, units)
    yield peers.Case("LSTM", 32, 200, 256, masked=True)
    yield peers.Case("LSTM", 32, 200, 256, bidirectional=True)


def measure(competitors: dict[str, tuple[Callable, Callable]], seconds: float) -> dict[str, dict[str, float]]:
    """Returns the median milliseconds of each competitor's training step and forward pass."""
    result = {}
    for index, what in enumerate(("training_ms", "forward_ms")):
        functions = {name: pair[index] for name, pair in competitors.items()}
        for function in functions.values():
            function(), function()
        taken = {name: [] for name in functions}
        end = time.perf_counter() + seconds / 2
        while len(taken[OURS]) < 3 or (time.perf_counter() < end and len(taken[OURS]) < 50):
            for name, function in functions.items():
                start = time.perf_counter()
                function()
                taken[name].append(time.perf_counter() - start)
        result[what] = {name: 1000 * float(np.median(times)) for name, times in taken.items()}
    return result


def matrix_product_peak(size: int = 2048, turns: int = 5) -> float:
    """Returns the best rate of a large float32 product in TensorFlow, in GFLOP/s."""
    matrix = tf.random.normal([size, size])
    product = tf.function(tf.matmul)
    product(matrix, matrix)
    best = 0.0
    for _ in range(turns):
        start = time.perf_counter()
        product(matrix, matrix)[0, 0].numpy()
        best = max(best, 2 * size**3 / (time.perf_counter() - start) / 1e9)
    return best


def speedups(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Returns, for each layer and peer, the geometric mean of the peer's time over ours, and the worst case."""
    result = {}
    for layer in dict.fromkeys(row["case"]["layer"] for row in rows):
        for what in ("training_ms", "forward_ms"):
            ratios: dict[str, list[float]] = {}
            for row in rows:
                if row["case"]["layer"] == layer and not (row["case"]["masked"] or row["case"]["bidirectional"]):
                    for name, value in row[what].items():
                        ratios.setdefault(name, []).append(value / row[what][OURS])
            for name, values in ratios.items():
                mean = float(np.exp(np.mean(np.log(values))))
                result[f"{layer}, {what.removesuffix('_ms')}, {name}"] = {"mean": mean, "worst": min(values)}
    return result


def describe(row: dict) -> str:
    """Returns one line for one case."""
    times = ", ".join(f"{name} {value:.1f}" for name, value in row["training_ms"].items())
    forward = ", ".join(f"{name} {value:.1f}" for name, value in row["forward_ms"].items())
    share = row["training_gflops"] / row["matmul_peak_gflops"]
    return f"{row['name']}: training {times} ms ({share:.0%} of the peak); forward {forward} ms"


def table(report: dict) -> str:
    """Returns the report as Markdown."""
    names = list(dict.fromkeys(name for row in report["cases"] for name in row["training_ms"]))
    lines = [f"{report['cores']} cores, {', '.join(f'{k} {v}' for k, v in report['versions'].items())}."]
    lines += [f"Matrix-product peak: {report['matmul_peak_gflops']:.0f} GFLOP/s. Milliseconds, medians."]
    lines += [f"{name} was skipped: {reason}" for name, reason in report["skipped"].items()]
    for what in ("training", "forward"):
        last = ["share of peak"] if what == "training" else []
        lines += ["", f"| {what} | {' | '.join(names + last)} |", "|---" * (1 + len(names + last)) + "|"]
        for row in report["cases"]:
            cells = [f"{row[f'{what}_ms'][name]:.1f}" if name in row[f"{what}_ms"] else "" for name in names]
            share = f"{row['training_gflops'] / row['matmul_peak_gflops']:.0%}"
            lines.append(f"| {row['name']} | {' | '.join(cells + [share] * len(last))} |")
    lines += ["", "| peer's time over ours | geometric mean | worst case |", "|---|---|---|"]
    lines += [
        f"| {name} | {value['mean']:.2f} | {value['worst']:.2f} |"
        for name, value in report["geometric_mean_speedup"].items()
        if not name.endswith(OURS)
    ]
    return "\n".join(lines) + "\n"


def plot(report: dict, path: Path) -> None:
    """Draws, for every case, how many times our training step each peer takes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = report["cases"]
    names = [name for name in dict.fromkeys(n for row in rows for n in row["training_ms"]) if name != OURS]
    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.3 * len(rows)), layout="constrained")
    for name in names:
        points = [
            (row["training_ms"][name] / row["training_ms"][OURS], y)
            for y, row in enumerate(rows)
            if name in row["training_ms"]
        ]
        axes.plot(*zip(*points, strict=True), "o", label=name)
    axes.axvline(1, color="black", linewidth=1, label=OURS)
    axes.set(xscale="log", xlabel="time of a training step, in units of ours", yticks=range(len(rows)))
    axes.set_yticklabels([row["name"] for row in rows])
    axes.invert_yaxis()
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    tyro.cli(main)
