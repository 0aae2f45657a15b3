"""Exchange rates: stock forecasting beside the last value, and beside what is published, in two protocols.

    python -m benchmarks.exchange_rate [--run RUN] [--seed N] [--output FILE] [SETTINGS]

Trains the application as `python -m apps.stock_forecasting train` does, on the first 60 % of the file that LSTNet was
measured on (7,588 days × 8 currencies, which RECUR_DATA holds as `exchange_rate/exchange_rate.txt.gz`); the next 20 %
choose weights and calibrate. Then, with one model:

* LSTNet's protocol: the values 3, 6, 12 and 24 rows ahead, at every row of the last 20 %; the relative squared error of
  the median, pooled over currencies.
* GluonTS's protocol for `exchange_rate_nips`: five windows of 30 rows from where its train ends; weighted quantile loss
  at 0.1 … 0.9, which tables call CRPS.

Every rate is given with its inverse, and what is said of both is averaged: see `benchmarks.exchange_rate.forecasts`.
The same model's forecasts of the rates alone are in the tables too. Errors are printed for the validation part too (of
GluonTS's windows all that fit), by which alone the settings were chosen: try others and compare. A median that is
nowhere further than a ten-thousandth from the last value is called collapsed.
"""

import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import tyro

from apps.stock_forecasting.application import APPLICATION
from apps.stock_forecasting.config import StockConfig
from apps.stock_forecasting.readers import read_matrix
from benchmarks.exchange_rate.forecasts import write_both_ways
from benchmarks.exchange_rate.measures import measure
from benchmarks.exchange_rate.protocols import HORIZONS, WINDOW, WINDOWS
from recur.errors import InputError
from recur.files import write_json
from recur.training import loading, stages
from recur.training.config import checked
from recur.training.runs import open_run

FILE = "exchange_rate/exchange_rate.txt.gz"
PUBLISHED_RSE = {
    "LSTNet-skip (Lai et al. 2018)": (0.0226, 0.0280, 0.0356, 0.0449),
    "RNN-GRU (Lai et al. 2018)": (0.0192, 0.0264, 0.0408, 0.0626),
    "TPA-LSTM (Shih et al. 2019)": (0.0174, 0.0241, 0.0341, 0.0444),
}
PUBLISHED_CRPS = {"DeepAR, as listed": 0.019, "the best that is listed": 0.013}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure stock forecasting on LSTNet's exchange rates."""

    run: str = ""
    """A run to measure, made by this benchmark; by default one is trained."""
    output: Path | None = None
    """File to write the results to, as JSON."""
    seed: int = 0
    """Seed of weights and order."""
    window: int = 1024
    """Rows that a forecast knows of."""
    read: int = 256
    """Of them, how many the recurrent layers read."""
    members: int = 4
    """Networks whose quantiles are averaged."""
    simulation: float = 0.0
    """Share of the filtered historical simulation in the answer."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    epochs: int = 8
    """Passes over train."""
    batch_size: int = 8
    """Segments in a batch."""
    ema_momentum: float = 0.9
    """Momentum of the moving average of the weights."""
    units: int = 32
    """Width of the recurrent layer."""
    weighting: float = 1.0
    """Power of past volatility by which losses are divided."""


def main(arguments: Arguments) -> None:
    """Trains, measures, and prints tables."""
    if not (folder := os.environ.get("RECUR_DATA")):
        print("skipped: RECUR_DATA does not name a folder of downloaded data sets", file=sys.stderr)
        return
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "rates_and_inverses.txt"
        try:
            write_both_ways(read_matrix(Path(folder) / FILE), source)
            if arguments.run:
                run = open_run(APPLICATION.name, arguments.run)
            else:
                run = stages.train(APPLICATION, str(source), configuration(arguments), "default")
            trained = loading.load(APPLICATION, run)
            corpus = APPLICATION.task.read(str(source), trained.config)
        except InputError as error:
            sys.exit(f"error: {error}")
    report = {"run": run.label, "settings": dataclasses.asdict(trained.config), "cores": os.cpu_count()}
    report |= measure(trained, corpus)
    report["train_seconds"] = run.read_record()["train_seconds"]
    report["seconds"] = round(time.perf_counter() - begin, 1)
    if arguments.output:
        write_json(arguments.output, report)
        print(f"wrote {arguments.output}", file=sys.stderr)
    print(table(report))


def configuration(arguments: Arguments) -> StockConfig:
    """The application's default with LSTNet's split and the settings of the command line.

    Raises:
        InputError: A setting is out of bounds.
    """
    shared = {field.name for field in dataclasses.fields(StockConfig)} & set(vars(arguments))
    return checked(
        dataclasses.replace(
            APPLICATION.presets["default"],
            adjusted=True,
            horizon=WINDOW,
            test_fraction=0.2,
            validation_fraction=0.25,
            **{name: getattr(arguments, name) for name in shared},
        )
    )


def table(report: dict[str, Any]) -> str:
    """The results in Markdown."""
    heads = " | ".join(f"{part}, {horizon}" for part in report["rse"] for horizon in HORIZONS)
    lines = [
        f"{report['run']}, seed {report['settings']['seed']}, trained in {report['train_seconds'] / 60:.1f} minutes on "
        f"{report['cores']} cores; {report['seconds'] / 60:.1f} minutes in all",
        "",
        "LSTNet's relative squared error by part and rows ahead; of quantiles the median",
        "",
        f"| forecaster | {heads} |",
        "|---" + "|---:" * 2 * len(HORIZONS) + "|",
    ]
    for name in report["rse"]["test"]:
        numbers = [number for part in report["rse"].values() for number in part[name]]
        lines.append(f"| {name} | {' | '.join(f'{number:.5f}' for number in numbers)} |")
    for name, numbers in PUBLISHED_RSE.items():
        lines.append(f"| {name} | {'| ' * len(HORIZONS)}{' | '.join(f'{number:.4f}' for number in numbers)} |")
    p_values = ", ".join(f"{value:.3f}" for value in report["p_values"]["test"])
    gains = ", ".join(map(str, report["established"])) or "no"
    lines += [
        "",
        f"On test the median is at most {report['distance']:.2%} from the last value"
        f"{': it is collapsed, a copy of it' if report['collapsed'] else ''}; Diebold and Mariano's p beside the last "
        f"value, by rows ahead: {p_values}; validation establishes a gain at {gains} rows ahead",
        "",
        f"GluonTS's mean weighted quantile loss over {WINDOWS} windows of {WINDOW} rows (CRPS, in tables)",
        "",
        "| forecaster | validation | test |",
        "|---|---:|---:|",
    ]
    for name in report["crps"]["test"]:
        lines.append(f"| {name} | {' | '.join(f'{part[name]:.5f}' for part in report['crps'].values())} |")
    lines += [f"| {name} | | {number:.3f} |" for name, number in PUBLISHED_CRPS.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
