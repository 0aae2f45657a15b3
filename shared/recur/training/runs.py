"""The run directory: created, found, read, and written so that no file is ever half there."""

import contextlib
import dataclasses
import datetime
import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic

from recur.errors import InputError, suggestion
from recur.files import read_json, write_json

RUNS = Path("runs")


class _DataRecord(pydantic.BaseModel):
    source: str
    fingerprint: str


class _Record(pydantic.BaseModel):
    """What `config.json` holds at least."""

    application: str
    preset: str
    config: dict[str, Any]
    data: _DataRecord
    versions: dict[str, str]
    started: str
    finished: str | None


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory, `runs/NAME/YYYYMMDD-HHMMSS/`; moving it is copying its folder."""

    path: Path

    @property
    def assets(self) -> Path:
        """Vocabulary, tokenizer, scaler: whatever was fitted on the training data."""
        return self.path / "assets"

    @property
    def model(self) -> Path:
        """The best weights by the validation metric, with their architecture."""
        return self.path / "model.keras"

    @property
    def checkpoint(self) -> Path:
        """Everything that training needs to go on as if it had never stopped."""
        return self.path / "checkpoint" / "state.npz"

    @property
    def plots(self) -> Path:
        """Where pictures go."""
        return self.path / "plots"

    @property
    def logs(self) -> Path:
        """What TensorBoard shows."""
        return self.path / "logs"

    def stage(self, name: str) -> "Run":
        """Where a training before the main one is kept, or what several runs are together: this layout, in part."""
        return Run(self.path / "stages" / name)

    def make_folders(self) -> None:
        """Makes the folders that are not there."""
        for folder in (self.assets, self.checkpoint.parent, self.plots, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def label(self) -> str:
        """How to name the run at the command line."""
        return self.path.as_posix()

    def read_record(self) -> dict[str, Any]:
        """The content of `config.json`: application, settings, versions, data, and whether training finished.

        Raises:
            InputError: The file is missing or is not what a run writes.
        """
        path = self.path / "config.json"
        if not path.exists():
            raise InputError(f"{self.path} is not a run (it has no config.json); train one, or say latest")
        record = read_json(path)
        try:
            _Record.model_validate(record)
        except pydantic.ValidationError as error:
            detail = error.errors()[0]
            what = f"{'.'.join(map(str, detail['loc']))}: {detail['msg'].lower()}"
            raise InputError(f"{path} is damaged ({what}); copy the run again, or train another") from None
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Writes `config.json`."""
        write_json(self.path / "config.json", record)

    def read_metrics(self) -> dict[str, Any] | None:
        """What `evaluate` wrote, or None.

        Raises:
            InputError: It is damaged.
        """
        path = self.path / "metrics.json"
        if not path.exists():
            return None
        metrics = read_json(path)
        if not all(isinstance(metrics.get(part), dict) for part in ("metrics", "baselines")):
            raise InputError(f"{path} is damaged (it lacks metrics or baselines); evaluate the run again")
        return metrics


@contextlib.contextmanager
def being_trained(run: Run) -> Iterator[None]:
    """Holds a run for one process, and clears what a killed one left half written.

    Raises:
        InputError: Another process trains it.
    """
    folder = os.open(run.path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise InputError(f"another process is training {run.path}; wait for it, or stop it first") from None
    try:
        for leftover in run.path.rglob(f".{'[0-9a-f]' * 8}.*"):
            leftover.unlink()
        yield
    finally:
        os.close(folder)


def create_run(application: str, out: Path | None = None) -> Run:
    """Makes a run directory with its folders.

    Args:
        application: Name of the application.
        out: The directory, which must not exist yet; by default `runs/APPLICATION/YYYYMMDD-HHMMSS`.

    Raises:
        InputError: `out` exists already, or a folder cannot be made there.
    """
    path = out or RUNS / application / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        if out is not None:
            raise InputError(
                f"{path} exists already; name a folder that does not, or continue it with `resume`"
            ) from None
        path = path.with_name(f"{path.name}-{uuid.uuid4().hex[:4]}")  # two runs begun in the same second
        path.mkdir()
    except OSError as error:
        raise InputError(f"cannot make the folder {path} ({error.strerror}); choose another with `out`") from None
    run = Run(path)
    run.make_folders()
    return run


def open_run(application: str, name: str) -> Run:
    """Finds a run of an application.

    Args:
        application: Name of the application.
        name: A run directory, or `latest`: the newest finished run under `runs/APPLICATION`.

    Raises:
        InputError: There is no such run, or another application made it.
    """
    if name == "latest":
        return _latest_run(application)
    run = Run(Path(name))
    try:
        is_there = run.path.is_dir()
    except OSError:  # no file system has such a name
        is_there = False
    if not is_there or not name:
        labels = {known.path.name: known.label for known in list_runs(application)}
        lists = f"`python -m apps runs {application}` lists them"
        hint = f"did you mean {labels[name]}?" if name in labels else suggestion(name, list(labels.values()), lists)
        raise InputError(f"there is no run {name!r}; {hint}")
    made_by = run.read_record()["application"]
    if made_by != application:
        raise InputError(f"{name} is a run of {made_by}, not of {application}; use python -m apps.{made_by}")
    return run


def _latest_run(application: str) -> Run:
    """The run that finished last; one that is damaged does not count."""
    runs = list_runs(application)
    finished = [run for run in runs if _read_time(run, "finished")]
    if finished:
        return sorted(finished, key=lambda run: _read_time(run, "finished"))[-1]
    command = f"python -m apps.{application} train"
    hint = f"continue one: {command} --resume {runs[-1].label}" if runs else f"train one: {command}"
    raise InputError(f"no finished run in {RUNS / application}; {hint}")


def list_runs(application: str) -> list[Run]:
    """All runs of an application under `runs/`, oldest first; those that are damaged before all others."""
    runs = [Run(path.parent) for path in sorted((RUNS / application).glob("*/config.json"))]
    return sorted(runs, key=lambda run: _read_time(run, "started"))


def _read_time(run: Run, event: str) -> str:
    """When a run started or finished, in ISO 8601; empty when it has not, or cannot be read."""
    try:
        return run.read_record()[event] or ""
    except InputError:
        return ""
