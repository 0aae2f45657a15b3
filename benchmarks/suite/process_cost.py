"""What a command costs: CPU seconds and peak memory of its whole process tree, and when a line of its output appeared.

    python -m benchmarks.suite.process_cost [--json FILE] [--until PATTERN] -- make test

CPU is what the kernel charges to the command and everything it started, orphans included. Memory is sampled every
second with psutil, as two sums over the tree: of resident set sizes (RSS), in which a page that processes share counts
once for each of them, and of proportional set sizes (PSS), in which it counts once.
"""

import argparse
import contextlib
import ctypes
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36


def cpu_seconds() -> float:
    """CPU seconds, user and system, of all children that have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tree_memory(root: psutil.Process) -> tuple[int, int]:
    """Bytes of all descendants of a process: RSS and PSS."""
    resident = proportional = 0
    for process in root.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            memory = process.memory_full_info()
            resident, proportional = resident + memory.rss, proportional + memory.pss
    return resident, proportional


def measure(command: list[str], until: str | None = None) -> dict[str, object]:
    """Runs a command, passing its output on.

    Args:
        command: The command and its arguments.
        until: A regular expression; the seconds after which a line of the output first matched it are reported.

    Returns:
        `command`, `status`, `wall_seconds`, `cpu_seconds`, `peak_rss_mib`, `peak_pss_mib`, `first_match_seconds`.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    peak = (0, 0)
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        root = psutil.Process()
        while not done.wait(1.0):
            peak = tuple(map(max, peak, tree_memory(root)))

    sampler = threading.Thread(target=sample, daemon=True)
    begin = time.monotonic()
    first_match = None
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    sampler.start()
    assert process.stdout is not None
    pattern = re.compile(until) if until else None
    for line in process.stdout:
        text = line.decode(errors="replace")
        if first_match is None and pattern and pattern.search(text):
            first_match = time.monotonic() - begin
        sys.stdout.write(text)
        sys.stdout.flush()
    status = process.wait()
    wall = time.monotonic() - begin
    done.set()
    sampler.join()
    while True:  # Orphans, which are ours as the subreaper.
        try:
            os.wait()
        except ChildProcessError:
            break
    return {
        "command": " ".join(command),
        "status": status,
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu_seconds(), 1),
        "peak_rss_mib": peak[0] >> 20,
        "peak_pss_mib": peak[1] >> 20,
        "first_match_seconds": None if first_match is None else round(first_match, 1),
    }


def main() -> int:
    """Runs the command line; the exit status is that of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--until", help="regular expression of the output line whose time is reported")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command, after --")
    arguments = parser.parse_args()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        parser.error("no command; say for example: -- make test")
    figures = measure(command, arguments.until)
    text = json.dumps(figures, indent=1)
    print(text, file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return int(figures["status"])


if __name__ == "__main__":
    sys.exit(main())
