"""What goes to a terminal or a file: answers to standard output, notes to standard error. Loads no TensorFlow."""

import contextlib
import csv
import io
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from recur.errors import InputError
from recur.files import atomically
from recur.training.application import Application

logger = logging.getLogger(__name__)


class _AboveBars(logging.Handler):
    """Writes to what is standard error at that moment, and above the bars of progress that are there."""

    def emit(self, record: logging.LogRecord) -> None:
        import tqdm  # nothing to write, nothing to load

        tqdm.tqdm.write(self.format(record), file=sys.stderr)
        sys.stderr.flush()


def log_to_standard_error() -> None:
    """Shows what the library and the applications log: progress and notes, a line each."""
    for name in ("recur", "apps"):
        package = logging.getLogger(name)
        package.setLevel(logging.INFO)
        if not package.handlers:
            package.addHandler(_AboveBars())


@contextlib.contextmanager
def silent_libraries() -> Iterator[None]:
    """TensorFlow's libraries write notes to file descriptor 2 while they load, whatever the log level."""
    with Path(os.devnull).open("w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def check_output(path: Path) -> None:
    """Refuses a file that answers cannot be written to.

    Raises:
        InputError: It is of another kind, in no folder, or a folder.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise InputError(f"--output {path} should end in .csv or .jsonl")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for --output {path}; make it first")
    if path.is_dir():
        raise InputError(f"--output {path} is a folder; name a file")


def print_answers(
    application: Application,
    records: Iterable[dict[str, Any]],
    as_json: bool = False,
    output: Path | None = None,
    pieces: Iterable[str] | None = None,
) -> None:
    """Prints answers as they come, or writes them to a file.

    Args:
        application: Whose answers they are.
        records: Records.
        as_json: Print one JSON object.
        output: A file that they go to instead, unless they are also to be printed as JSON.
        pieces: What to print for a person, where that is not `Requests.show` of each record.
    """
    if as_json:
        records = list(records)
    if output is not None:
        logger.info(f"wrote {_write_answers(output, records)} answers to {output}")
    if as_json:
        print(json.dumps({"application": application.name, "answers": records}, ensure_ascii=False))  # noqa: T201
    elif output is None:
        for piece in pieces or (application.requests.show(answer) + "\n" for answer in records):
            print(piece, end="", flush=True)  # noqa: T201


def _write_answers(path: Path, answers: Iterable[dict[str, Any]]) -> int:
    count = 0
    with (
        atomically(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        for count, answer in enumerate(answers, 1):
            if path.suffix == ".jsonl":
                file.write(json.dumps(answer, ensure_ascii=False) + "\n")
                continue
            writer = csv.DictWriter(file, fieldnames=list(answer))
            if count == 1:
                writer.writeheader()
            several = {
                key: json.dumps(value, ensure_ascii=False) for key, value in answer.items() if type(value) is list
            }
            writer.writerow(answer | several)
    return count


def inputs_or_lines(inputs: Sequence[str] | None) -> Iterator[str]:
    """The inputs, or where there are none the lines of standard input; at a terminal that is said."""
    if inputs:
        return iter(inputs)
    if sys.stdin.isatty():
        logger.info("reading inputs from the terminal, one a line; Ctrl-D ends")
    return standard_input()


def standard_input() -> Iterator[str]:
    """Lines of standard input without their line ends, as they come; bytes that are not UTF-8 are replaced."""
    for line in io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="replace", newline="\n"):
        yield line.rstrip("\r\n")
