"""ETTh1: long horizons, in the literature's protocol, beside what is published and a linear model trained alike.

    python -m benchmarks.long_horizon.ett [--only REGEX] [--seed N] [--output FILE] [SETTINGS]

Ten cases: `univariate/24` … `univariate/720`, the oil temperature from its own past, and `multivariate/24` …
`multivariate/720`, all seven series, each from its own past by one network. Hours are divided into 12, 4 and 4 months
of 30 days, scaled by train's mean and deviation, and every window of test is forecast; errors are on that scale. In
each case two forecasters are trained on train, stopped by validation, and measured on test once:

* recurrent: reads two days of the window at a step, and writes two days of the forecast
  (`benchmarks.long_horizon.recurrent`, after SegRNN);
* DLinear (Zeng et al. 2023), with the window of its authors, and of three learning rates, theirs among them, the one
  that is best on validation.

Beside them: the last value, the last day repeated, and published figures. The recurrent network's settings were chosen
by the error on validation, which is in the results too: run it with others and compare.
"""

import dataclasses
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import keras
import numpy as np
import tqdm
import tyro

from benchmarks.long_horizon import data as ett_data
from benchmarks.long_horizon.dlinear import DLinear
from benchmarks.long_horizon.published import PUBLISHED
from benchmarks.long_horizon.recurrent import SegmentForecaster
from benchmarks.long_horizon.training import Settings, train
from recur.errors import InputError
from recur.files import write_json

HORIZONS = (24, 48, 168, 336, 720)
CASES = tuple((kind, horizon) for kind in ett_data.COLUMNS for horizon in HORIZONS)
FILE = "ett/ETTh1.csv.gz"
BATCH = {"univariate": 32, "multivariate": 128}
LINEAR_WINDOW, LINEAR_RATES = 336, (5e-4, 1e-3, 5e-3)
LINEAR_BATCH = {"univariate": 32, "multivariate": 224}
"""32 windows of every series, as its authors have it."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure recurrent networks on long horizons."""

    only: str = ""
    """A regular expression; only cases whose name, as multivariate/336, it is found in are run."""
    forecaster: Literal["both", "recurrent", "DLinear"] = "both"
    """Which are trained."""
    output: Path | None = None
    """File to write the results to, as JSON, after every case."""
    seed: int = 0
    """Seed of weights, order and dropout."""
    cell: Literal["gru", "lstm"] = "gru"
    """The recurrent cell."""
    units: int = 128
    """Width of the recurrent layer."""
    window: int = 720
    """Hours that it sees."""
    segment: int = 48
    """Hours that it reads, or writes, at a step."""
    dropout: float = 0.3
    """Rate, on what it reads and on what it says."""
    level: Literal["last", "mean"] = "last"
    """What is taken out of a window and put back: its last value, or its mean and deviation."""
    loss: Literal["mae", "mse"] = "mse"
    """What its training minimises."""
    learning_rate: float = 2e-3
    """Peak learning rate of the recurrent network."""
    epochs: int = 10
    """Epochs at most, of both."""
    steps: int = 100
    """Steps in an epoch at most, of both."""
    patience: int = 3
    """Epochs without improvement on validation after which training stops, of both."""


def main(arguments: Arguments) -> None:
    """Trains and measures every case, and prints a table."""
    if not (folder := os.environ.get("RECUR_DATA")):
        print("skipped: RECUR_DATA does not name a folder of downloaded data sets", file=sys.stderr)
        return
    try:
        chosen = [case for case in CASES if re.search(arguments.only, "{}/{}".format(*case))]
    except re.error as error:
        sys.exit(f"error: --only {arguments.only!r} is no regular expression: {error}")
    if not chosen:
        sys.exit(f"error: no case matches {arguments.only!r}; they are {', '.join('{}/{}'.format(*c) for c in CASES)}")
    settings = {name: value for name, value in vars(arguments).items() if name not in ("only", "forecaster", "output")}
    report: dict[str, Any] = {"settings": settings, "cores": os.cpu_count(), "cases": {}}
    trainings = sum(
        len(every) for kind, horizon in chosen for _, every in competitors(kind, 1, horizon, arguments).values()
    )
    with tqdm.tqdm(total=trainings * arguments.epochs, unit="epoch", file=sys.stderr, disable=None) as bar:
        for kind, horizon in chosen:
            try:
                values = ett_data.read_series(Path(folder) / FILE, kind)
                report["cases"][f"{kind}/{horizon}"] = measured(values, kind, horizon, arguments, bar)
            except (InputError, ValueError) as error:
                sys.exit(f"error: {error}")
            if arguments.output:
                write_json(arguments.output, report)
    print(table(report))


