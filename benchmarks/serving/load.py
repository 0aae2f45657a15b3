"""Requests a second of exported models behind a server, beside calling them in process.

    python -m benchmarks.serving.load [NAME …] [--models saved_models] [--seconds 60] [--json]
    python -m benchmarks.serving.load [NAME …] --rest http://HOST:8501 --grpc grpc://HOST:8500

Without a server it starts `python -m apps serve` twice, with batching and without (--batching says one of them), with a
limit of two minutes for an answer: 64 clients who each ask for 32 captions wait half a minute. A closed loop: each
client asks again as soon as it is answered, for so many seconds, after a tenth of that which does not count. The
clients are threads of a process of their own (`closed_loop`), which shares the machine's cores with the server where
both run on one: what they take to write JSON and to read it is missing to the server. "In process" is the same loop
around the SavedModel in TensorFlow's C++ session, with as many threads as there are processors at most: the limit. The
first request is the first that a model of a newly started server answers, its metadata having been asked
for, beside the p50 of one client afterwards.
"""

import contextlib
import dataclasses
import json as json_format
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import tqdm
import tyro

import apps
from benchmarks.serving.closed_loop import in_own_process, started
from recur.errors import InputError
from recur.serving.repository import find_version, served_models


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the speed of a server."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Applications; all that are exported by default."""
    models: Path = Path("saved_models")
    """Folder of the exports, which the server serves too."""
    rest: str | None = None
    """A server that runs already, by REST."""
    grpc: str | None = None
    """The same, by gRPC."""
    protocols: tuple[Literal["REST", "gRPC"], ...] = ("REST", "gRPC")
    """By which a server that is started is asked."""
    batching: tuple[bool, ...] = (True, False)
    """Whether it puts requests together."""
    clients: tuple[int, ...] = (1, 8, 64)
    """How many ask at once."""
    rows: tuple[int, ...] = (1, 32)
    """Of a request."""
    seconds: float = 60.0
    """Of each measurement."""
    json: bool = False
    """Print one JSON object and nothing else."""


def measure(
    arguments: Arguments, names: Sequence[str], urls: dict[str, str], batching: bool | None
) -> Iterator[dict[str, Any]]:
    """Every measurement of a server; the first request of each model goes by the first protocol."""
    for name in names:
        first: float | None = None
        for clients in arguments.clients:
            for protocol, url in urls.items():
                for rows in arguments.rows:
                    measured = in_own_process(name, url, clients, rows, arguments.seconds)
                    if first is None:
                        first = measured["first_ms"]
                    else:
                        measured.pop("first_ms")
                    yield {"application": name, "where": protocol, "batching": batching, **measured}


def limits(arguments: Arguments, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The same loops in process."""
    for name in names:
        version = str(find_version(arguments.models / name))
        for clients in sorted({min(count, os.cpu_count() or 1) for count in arguments.clients}):
            for rows in arguments.rows:
                measured = in_own_process(name, version, clients, rows, arguments.seconds)
                yield {"application": name, "where": "in process", "batching": None, **measured}


def with_shares(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each measurement with its share of the most that was reached in process with requests of as many rows."""
    best: dict[tuple[str, int], float] = {}
    for row in rows:
        if row["where"] == "in process":
            key = row["application"], row["rows"]
            best[key] = max(best.get(key, 0.0), row["rows_per_second"])
    shares = [best.get((row["application"], row["rows"])) for row in rows]
    return [
        row | {"share": row["rows_per_second"] / most if most else None} for row, most in zip(rows, shares, strict=True)
    ]


def table(report: dict[str, Any]) -> str:
    """The measurements in Markdown."""
    names = ("application", "where", "batching", "clients", "rows", "rows/s", "p50", "p95", "p99 ms", "failed", "share")
    lines = [
        f"{report['seconds']:g} s each, {report['cores']} processors ({report['machine']}); server and clients on "
        f"{'two machines or one, as given' if report['given'] else 'the same'}; share: of rows/s in process",
        "",
        f"| {' | '.join(names)} |",
        "|---|---|---|" + "---:|" * (len(names) - 3),
    ]
    for row in report["rows"]:
        batching = {True: "yes", False: "no", None: ""}[row["batching"]]
        times = " | ".join("" if row[key] is None else f"{row[key]:.1f}" for key in ("p50_ms", "p95_ms", "p99_ms"))
        share = "" if row["share"] is None else f"{row['share']:.0%}"
        first = (
            f" (first request {row['first_ms']:.0f} ms)" if "first_ms" in row and row["where"] != "in process" else ""
        )
        lines.append(
            f"| {row['application']} | {row['where']}{first} | {batching} | {row['clients']} | {row['rows']} "
            f"| {row['rows_per_second']:.1f} | {times} | {row['failed']} | {share} |"
        )
    return "\n".join(lines)


def main(arguments: Arguments) -> None:
    """Measures, and prints a table."""
    try:
        known = [application.name for application in apps.choose(arguments.names)]
        exported = served_models(arguments.models) if arguments.models.is_dir() else []
        names = [name for name in known if name in exported]
        if missing := [name for name in arguments.names if name not in exported]:
            raise InputError(f"{arguments.models} has no {', '.join(missing)}; python -m apps export-all")
        if not names:
            raise InputError(f"nothing is exported in {arguments.models}; python -m apps export-all")
    except InputError as error:
        sys.exit(f"error: {error}")
    given = {name: url for name, url in {"REST": arguments.rest, "gRPC": arguments.grpc}.items() if url}
    servers = (None,) if given else arguments.batching
    count = len(names) * len(arguments.rows) * len(servers) * len(arguments.clients)
    rows = []
    with tqdm.tqdm(unit="loop", file=sys.stderr, total=count * len(given or arguments.protocols), disable=None) as bar:
        rows += limits(arguments, names)
        for batching in servers:
            server = contextlib.nullcontext((given, 0)) if given else started(arguments.models, names, bool(batching))
            with server as (urls, _):
                asked = given or {protocol: urls[protocol] for protocol in arguments.protocols}
                for row in measure(arguments, names, asked, batching):
                    rows.append(row)
                    bar.update()
    report = {"seconds": arguments.seconds, "cores": os.cpu_count(), "machine": platform.machine(), "given": given}
    report["rows"] = with_shares(rows)
    print(json_format.dumps(report) if arguments.json else table(report))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
