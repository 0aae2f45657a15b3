"""Clients that ask again as soon as they are answered, in a process of their own, and the server that they ask.

    python -m benchmarks.serving.closed_loop APPLICATION WHERE [--clients 8] [--rows 1] [--seconds 60]

WHERE is a server (http://… or grpc://…), or a version of an exported model, which is then asked in this process. Prints
one JSON object. Each client is a thread; all share one connection pool, or one channel. The time of an answer is what
the caller waits: writing the request and reading the answer is part of it. Requests are made of the application's
examples, over and over, with its default options.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
import urllib3

import apps
from recur.serving.answers import Asked, ask_saved_model
from recur.serving.client import connect
from recur.training.application import Application, Shapes

DEADLINE = 120.0
"""Seconds for an answer; for so long the client also asks again where the server has no room, which is waiting too."""
START_SECONDS = 300
"""For a server to load and to warm up all models."""
WARM = 0.1
"""Share of the seconds that is spent before, uncounted."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Ask a server, or an export, in a closed loop."""

    application: tyro.conf.Positional[str]
    """Whose model is asked."""
    where: tyro.conf.Positional[str]
    """A server, or the folder of a version."""
    clients: int = 8
    """That ask at once."""
    rows: int = 1
    """Of a request."""
    seconds: float = 60.0
    """Of asking."""


def typical_request(application: Application, rows: int, shapes: Shapes) -> tuple[str, Mapping[str, np.ndarray]]:
    """A signature and its inputs: the examples over and over, for a model of some shapes."""
    inputs = list(itertools.islice(itertools.cycle(application.requests.examples()), rows))
    request = application.requests.parse(inputs, application.options(), shapes)
    return request.signature, request.arrays


def closed_loop(ask: Callable[[], Any], clients: int, seconds: float) -> dict[str, Any]:
    """Asks from several threads until the time is over; what has begun by then is waited for and counted.

    Args:
        ask: One request.
        clients: Threads.
        seconds: Of asking.

    Returns:
        `requests` and how many of them `failed`, with the `first_failure`; `seconds` until the last was answered;
        `requests_per_second` of those that did not fail; and `p50_ms`, `p95_ms`, `p99_ms`: how long an answer took.
    """
    taken: list[list[float]] = [[] for _ in range(clients)]
    errors: list[Exception] = []
    barrier = threading.Barrier(clients + 1)

    def client(mine: list[float]) -> None:
        barrier.wait()
        while time.perf_counter() < end:
            begun = time.perf_counter()
            try:
                ask()
            except Exception as error:  # noqa: BLE001 - counted, whatever it is
                errors.append(error)
            else:
                mine.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=client, args=(mine,), daemon=True) for mine in taken]
    for thread in threads:
        thread.start()
    begun = time.perf_counter()
    end = begun + seconds
    barrier.wait()
    for thread in threads:
        thread.join()
    whole, all_taken = time.perf_counter() - begun, list(itertools.chain.from_iterable(taken))
    return {
        "requests": len(all_taken) + len(errors),
        "failed": len(errors),
        "first_failure": str(errors[0]) if errors else None,
        "seconds": whole,
        "requests_per_second": len(all_taken) / whole,
        **percentiles(all_taken),
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Milliseconds within which so many percent of answers came; None where there are none."""
    names = ("p50_ms", "p95_ms", "p99_ms")
    if not seconds:
        return dict.fromkeys(names)
    return dict(zip(names, (1000 * np.percentile(seconds, [50, 95, 99])).tolist(), strict=True))


def in_own_process(name: str, where: str, clients: int, rows: int, seconds: float) -> dict[str, Any]:
    """Asks WHERE from a process of its own; what the command prints."""
    words = ["--clients", str(clients), "--rows", str(rows), "--seconds", str(seconds)]
    command = [sys.executable, "-m", "benchmarks.serving.closed_loop", name, where, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


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
            versions = json.loads(status.data).get("model_version_status", [])
            if any(version["state"] == "AVAILABLE" for version in versions):
                waiting.pop(0)
                continue
        time.sleep(0.2)


def main(arguments: Arguments) -> None:
    """Asks, and prints what came of it."""
    application = apps.applications()[arguments.application]
    with contextlib.ExitStack() as stack:
        if "://" in arguments.where:
            client = stack.enter_context(connect(arguments.where, application.name, deadline=DEADLINE))
            model = Asked(client.shapes(), client.ask)
        else:
            from tfserving_dev.session import NativeSavedModel

            model = ask_saved_model(stack.enter_context(NativeSavedModel(Path(arguments.where))))
        signature, inputs = typical_request(application, arguments.rows, model.shapes)
        asked = functools.partial(model.ask, signature, inputs)
        begun = time.perf_counter()
        asked()
        first = time.perf_counter() - begun
        closed_loop(asked, arguments.clients, WARM * arguments.seconds)
        answered = closed_loop(asked, arguments.clients, arguments.seconds)
    rates = {"rows": arguments.rows, "rows_per_second": arguments.rows * answered["requests_per_second"]}
    print(json.dumps({"clients": arguments.clients, **rates, "first_ms": 1000 * first, **answered}))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