def measured(values: np.ndarray, kind: str, horizon: int, arguments: Arguments, bar: tqdm.tqdm) -> dict[str, Any]:
    """Errors of every forecaster in one case; of those that are trained, what came of training too."""
    firsts = ett_data.first_targets("test", arguments.window, horizon)
    targets = ett_data.targets_of(values, firsts, horizon)
    case: dict[str, Any] = {
        name: {"test": ett_data.errors(forecast(values, firsts, horizon), targets)}
        for name, forecast in (("last value", ett_data.last_value), ("last day", ett_data.seasonal_naive))
    }
    for name, (build, every) in competitors(kind, values.shape[1], horizon, arguments).items():
        begin = time.perf_counter()
        bar.set_description(f"{kind}/{horizon}, {name}")
        results = []
        for settings in every:
            seen = bar.n
            result = train(build, values, horizon, settings, lambda epoch, logs: bar.update())
            results.append(dataclasses.asdict(result) | {"learning_rate": settings.learning_rate})
            bar.update(seen + arguments.epochs - bar.n)  # those that stopping early left out
        best = min(results, key=lambda result: result["validation"]["mse"])
        case[name] = best | {"seconds": sum(result["seconds"] for result in results)}
        test, validation = case[name]["test"], case[name]["validation"]
        bar.write(
            f"{kind}/{horizon}  {name}: validation {validation['mse']:.3f} {validation['mae']:.3f}  test "
            f"{test['mse']:.3f} {test['mae']:.3f}  best after {case[name]['best_epoch']} of {case[name]['epochs']} "
            f"epochs  {(time.perf_counter() - begin) / 60:.1f} min",
            file=sys.stderr,
        )
        keras.backend.clear_session(free_memory=True)
    return case


def competitors(
    kind: str, series: int, horizon: int, arguments: Arguments
) -> dict[str, tuple[Callable[[], keras.Model], tuple[Settings, ...]]]:
    """The forecasters that are to be trained, and how: in several ways, of which validation chooses."""
    own = Settings(
        window=arguments.window,
        loss=arguments.loss,
        learning_rate=arguments.learning_rate,
        batch=BATCH[kind],
        steps=arguments.steps,
        epochs=arguments.epochs,
        patience=arguments.patience,
        seed=arguments.seed,
    )
    linear = tuple(
        dataclasses.replace(own, window=LINEAR_WINDOW, loss="mse", learning_rate=rate, batch=LINEAR_BATCH[kind])
        for rate in LINEAR_RATES
    )
    ways = {
        "recurrent": (
            lambda: SegmentForecaster(
                own.window,
                horizon,
                series,
                arguments.segment,
                arguments.cell,
                arguments.units,
                arguments.dropout,
                arguments.level,
            ),
            (own,),
        ),
        "DLinear": (lambda: DLinear(LINEAR_WINDOW, horizon), linear),
    }
    return {name: way for name, way in ways.items() if arguments.forecaster in ("both", name)}


def table(report: dict[str, Any]) -> str:
    """The results in Markdown: errors on test, a forecaster a line, and what was published below."""
    minutes = sum(outcome.get("seconds", 0) for case in report["cases"].values() for outcome in case.values()) / 60
    lines = [f"{minutes:.0f} minutes on {report['cores']} cores, seed {report['settings']['seed']}; MSE / MAE on test"]
    for kind in ett_data.COLUMNS:
        cases = {h: report["cases"][f"{kind}/{h}"] for h in HORIZONS if f"{kind}/{h}" in report["cases"]}
        if not cases:
            continue
        lines += ["", f"| ETTh1, {kind} | {' | '.join(map(str, cases))} |", "|---" + "|---:" * len(cases) + "|"]
        for name in ("recurrent", "DLinear", "last day", "last value"):
            pairs = {horizon: tuple(case[name]["test"].values()) for horizon, case in cases.items() if name in case}
            lines += [_line(name, pairs, cases)] if pairs else []
        lines += [_line(f"{name}, published", pairs, cases) for name, pairs in PUBLISHED[kind].items()]
    return "\n".join(lines)


def _line(name: str, pairs: dict[int, tuple[float, float]], horizons: Any) -> str:
    cells = (" / ".join(f"{number:.3f}" for number in pairs[h]) if h in pairs else "" for h in horizons)
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
