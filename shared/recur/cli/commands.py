"""What the commands do with a trained run: the same for every application."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.console
import rich.markup
import rich.table

from recur.cli.printing import check_output, inputs_or_lines, print_answers
from recur.files import write_json
from recur.serving.answers import answers, ask_module
from recur.training.application import Application
from recur.training.config import checked
from recur.training.loading import load_ensemble, parameters, read_again
from recur.training.runs import Run, open_run
from recur.training.task import Trained

logger = logging.getLogger(__name__)


MOST_COLUMNS = 5  # metrics that stand side by side in a terminal of 80 columns


def evaluate(
    application: Application,
    name: str,
    source: str | None = None,
    *,
    as_json: bool = False,
    others: Sequence[str] = (),
) -> dict[str, Any]:
    """Measures a run beside its baselines, writes `metrics.json`, and prints.

    With others it measures the ensemble, whose files go to `stages/ensemble` of the run.
    """
    run = open_run(application.name, name)
    trained = load_ensemble(application, run, others)
    corpus = application.task.read(source, trained.config) if source else read_again(application, run, trained.config)
    folder = run.stage("ensemble") if others else run
    folder.plots.mkdir(parents=True, exist_ok=True)
    metrics = measure(application, run, trained, corpus, folder, source, others)
    if as_json:
        print(json.dumps(metrics, ensure_ascii=False))  # noqa: T201
    else:
        console = rich.console.Console()
        console.print(metrics_table(metrics))
        lines, longer = details_shown(metrics["details"])
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
        if longer:
            logger.info(f"in the file below: {', '.join(longer)}")
        logger.info(f"written: {folder.path / 'metrics.json'}, pictures in {folder.plots}")
    return metrics


def measure(
    application: Application,
    run: Run,
    trained: Trained,
    corpus: Any,
    folder: Run,
    source: str | None = None,
    others: Sequence[str] = (),
) -> dict[str, Any]:
    """Measures a loaded model on a corpus and writes `metrics.json`.

    Args:
        application: The application.
        run: The run that the model is of.
        trained: Its model, or the ensemble with others.
        corpus: What the application read.
        folder: Where the metrics and pictures go.
        source: What was read, where it is not what the run was trained on.
        others: Runs of the ensemble besides this one.

    Returns:
        What is in the file.
    """
    record = run.read_record()
    records = [record, *(open_run(application.name, other).read_record() for other in others)]
    result = application.task.evaluate(trained, corpus, folder)
    metrics = {
        "application": application.name,
        "data": source or record["data"]["source"],
        "split": result.split,
        "examples": result.examples,
        "parameters": sum(parameters(model) for model in trained.models),
        "train_seconds": sum(record.get("train_seconds", 0.0) for record in records),
        "metrics": dict(result.metrics),
        "baselines": {name: dict(values) for name, values in result.baselines.items()},
        "details": dict(result.details) | _gradients(record) | ({"ensemble": [run.label, *others]} if others else {}),
    }
    write_json(folder.path / "metrics.json", metrics)
    return metrics


def details_shown(details: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What of an evaluation's details a terminal shows: a line each, and the names of those that are too long.

    Example:
        >>> details_shown({"interval": {"low": 0.5, "high": 1.0}, "examples": 20, "worst": [{"text": "…"}]})
        (['interval: low 0.5000, high 1.0000', 'examples: 20'], ['worst'])
    """
    lines, longer = [], []
    for name, value in details.items():
        parts = value if isinstance(value, Mapping) else {"": value}
        if any(isinstance(part, (Mapping, list, tuple)) for part in parts.values()):
            longer.append(name)
            continue
        numbers = {key: f"{part:.4f}" if isinstance(part, float) else part for key, part in parts.items()}
        lines.append(f"{name}: {', '.join(f'{key} {number}'.strip() for key, number in numbers.items())}")
    return lines, longer


def _gradients(record: Mapping[str, Any]) -> dict[str, float]:
    """The shares of training steps whose gradients were clipped, and that were skipped because they were not finite."""
    report = record.get("gradients")  # a run of an earlier version, or one that has not finished, has none
    if not report:
        return {}
    steps = max(report["updates"] + report["skipped"], 1)
    return {
        "clipped_steps": report["clipped"] * report["updates"] / steps,
        "skipped_steps": report["skipped"] / steps,
    }


def metrics_table(metrics: dict[str, Any]) -> rich.table.Table:
    """The model beside its baselines: a row each, or a column each where there are many metrics."""
    title = f"{metrics['application']}: {metrics['data']}, {metrics['split']} ({metrics['examples']:,} examples)"
    table = rich.table.Table(title=rich.markup.escape(title))
    systems = {"this model": metrics["metrics"], **metrics["baselines"]}
    names = list(metrics["metrics"])
    cells = {
        label: {name: f"{values[name]:.4f}" if name in values else "" for name in names}
        for label, values in systems.items()
    }
    if len(names) > MOST_COLUMNS:
        columns, rows = list(systems), [(name, *(cells[label][name] for label in systems)) for name in names]
    else:
        columns, rows = names, [(label, *cells[label].values()) for label in systems]
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def predict(
    application: Application,
    name: str,
    inputs: Sequence[str] | None,
    options: Any,
    as_json: bool = False,
    output: Path | None = None,
    others: Sequence[str] = (),
) -> None:
    """Answers inputs through the serving module that `export` writes."""
    if output is not None:
        check_output(output)
    options = checked(options)
    trained = load_ensemble(application, open_run(application.name, name), others)
    module = application.task.serving_module(trained)
    raw = inputs_or_lines(inputs)
    records = answers(application, ask_module(module), raw, options)
    pieces = None if as_json or output is not None else application.task.stream(trained, module, raw, options)
    print_answers(application, records, as_json, output, pieces)


def export(application: Application, name: str, to: Path, others: Sequence[str] = ()) -> Path:
    """Writes the next version of the application's SavedModel."""
    from recur.serving.export import export_run

    run = open_run(application.name, name)
    path = export_run(application, run, load_ensemble(application, run, others), to, others)
    print(path)  # noqa: T201
    return path
