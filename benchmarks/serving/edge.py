"""What a stock model loses on the way to LiteRT: pinball loss, size and time in every form, beside the export.

    python -m benchmarks.serving.edge [RUN] [--origins 2000] [--json]

Forecasts from the same origins of the run's test part, evenly spaced: by the export in TensorFlow's C++ session and by
its conversions. The loss is that of `evaluate` for the fixed calibration: adaptive ones need what came after. Times are
those of one forecast at a time, medians; LiteRT has one thread.
"""

import dataclasses
import functools
import json as json_format
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import numpy as np
import tqdm
import tyro

from apps.stock_forecasting.application import APPLICATION
from apps.stock_forecasting.backtest import Outcomes, at_reported, losses, outcomes_of
from apps.stock_forecasting.batches import all_series, windows_of
from apps.stock_forecasting.config import StockConfig
from apps.stock_forecasting.data import Corpus, Origins
from recur.cli.edge import converted, interpreter_of
from recur.errors import InputError
from recur.serving.export import export_run
from recur.training import loading
from recur.training.runs import open_run
from tfserving_dev.session import NativeSavedModel

FORMS = ("float32", "float16", "int8")
ROWS, TIMED = 64, 50


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the loss of a conversion."""

    run: tyro.conf.Positional[str] = "latest"
    """A run of stock forecasting on the close alone, or `latest`."""
    origins: int = 2000
    """Forecasts, about."""
    json: bool = False
    """Print one JSON object and nothing else."""


Forecast = Callable[[np.ndarray], np.ndarray]
"""From closes float32 [n, window] to quantiles of prices [n, horizon, Q]."""


def chosen(rows: Origins, count: int) -> Origins:
    """Every so many-th origin of each ticker, so that there are at most about so many."""
    step = max(1, -(-sum(map(len, rows)) // count))
    return tuple(of_ticker[::step] for of_ticker in rows)


def closes(corpus: Corpus, origins: Origins, config: StockConfig) -> np.ndarray:
    """Closes up to each origin, float32 [n, window]."""
    pairs = zip(all_series(corpus, config), origins, strict=True)
    return np.concatenate([windows_of(series, rows, config.window)["close"] for series, rows in pairs])


def pinball(quantiles: np.ndarray, close: np.ndarray, outcomes: Outcomes) -> float:
    """Mean pinball loss in percent, of quantiles of prices [n, horizon, Q] from closes [n, window]."""
    returns = np.log(quantiles.astype(np.float64)) - np.log(close[:, -1].astype(np.float64))[:, None, None]
    return 100 * float(losses(at_reported(returns), outcomes).mean())


def forecast_all(forecast: Forecast, close: np.ndarray, name: str) -> np.ndarray:
    """Quantiles of all, a fixed number of rows at a time; the last rows are filled up and cut."""
    parts = []
    for begin in tqdm.trange(0, len(close), ROWS, desc=name, file=sys.stderr, delay=2, leave=False, disable=None):
        part = close[begin : begin + ROWS]
        parts.append(forecast(np.resize(part, (ROWS, close.shape[1])))[: len(part)])
    return np.concatenate(parts)


def milliseconds(forecast: Forecast, close: np.ndarray) -> float:
    """Median time of one forecast."""
    taken = []
    for row in range(TIMED + 1):
        begin = time.perf_counter()
        forecast(close[row % len(close)][None])
        taken.append(time.perf_counter() - begin)
    return 1000 * statistics.median(taken[1:])


def lite(version: Path, form: str, rows: int) -> tuple[Forecast, int]:
    """An export's conversion for so many rows, and its bytes."""
    content = converted(version, form, rows=rows)
    runner = interpreter_of(content).get_signature_runner("serving_default")
    return (lambda close: runner(close=close)["quantiles"]), len(content)


def main(arguments: Arguments) -> None:
    """Measures, and prints a table."""
    if arguments.origins < 1:
        sys.exit("error: there must be at least one origin")
    try:
        run = open_run(APPLICATION.name, arguments.run)
        trained = loading.load(APPLICATION, run)
        corpus = loading.read_again(APPLICATION, run, trained.config)
    except InputError as error:
        sys.exit(f"error: {error}")
    if trained.config.features:
        sys.exit("error: the run reads more than the close; give one that does not")
    origins = chosen(corpus.test, arguments.origins)
    outcomes = outcomes_of(corpus, origins, trained.config.horizon)
    close = closes(corpus, origins, trained.config)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        version = export_run(APPLICATION, run, trained, Path(folder))
        with NativeSavedModel(version) as model:
            export: Forecast = functools.partial(_served, model)
            expected = forecast_all(export, close, "export")
            loss = pinball(expected, close, outcomes)
            size = sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
            rows.append({"form": "export", "bytes": size, "pinball": loss, "milliseconds": milliseconds(export, close)})
        for form in FORMS:
            (many, _), (one, size) = lite(version, form, ROWS), lite(version, form, 1)
            quantiles = forecast_all(many, close, form)
            rows.append(
                {
                    "form": form,
                    "bytes": size,
                    "pinball": pinball(quantiles, close, outcomes),
                    "largest_deviation": float(np.abs(quantiles / expected - 1).max()),
                    "milliseconds": milliseconds(one, close),
                }
            )
    report = {"run": run.label, "data": corpus.source, "forecasts": len(close), "cores": os.cpu_count(), "rows": rows}
    print(json_format.dumps(report) if arguments.json else table(report))


def _served(model: NativeSavedModel, close: np.ndarray) -> np.ndarray:
    return model.run({"close": close})["quantiles"]


def table(report: dict) -> str:
    """The measurements in Markdown."""
    lines = [
        f"{report['forecasts']:,} forecasts of {report['run']} on {report['data']}",
        "",
        "| form | MB | pinball, % | lost, % of it | quantiles differ, at most | ms, one forecast |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    whole = report["rows"][0]["pinball"]
    for row in report["rows"]:
        deviation = f"{row['largest_deviation']:.1e}" if "largest_deviation" in row else ""
        lost = 100 * (row["pinball"] / whole - 1)
        cells = (row["form"], f"{row['bytes'] / 1e6:.2f}", f"{row['pinball']:.4f}", f"{lost:.3f}", deviation)
        lines.append(f"| {' | '.join(cells)} | {row['milliseconds']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
