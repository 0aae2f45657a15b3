"""Runs beside one another."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import rich.console
import rich.table
from rich.markup import escape

from recur.errors import InputError
from recur.training.application import Application
from recur.training.runs import Run, list_runs

WIDE = 240  # columns of a table that no terminal shows


def show_runs(applications: Sequence[Application], *, as_json: bool) -> None:
    """Prints every run of the applications: a table each, or one JSON object."""
    rows = {application.name: [_facts(run) for run in list_runs(application.name)] for application in applications}
    if as_json:
        print(json.dumps({"runs": rows}))  # noqa: T201
        return
    console = rich.console.Console(width=None if sys.stdout.isatty() else WIDE)
    for application in applications:
        console.print(_table(application, rows[application.name]))


def _facts(run: Run) -> dict[str, Any]:
    """What is known of a run; one that is damaged has an `error`."""
    record, metrics, error = {}, {}, None
    try:
        record = run.read_record()
        metrics = (run.read_metrics() or {}).get("metrics", {})
    except InputError as problem:
        error = str(problem)
    return {
        "run": run.label,
        "preset": record.get("preset"),
        "data": record.get("data", {}).get("source"),
        "finished": record.get("finished"),
        "train_seconds": record.get("train_seconds"),
        "parameters": record.get("parameters"),
        "metrics": metrics,
        "error": error,
    }


def _table(application: Application, rows: list[dict[str, Any]]) -> rich.table.Table:
    names = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    table = rich.table.Table(title=f"{application.name}: {len(rows)} run{'' if len(rows) == 1 else 's'}")
    for column in ("run", "preset", "data", "minutes", "parameters", *names):
        table.add_column(column, overflow="fold", no_wrap=column == "run")
    for row in rows:
        metrics = row["metrics"]
        table.add_row(
            escape(row["run"]),
            row["preset"],
            escape(row["data"] or ""),
            _minutes(row),
            "" if row["parameters"] is None else f"{row['parameters']:,}",
            *(f"{metrics[name]:.4f}" if name in metrics else "" for name in names),
        )
    return table


def _minutes(row: dict[str, Any]) -> str:
    if row["error"]:
        return "damaged"
    if not row["finished"]:
        return "unfinished"
    return "" if row["train_seconds"] is None else f"{row['train_seconds'] / 60:.1f}"
