"""python -m apps: what there is, and the commands over all applications."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field

import apps
from recur.cli.errors import guarded, import_late
from recur.cli.usage import first_word, one_of, parse
from recur.errors import InputError
from recur.training.config import Positive, Size, checked

PROGRAM = "python -m apps"
Port = Annotated[int, Field(ge=0, lt=1 << 16)]


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
class Serve:
    """Serve exported models by REST and gRPC, with TensorFlow Serving or with a development server."""

    models: Path = Path("saved_models")
    """Folder of the exports; its models.config and batching_parameters.txt are used where they are."""
    rest_port: Port = 8501
    """Port of HTTP; 0 takes any that is free (development server)."""
    grpc_port: Port = 8500
    """Port of gRPC."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 for all."""
    server: Literal["auto", "binary", "docker", "development"] = "auto"
    """What serves: tensorflow_model_server, its container, or the development server; auto takes the first there is."""
    image: str = "tensorflow/serving:latest"
    """Image of the container."""
    config: Path | None = None
    """Which models are served (a ModelServerConfig as text); models.config in the folder by default."""
    batching: bool = True
    """Put requests that wait together into batches, where a file says how."""
    batching_parameters: Path | None = None
    """The file; batching_parameters.txt in the folder by default."""
    poll_seconds: Positive = 1.0
    """How often to look for new versions."""
    request_seconds: Positive = 30.0
    """In which a model must answer a REST request."""
    client_seconds: Positive = 60.0
    """In which a client must have sent its request (development server)."""
    drain_seconds: Positive = 30.0
    """In which requests may finish after SIGTERM (development server)."""
    max_body_mb: Positive = 32.0
    """Largest request (development server)."""
    max_waiting: Size = 1000
    """Requests that may wait for a signature with --no-batching (development server)."""
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
    return guarded(lambda: _dispatch(words), debug="--debug" in words)


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
            raise InputError(f"--batch-threads should be at least 1, not {command.batch_threads}")
        import_late("recur.cli.export_all").export_all(chosen, command.to, command.base, command.batch_threads)
    elif isinstance(command, Inspect):
        import_late("recur.serving.inspection").inspect_model(command.saved_model, as_json=command.json)
    elif isinstance(command, Edge):
        write_edge = import_late("recur.serving.edge").write_edge
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
    settings = import_late("tfserving_dev.development_server").ServerSettings(
        models=command.models,
        host=command.host,
        rest_port=command.rest_port,
        grpc_port=command.grpc_port,
        config_file=command.config,
        batching=command.batching,
        batching_file=command.batching_parameters,
        poll_seconds=command.poll_seconds,
        most_waiting=command.max_waiting,
        largest_body=round(command.max_body_mb * (1 << 20)),
        client_seconds=command.client_seconds,
        request_seconds=command.request_seconds,
        drain_seconds=command.drain_seconds,
    )
    import_late("tfserving_dev.serve").serve(settings, command.server, command.image)


if __name__ == "__main__":
    sys.exit(main())
