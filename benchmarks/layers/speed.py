"""Measures the recurrent layers beside Keras's, TensorFlow's `BlockLSTMV2` and PyTorch's.

    python -m benchmarks.layers.speed [--json] [--full] [--only REGEX] [--seconds 8] [--out FOLDER]

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
from tqdm import tqdm

from benchmarks.layers import peers
from recur.data.batches import batches_of_similar_length
from recur.layers.recurrent import LSTM

OURS, PRODUCT, PRODUCT_SIZE = "ours", "matrix product", 2048
BATCH, LONGEST, UNITS, MULTIPLE = 32, 400, 256, 32  # of the measurement of padding


def main(
    json: bool = False,
    full: bool = False,
    only: str = "",
    seconds: float = 8.0,
    out: Path = Path("runs/bench"),
    again: bool = False,
):
    """Measures the recurrent layers beside their peers.

    Args:
        json: Print one JSON object and nothing else.
        full: Also measure SimpleRNN and sequences of 500 steps.
        only: A regular expression; only cases whose name it is found in are measured.
        seconds: How long to measure a case, once everything is compiled; at least five calls are timed.
        out: Where to write the table, the figures and the plot.
        again: Measure anew what `out` holds from a run that was stopped, too.
    """
    cases = [case for case in grid(full) if re.search(only, case.name)]
    if not cases:
        sys.exit(f"error: no case matches {only!r}; names look like {next(grid(full)).name!r}")
    out.mkdir(parents=True, exist_ok=True)
    file = out / "recurrent_layers.json"
    rows = json_format.loads(file.read_text())["cases"] if file.exists() and not again else []
    skipped: dict[str, str] = {}
    for case in tqdm([case for case in cases if case.name not in {row["name"] for row in rows}], "cases", disable=None):
        competitors, skipped = peers.competitors(case)
        row = {"case": dataclasses.asdict(case), "name": case.name, **measure(competitors, seconds)}
        row["training_gflops"] = case.training_operations() / row["training_ms"][OURS] / 1e6
        row["matmul_peak_gflops"] = 2 * PRODUCT_SIZE**3 / row["training_ms"].pop(PRODUCT) / 1e6
        rows.append(row)
        print(describe(row), file=sys.stderr, flush=True)
        keras.backend.clear_session(free_memory=True)
        file.write_text(json_format.dumps({"cases": rows}))
    report = {
        "cores": os.cpu_count(),
        "versions": peers.versions(),
        "skipped": skipped,
        "matmul_peak_gflops": float(np.median([row["matmul_peak_gflops"] for row in rows])),
        "geometric_mean_speedup": speedups(rows),
        "padding": padding_cost(seconds),
        "cases": rows,
    }
    file.write_text(json_format.dumps(report, indent=1))
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
    """Returns the median milliseconds of each competitor's training step and forward pass, and of the product."""
    result = {}
    for index, what in enumerate(("training_ms", "forward_ms")):
        functions = {name: pair[index] for name, pair in competitors.items()}
        if what == "training_ms":
            functions[PRODUCT] = matrix_product
        for function in functions.values():
            function(), function()
        taken = {name: [] for name in functions}
        end = time.perf_counter() + seconds / 2
        while len(taken[OURS]) < 5 or (time.perf_counter() < end and len(taken[OURS]) < 200):
            for name, function in functions.items():
                taken[name] += burst(function)
        result[what] = {name: 1000 * float(np.median(times)) for name, times in taken.items()}
    return result


def burst(function: Callable, pause: float = 0.05, most: int = 5) -> list[float]:
    """Returns the seconds of several calls in a row, the first left out.

    Threads of one library go on spinning for a while after their work, at the cost of whatever runs next: hence the
    pause. The call left out wakes the threads up again.
    """
    time.sleep(pause)
    function()
    taken: list[float] = []
    while not taken or (len(taken) < most and sum(taken) < pause):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return taken


def matrix_product() -> np.ndarray:
    """Multiplies two large matrices of float32 in TensorFlow."""
    return _product(tf.ones([PRODUCT_SIZE, PRODUCT_SIZE]))[0, 0].numpy()


@tf.function
def _product(matrix):
    return tf.matmul(matrix, matrix)


def padding_cost(seconds: float, reviews: int = 1024) -> dict[str, float]:
    """What padding costs: mean training steps on batches of similar length and on batches as they come.

    Args:
        seconds: How long to measure.
        reviews: How many lengths are drawn.

    Returns:
        Shares of a step on full sequences (`bucketed`, `unsorted`), and these divided by the share of real words.
    """
    lengths = peers.review_lengths(reviews, LONGEST)
    sorted_batches = batches_of_similar_length(lengths, BATCH, seed=0)
    unsorted = np.random.default_rng(1).permutation(reviews).reshape(-1, BATCH)
    step = _padded_training_step()
    inputs = tf.random.normal([BATCH, LONGEST, UNITS])

    def timed(batch):
        # Padded as a data pipeline would: to the longest of the batch, and that to a multiple.
        length = min(-(-lengths[batch].max() // MULTIPLE) * MULTIPLE, LONGEST)
        mask = tf.sequence_mask(lengths[batch], length)
        begin = time.perf_counter()
        step(inputs[:, :length], mask).numpy()
        return time.perf_counter() - begin

    groups = {"bucketed": sorted_batches, "unsorted": unsorted}
    full = np.arange(reviews)[np.argsort(-lengths)][:BATCH]
    for batch in (*sorted_batches, *unsorted, full):
        timed(batch)
    taken: dict[str, list[float]] = {"bucketed": [], "unsorted": [], "full": []}
    end = time.perf_counter() + seconds
    while not taken["full"] or time.perf_counter() < end:
        for name, batches in groups.items():
            taken[name].append(float(np.mean([timed(batch) for batch in batches])))
        taken["full"].append(float(np.median([timed(full) for _ in range(9)])))
    shares = {name: float(np.median(np.array(taken[name]) / np.array(taken["full"]))) for name in groups}
    words = float(lengths.mean() / LONGEST)
    ratios = {f"{name}_ratio": value / words for name, value in shares.items()}
    return {"longest": LONGEST, "real_tokens": words, **shares, **ratios}


def _padded_training_step():
    layer, dense = LSTM(UNITS, return_sequences=True), keras.layers.Dense(64)
    dense(layer(tf.zeros([BATCH, 2, UNITS])))
    variables = layer.trainable_variables + dense.trainable_variables
    optimizer = keras.optimizers.Adam()
    optimizer.build(variables)

    @tf.function(reduce_retracing=False)
    def step(x, mask):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(dense(layer(x, mask=mask, training=True)) ** 2)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step


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
    cost = report["padding"]
    lines += [
        "",
        f"Reviews of IMDB's lengths, cut at {cost['longest']} words ({cost['real_tokens']:.0%} of a batch is words):"
        f" a training step in batches of similar length costs {cost['bucketed']:.0%} of a full one, "
        f"{cost['bucketed_ratio']:.2f} times the share of words; in batches as they come {cost['unsorted']:.0%}, "
        f"{cost['unsorted_ratio']:.2f} times.",
    ]
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
