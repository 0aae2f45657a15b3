"""python -m apps: what there is, and the commands over all applications."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field

import apps
import tfserving_dev.errors
from recur.cli.errors import fields_of, guarded, import_late
from recur.cli.usage import first_word, one_of, parse
from recur.errors import InputError
from recur.training.config import checked
from tfserving_dev.settings import ServerSettings

PROGRAM = "python -m apps"


@dataclasses.dataclass(frozen=True)
class Demo:
    """Train every application's quick preset on its sample, evaluate, predict, export, and ask the export."""

    only: tuple[str, ...] = ()
    """Applications to run; all by default."""
    to: Path = Path("saved_models")
    """Folder of the exports."""
    processes: Annotated[int, Field(ge=0)] = 0
    """Applications side by side; 0 for one a core, at most two."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclasses.dataclass(frozen=True)
class Runs:
    """List and compare runs."""

    name: tyro.conf.Positional[str] = ""
    """An application; all by default."""
    json: bool = False
    """Print one JSON object and nothing else."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Say what the gradients of a run tell: what goes wrong, the evidence, and what to do."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME/RUN")]
    """A run: text_generation/latest, or the path of its directory."""
    json: bool = False
    """Print one JSON object and nothing else."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclasses.dataclass(frozen=True)
class Serve(ServerSettings):
    """Serve exported models by REST and gRPC, with TensorFlow Serving or with a development server."""

    models: Path = Path("saved_models")
    """Folder of the exports; its models.config and batching_parameters.txt are used where they are."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclasses.dataclass(frozen=True)
class ExportAll:
    """Export the newest finished run of each application, and write what TensorFlow Serving needs to serve them all."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ()
    """Applications; all by default."""
    to: Path = Path("saved_models")
    """Folder of the exports, of `models.config` and of `batching_parameters.txt`."""
    base: str = "/models"
    """That folder as the server sees it: in a container of the official image `/models`."""
    batch_threads: int | None = None
    """Batches that the server computes at once; by default as many as its machine has processors."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclasses.dataclass(frozen=True)
class Inspect:
    """Say what is in an exported model: signatures, operations, variables, assets, warm-up requests, checksums."""

    saved_model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SAVED_MODEL")]
    """One version of a model, or the folder of its versions, of which the newest is read."""
    json: bool = False
    """Print one JSON object and nothing else."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclasses.dataclass(frozen=True)
class Edge:
    """Convert an exported model on numbers for phones and boards (LiteRT), quantised or not; compare the answers."""

    saved_model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SAVED_MODEL")]
    """One version of a model, or the folder of its versions, of which the newest is read."""
    to: Path
    """The file to write; it ends in .tflite."""
    form: Literal["int8", "float16", "float32"] = "int8"
    """Of the weights: 8 bits (dynamic range), 16 bits, or as they are."""
    signature: str = "serving_default"
    """What is converted."""
    rows: int = 1
    """Of every request to the converted model."""
    json: bool = False
    """Print one JSON object and nothing else."""
    debug: bool = False
    """Show the traceback of an error."""


COMMANDS = {
    "demo": Demo,
    "runs": Runs,
    "diagnose": Diagnose,
    "export-all": ExportAll,
    "inspect": Inspect,
    "edge": Edge,
    "serve": Serve,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command over all applications; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _dispatch(words), debug="--debug" in words, fields=fields_of(*COMMANDS.values()))


def _dispatch(words: list[str]) -> None:
    applications = apps.applications()
    if not words:
        width = max(map(len, applications))
        for name, application in applications.items():
            print(f"{name:{width}}  {application.summary}")  # noqa: T201
        verbs = "train | evaluate | predict | export | ask"
        print(f"\npython -m apps.NAME {verbs}   ({PROGRAM} --help for what spans all)")  # noqa: T201
        return
    if words[0] in applications:
        raise InputError(f"{words[0]} is an application; say: python -m apps.{' '.join(words)}")
    command_name = first_word(words, COMMANDS, PROGRAM)
    if command_name is None:
        parse(one_of(COMMANDS), words, PROGRAM, description="Commands over all applications.")
        return
    command = parse(COMMANDS[command_name], words[1:], f"{PROGRAM} {command_name}")
    if isinstance(command, Demo):
        chosen = apps.choose(command.only)
        import_late("recur.cli.demo").demo(chosen, command.to, checked(command).processes)
    elif isinstance(command, ExportAll):
        chosen = apps.choose(command.names)
        if command.batch_threads is not None and command.batch_threads < 1:
            raise InputError(f"`batch_threads` should be at least 1, not {command.batch_threads}")
        import_late("recur.cli.export_all", keras_first=True).export_all(
            chosen, command.to, command.base, command.batch_threads
        )
    elif isinstance(command, Inspect):
        import_late("recur.serving.inspection").inspect_model(command.saved_model, as_json=command.json)
    elif isinstance(command, Edge):
        write_edge = import_late("recur.cli.edge").write_edge
        write_edge(command.saved_model, command.to, command.form, command.signature, command.rows, command.json)
    elif isinstance(command, Diagnose):
        diagnosis = import_late("recur.cli.diagnose")
        diagnosis.show_diagnosis(diagnosis.find_run(applications, command.run), as_json=command.json)
    elif isinstance(command, Serve):
        _serve(checked(command))
    else:
        chosen = apps.choose([command.name] if command.name else [])
        import_late("recur.cli.overview").show_runs(chosen, as_json=command.json)


def _serve(command: Serve) -> None:
    try:
        import_late("tfserving_dev.launcher").serve(command)
    except tfserving_dev.errors.NoModelsError as error:
        raise InputError(f"{error}: python -m apps.NAME export latest") from None
    except tfserving_dev.errors.InputError as error:
        raise InputError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
