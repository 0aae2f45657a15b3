"""Runs beside one another."""

import json
from collections.abc import Sequence
from typing import Any

import rich.console
import rich.table

from shared.application import Application
from shared.runs import Run, list_runs


def show_runs(applications: Sequence[Application[Any, Any, Any]], *, as_json: bool) -> None:
    """Prints every run of the applications: a table each, or one JSON object."""
    rows = {application.name: [_facts(run) for run in list_runs(application.name)] for application in applications}
    if as_json:
        print(json.dumps({"runs": rows}, ensure_ascii=False))  # noqa: T201
        return
    console = rich.console.Console()
    for application in applications:
        console.print(_table(application, rows[application.name]))


def _facts(run: Run) -> dict[str, Any]:
    record, metrics = run.read_record(), run.read_metrics()
    return {
        "run": run.label,
        "preset": record["preset"],
        "data": record["data"]["source"],
        "finished": record["finished"],
        "train_seconds": record.get("train_seconds"),
        "parameters": record.get("parameters"),
        "metrics": metrics["metrics"] if metrics else {},
    }


def _table(application: Application[Any, Any, Any], rows: list[dict[str, Any]]) -> rich.table.Table:
    names = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    table = rich.table.Table(title=f"{application.name}: {len(rows)} runs")
    for column in ("run", "preset", "data", "minutes", "parameters", *names):
        table.add_column(column, overflow="fold")
    for row in rows:
        seconds = row["train_seconds"]
        table.add_row(
            row["run"],
            row["preset"],
            row["data"],
            "unfinished" if not row["finished"] else f"{seconds / 60:.1f}",
            f"{row['parameters']:,}" if row["parameters"] else "",
            *(f"{row['metrics'][name]:.4f}" if name in row["metrics"] else "" for name in names),
        )
    return table
