"""Requests a second of exported models behind a server, beside calling them in process.

    python -m benchmarks.serving_load [NAME …] [--models saved_models] [--seconds 60] [--json]
    python -m benchmarks.serving_load [NAME …] --rest http://HOST:8501 --grpc grpc://HOST:8500

Without a server it starts `python -m apps serve` twice, with batching and without (--batching says one of them), with a
limit of two minutes for an answer: 64 clients who each ask for 32 captions wait half a minute. A closed loop: each
client asks again as soon as it is answered, for so many seconds, after a tenth of that which does not count. The
clients are threads of a process of their own (benchmarks/closed_loop.py), which shares the machine's cores with the
server where both run on one: what they take to write JSON and to read it is missing to the server. "In process" is the
same loop around the SavedModel in TensorFlow's C++ session, with as many threads as there are processors at most: the
limit. The first request is the first that a model of a newly started server answers, its metadata having been asked
for, beside the p50 of one client afterwards.
"""

import contextlib
import dataclasses
import json as json_format
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import tqdm
import tyro
import urllib3

import apps
from benchmarks.closed_loop import DEADLINE
from recur.errors import InputError
from recur.serving.repository import find_version, served_models

START_SECONDS = 300
"""For a server to load and to warm up all models."""


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


@contextlib.contextmanager
def started(models: Path, names: Sequence[str], batching: bool) -> Iterator[tuple[dict[str, str], int]]:
    """Starts `python -m apps serve`; ends it afterwards.

    Returns:
        When all models are available: its URLs by protocol, and the number of its process.

    Raises:
        RuntimeError: It stops, or some model is not available in time.
    """
    ports = [_free_port() for _ in range(2)]
    words = ["--models", str(models), "--rest-port", str(ports[0]), "--grpc-port", str(ports[1])]
    words += ["--server", "development", "--request-seconds", str(DEADLINE)]
    command = [sys.executable, "-m", "apps", "serve", *words, *([] if batching else ["--no-batching"])]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            urls = {"REST": f"http://127.0.0.1:{ports[0]}", "gRPC": f"grpc://127.0.0.1:{ports[1]}"}
            wait_available(urls["REST"], names, lambda: server.poll() is None)
            yield urls, server.pid
        except RuntimeError:
            log.seek(0)
            sys.stderr.write(log.read().decode("utf-8", "replace")[-2000:])
            raise
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def wait_available(url: str, names: Sequence[str], runs: Any = lambda: True, seconds: float = START_SECONDS) -> None:
    """Waits until a server says of each model that it is available.

    Raises:
        RuntimeError: It does not in time, or stops running.
    """
    pool, end, waiting = urllib3.PoolManager(retries=False), time.monotonic() + seconds, list(names)
    while waiting:
        if time.monotonic() > end or not runs():
            raise RuntimeError(f"the server at {url} has no {', '.join(waiting)}")
        with contextlib.suppress(urllib3.exceptions.HTTPError, ValueError):
            status = pool.request("GET", f"{url}/v1/models/{waiting[0]}", timeout=10.0)
            versions = json_format.loads(status.data).get("model_version_status", [])
            if any(version["state"] == "AVAILABLE" for version in versions):
                waiting.pop(0)
                continue
        time.sleep(0.2)


def loop(name: str, where: str, clients: int, rows: int, seconds: float) -> dict[str, Any]:
    """One measurement, in a process of its own."""
    words = ["--clients", str(clients), "--rows", str(rows), "--seconds", str(seconds)]
    command = [sys.executable, "-m", "benchmarks.closed_loop", name, where, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json_format.loads(done.stdout.splitlines()[-1])


def measure(
    arguments: Arguments, names: Sequence[str], urls: dict[str, str], batching: bool | None
) -> Iterator[dict[str, Any]]:
    """Every measurement of a server; the first request of each model goes by the first protocol."""
    for name in names:
        first: float | None = None
        for clients in arguments.clients:
            for protocol, url in urls.items():
                for rows in arguments.rows:
                    found = loop(name, url, clients, rows, arguments.seconds)
                    if first is None:
                        first = found["first_ms"]
                    else:
                        found.pop("first_ms")
                    yield {"application": name, "where": protocol, "batching": batching, **found}


def limits(arguments: Arguments, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The same loops in process."""
    for name in names:
        version = str(find_version(arguments.models / name))
        for clients in sorted({min(each, os.cpu_count() or 1) for each in arguments.clients}):
            for rows in arguments.rows:
                found = loop(name, version, clients, rows, arguments.seconds)
                yield {"application": name, "where": "in process", "batching": None, **found}


def with_shares(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each measurement with its share of the most that was reached in process with requests of as many rows."""
    best: dict[tuple[str, int], float] = {}
    for each in found:
        if each["where"] == "in process":
            key = each["application"], each["rows"]
            best[key] = max(best.get(key, 0.0), each["rows_per_second"])
    shares = [best.get((each["application"], each["rows"])) for each in found]
    return [
        each | {"share": each["rows_per_second"] / most if most else None}
        for each, most in zip(found, shares, strict=True)
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
        known = [each.name for each in apps.choose(arguments.names)]
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
    found = []
    with tqdm.tqdm(unit="loop", file=sys.stderr, total=count * len(given or arguments.protocols), disable=None) as bar:
        for each in limits(arguments, names):
            found.append(each)
        for batching in servers:
            server = contextlib.nullcontext((given, 0)) if given else started(arguments.models, names, bool(batching))
            with server as (urls, _):
                asked = given or {protocol: urls[protocol] for protocol in arguments.protocols}
                for each in measure(arguments, names, asked, batching):
                    found.append(each)
                    bar.update()
    report = {"seconds": arguments.seconds, "cores": os.cpu_count(), "machine": platform.machine(), "given": given}
    report["rows"] = with_shares(found)
    print(json_format.dumps(report) if arguments.json else table(report))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
