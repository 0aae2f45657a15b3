"""The run directory: created, found, read, and written so that no file is ever half there."""

import contextlib
import dataclasses
import datetime
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shared.errors import InputError

RUNS = Path("runs")


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, renamed to `path` when the block ends well and removed when it does not.

    The content reaches the disk before the rename, so that after a crash `path` holds either the old file or the new.

    Example:
        >>> with atomically(Path("/tmp/answer.txt")) as temporary:
        ...     _ = temporary.write_text("42")
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON object atomically; numbers must be finite."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    with atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; copy the run's whole folder, or train another") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); copy the run again, or train another") from None


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
    def label(self) -> str:
        """How to name the run at the command line."""
        return self.path.as_posix()

    def read_record(self) -> dict[str, Any]:
        """The content of `config.json`: application, settings, versions, data, and whether training finished.

        Raises:
            InputError: The file is missing or is not what a run writes.
        """
        path = self.path / "config.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            record["application"], record["config"], record["data"]["source"]
        except FileNotFoundError:
            raise InputError(f"{self.path} is not a run (it has no config.json); train one, or say latest") from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}); copy the run again, or train another") from None
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Writes `config.json`."""
        write_json(self.path / "config.json", record)

    def read_metrics(self) -> dict[str, Any] | None:
        """What `evaluate` wrote, or None."""
        path = self.path / "metrics.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


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
                f"{path} exists already; name a folder that does not, or continue it with --resume"
            ) from None
        path = path.with_name(f"{path.name}-{uuid.uuid4().hex[:4]}")  # two runs begun in the same second
        path.mkdir()
    except OSError as error:
        raise InputError(f"cannot make the folder {path} ({error.strerror}); choose another with --out") from None
    run = Run(path)
    for folder in (run.assets, run.checkpoint.parent, run.plots, path / "logs"):
        folder.mkdir()
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
        finished = [run for run in list_runs(application) if run.read_record().get("finished")]
        if not finished:
            raise InputError(f"no finished run in {RUNS / application}; train one: python -m apps.{application} train")
        return finished[-1]
    run = Run(Path(name))
    if not run.path.is_dir():
        raise InputError(f"there is no run {name!r}; `python -m apps runs {application}` lists them")
    made_by = run.read_record()["application"]
    if made_by != application:
        raise InputError(f"{name} is a run of {made_by}, not of {application}; use python -m apps.{made_by}")
    return run


def list_runs(application: str) -> list[Run]:
    """All runs of an application under `runs/`, oldest first."""
    return [Run(path.parent) for path in sorted((RUNS / application).glob("*/config.json"))]
