"""`gradients.csv`: what was seen, a row a number, written as training goes and readable whenever it stops."""

import csv
import io
import os
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from recur.files import atomically


class Record(NamedTuple):
    """One number.

    Attributes:
        step: Of training, from 1.
        layer: Path of the layer; empty for the model as a whole.
        kind: `kernel`, `recurrent_kernel`, `bias`, … of a weight; `state`, `gates`, `activations` of a recurrent layer;
            `model`.
        quantity: What was measured.
        index: Steps before the last (`gradient_norm` and `carried` of a `state`), or the gate (`spectral_radius`).
        value: The number.
    """

    step: int
    layer: str
    kind: str
    quantity: str
    index: int | None  # type: ignore[assignment]  # a column of the file, which hides tuple's method
    value: float


COLUMNS = Record._fields


def table(records: Iterable[Sequence]) -> pd.DataFrame:
    """Returns records as a table with the columns of `Record`."""
    frame = pd.DataFrame(records, columns=list(COLUMNS))
    return frame.astype({"step": "int64", "index": "Int64", "value": "float64"})


def read_records(path: Path) -> pd.DataFrame:
    """Reads what `RecordFile` wrote.

    A last line that was cut off is left out.

    Raises:
        ValueError: It is no such file.
        OSError: It cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    text = text[: text.rfind("\n") + 1]
    if not text.startswith(",".join(COLUMNS) + "\n"):
        raise ValueError(f"it does not begin with {','.join(COLUMNS)}")
    types = {"step": "int64", "layer": str, "kind": str, "quantity": str, "index": "Int64", "value": "float64"}
    return pd.read_csv(io.StringIO(text), dtype=types, keep_default_na=False, na_values={"index": "", "value": "nan"})


class FirstAndLast:
    """The looks at the beginning of a run and the newest ones: enough for a diagnosis, however long the run.

    ‖∂L/∂h_t‖ by step, of which no rule makes use, is left out.

    Args:
        looks: How many of each are kept.
    """

    def __init__(self, looks: int):
        self._looks = looks
        self._first: list[list[Record]] = []
        self._last: deque[list[Record]] = deque(maxlen=looks)

    def append(self, look: Iterable[Record]) -> None:
        """Takes the records of one look."""
        kept = [record for record in look if (record.kind, record.quantity) != ("state", "gradient_norm")]
        (self._first if len(self._first) < self._looks else self._last).append(kept)

    def extend(self, frame: pd.DataFrame) -> None:
        """Takes the looks of a table."""
        for _, look in frame.groupby("step"):
            self.append(Record(*row) for row in look.itertuples(index=False))

    def table(self) -> pd.DataFrame:
        """Returns all that is kept."""
        return table([record for look in (*self._first, *self._last) for record in look])


class RecordFile:
    """Appends records to a CSV file: whole lines at once, so that a process that is killed leaves what it wrote.

    Args:
        path: Of the file. What it holds of later steps goes: training was taken up again from before them.
        step: The last step made.
    """

    def __init__(self, path: Path, step: int = 0):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _lines_until(path, step)
        with atomically(path) as temporary:
            temporary.write_text(kept, encoding="utf-8")

    def append(self, records: Iterable[Record]) -> None:
        """Writes records at the end."""
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerows((*record[:-1], f"{record.value:.6g}") for record in records)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(file, lines.getvalue().encode())
        finally:
            os.close(file)


def _lines_until(path: Path, step: int) -> str:
    header = ",".join(COLUMNS) + "\n"
    if step == 0 or not path.exists():
        return header
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
    return header + "".join(line for line in lines if line.endswith("\n") and _step_of(line) <= step)


def _step_of(line: str) -> float:
    first = line.split(",", 1)[0]
    return int(first) if first.isdecimal() else float("inf")
