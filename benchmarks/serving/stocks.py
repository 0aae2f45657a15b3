"""Forecasts a second of stock forecasting, windows of prices in, and what the simulation costs.

    python -m benchmarks.serving.stocks [RUN] [--rounds 7] [--seconds 2] [--json]

The run's export is called through the C++ loader, as TensorFlow Serving would, with windows of made-up prices, one at a
time and 256 at a time. The same weights without the filtered historical simulation are exported beside it; the two are
called in turn in every round, and the rates are medians over the rounds. Every answer is compared with `predict`'s.
"""

import dataclasses
import json as json_format
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import numpy as np
import tyro

from apps.stock_forecasting.application import APPLICATION
from recur.errors import InputError
from recur.serving.answers import ask_module
from recur.serving.export import export_run
from recur.training import loading
from recur.training.runs import open_run
from tfserving_dev.session import NativeSavedModel

BATCHES = (1, 256)
VOLATILITY = 0.015
"""Of the made-up prices, a row."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the speed of stock forecasting."""

    run: tyro.conf.Positional[str] = "latest"
    """A run of stock forecasting on the close alone, or `latest`."""
    rounds: int = 7
    """Rounds, in each of which both exports are called for each batch size."""
    seconds: float = 2.0
    """How long each is called in a round."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Arguments) -> None:
    """Measures, and prints a table."""
    if arguments.rounds < 1 or not arguments.seconds > 0:
        sys.exit("error: there must be at least one round of some seconds")
    try:
        run = open_run(APPLICATION.name, arguments.run)
        trained = loading.load(APPLICATION, run)
    except InputError as error:
        sys.exit(f"error: {error}")
    if trained.config.features:
        sys.exit("error: the run reads more than the close; give one that does not")
    close = prices(max(BATCHES), trained.config.window)
    module = APPLICATION.task.serving_module(trained)
    wanted = ask_module(module).ask("serving_default", {"close": close})["quantiles"]
    bare = dataclasses.replace(trained, config=dataclasses.replace(trained.config, simulation=0.0))
    bare = dataclasses.replace(bare, model=APPLICATION.task.build(bare.config, bare.assets))
    bare.model.set_weights(trained.model.get_weights())
    measured: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            "whole": export_run(APPLICATION, run, trained, Path(folder) / "whole"),
            "network alone": export_run(APPLICATION, run, bare, Path(folder) / "network"),
        }
        models = {name: NativeSavedModel(path) for name, path in paths.items()}
        served = models["whole"].run({"close": close})["quantiles"]
        for _ in range(arguments.rounds):
            for name, model in models.items():
                for batch in BATCHES:
                    measured.setdefault((name, batch), []).append(rate(model, close[:batch], arguments.seconds))
    report = {
        "run": run.label,
        "window": trained.config.window,
        "cores": os.cpu_count(),
        "largest_difference_from_predict": float(np.abs(served / wanted - 1).max()),
        "rows": [
            {"model": name, "batch": batch, "forecasts_per_second": statistics.median(rates)}
            for (name, batch), rates in measured.items()
        ],
    }
    if arguments.json:
        print(json_format.dumps(report))
        return
    for row in report["rows"]:
        print(f"{row['model']:14} batch {row['batch']:3}: {row['forecasts_per_second']:8,.1f} forecasts a second")
    print(f"largest difference from predict: {report['largest_difference_from_predict']:.1e} of a price")


def prices(rows: int, window: int) -> np.ndarray:
    """Made-up windows, float32 [rows, window]: random walks from 100 on."""
    steps = np.random.default_rng(0).normal(0, VOLATILITY, (rows, window))
    return (100 * np.exp(np.cumsum(steps, axis=1))).astype(np.float32)


def rate(model: NativeSavedModel, close: np.ndarray, seconds: float) -> float:
    """Rows that a model answers in a second, called again and again for some; the first call does not count."""
    model.run({"close": close})
    begin, rows = time.perf_counter(), 0
    while (now := time.perf_counter()) - begin < seconds:
        model.run({"close": close})
        rows += len(close)
    return rows / (now - begin)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
