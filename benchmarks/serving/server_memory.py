"""Memory of a server over many requests.

    python -m benchmarks.serving.server_memory [NAME …] [--models saved_models] [--requests 100000]

Starts `python -m apps serve` for all applications that are exported, and asks each that is named, by REST and by gRPC
in turn, from 64 clients with one row a request. A tenth of the requests comes first, after which pools and caches
should be as large as they get; then prints after each turn what is resident in memory, and how much that has grown.
"""

import contextlib
import dataclasses
import itertools
import sys
from pathlib import Path

import psutil
import tqdm
import tyro

from benchmarks.serving.closed_loop import in_own_process, started
from recur.serving.repository import served_models

CLIENTS = 64
TURN_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Watch the memory of a server."""

    names: tyro.conf.Positional[tuple[str, ...]] = ("stock_forecasting", "sentiment_analysis")
    """Applications."""
    models: Path = Path("saved_models")
    """Folder of the exports."""
    requests: int = 100_000
    """Of each application."""


def main(arguments: Arguments) -> None:
    """Asks, and prints a line a turn."""
    exported = served_models(arguments.models) if arguments.models.is_dir() else []
    if missing := [name for name in arguments.names if name not in exported]:
        sys.exit(f"error: {arguments.models} has no {', '.join(missing)}; python -m apps export-all")
    with contextlib.ExitStack() as stack:
        urls, process = stack.enter_context(started(arguments.models, arguments.names, batching=True))
        for name in arguments.names:
            answered, total, first = 0, arguments.requests + arguments.requests // 10, None
            with tqdm.tqdm(total=total, unit="request", desc=name, file=sys.stderr, disable=None) as bar:
                for protocol in itertools.cycle(urls):
                    turn = in_own_process(name, urls[protocol], CLIENTS, 1, TURN_SECONDS)
                    answered += turn["requests"] - turn["failed"]
                    bar.update(turn["requests"])
                    memory = psutil.Process(process).memory_info().rss / 1e6
                    if answered >= arguments.requests // 10:
                        first = memory if first is None else first
                        line = f"{answered:>9,} answered, {turn['failed']} failed, {memory:,.0f} MB"
                        print(f"{name} {line}, {memory - first:+.0f}", flush=True)
                    if answered >= total:
                        break


if __name__ == "__main__":
    main(tyro.cli(Arguments))
