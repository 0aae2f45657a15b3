"""The command line of an application, derived from its contract: train, evaluate, predict, export, ask."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from recur.cli.ask import Server
from recur.cli.errors import fields_of, guarded, import_late
from recur.cli.printing import check_output
from recur.cli.usage import HELP, first_word, one_of, parse
from recur.errors import InputError
from recur.training.application import Application, PresetName
from recur.training.config import TrainingConfig, checked


@dataclasses.dataclass(frozen=True)
class _Early:
    """What must be known before the other flags can be: it decides their defaults."""

    preset: PresetName = "default"
    resume: str | None = None


@dataclasses.dataclass(frozen=True)
class _Resume:
    """All that may be said beside a run to continue."""

    resume: str
    debug: bool = False


_FIELDS = {"data", "out", "output", "ensemble"}  # of the commands that are made for an application


def main(application: Application, arguments: Sequence[str] | None = None) -> int:
    """Runs one command of an application.

    Args:
        application: The application.
        arguments: Words of the command line after the program's name; `sys.argv[1:]` by default.

    Returns:
        The exit status: 0, 1 for a failure while running, 2 for bad usage or input, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    fields = fields_of(type(application.presets["default"]), application.options, Server, _Early, _Export) | _FIELDS
    return guarded(lambda: _dispatch(application, words), debug="--debug" in words, fields=fields)


_RunArgument = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclasses.dataclass(frozen=True)
class _Evaluate:
    """Measure a run beside its baselines; writes metrics.json and plots."""

    run: _RunArgument
    """A run directory, or `latest`."""
    data: str | None = None
    """Other data than the run was trained on."""
    json: bool = False
    """Print one JSON object and nothing else."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclasses.dataclass(frozen=True)
class _Export:
    """Write a SavedModel that TensorFlow Serving answers raw requests with."""

    run: _RunArgument
    """A run directory, or `latest`."""
    to: Path = Path("saved_models")
    """Folder in which NAME/VERSION is made, with the next version."""
    debug: bool = False
    """Show the traceback of an error."""


_EnsembleArgument = Annotated[
    tuple[str, ...], tyro.conf.arg(metavar="RUN", help="More runs with the same assets, to average with this one.")
]


def _command_type(application: Application, kind: type) -> type:
    """A command, with `--ensemble` where the application has ensembles."""
    if not application.ensembles:
        return kind
    field = ("ensemble", _EnsembleArgument, dataclasses.field(default=()))
    documented = {"__doc__": kind.__doc__}
    return dataclasses.make_dataclass(kind.__name__, [field], bases=(kind,), namespace=documented, frozen=True)


def _others(application: Application, command: Any) -> dict[str, tuple[str, ...]]:
    return {"others": command.ensemble} if application.ensembles else {}


def _without_prefix(kind: Any) -> Any:
    """A dataclass whose fields are flags of their own."""
    return tyro.conf.OmitArgPrefixes[kind]  # type: ignore[misc]  # a type that is made at run time


def _train_type(application: Application, defaults: TrainingConfig) -> type:
    fields: list[Any] = [
        ("data", str, dataclasses.field(default="sample")),
        ("preset", PresetName, dataclasses.field(default="default")),
        ("out", Path | None, dataclasses.field(default=None)),
        ("resume", str | None, dataclasses.field(default=None)),
        ("debug", bool, dataclasses.field(default=False)),
        ("config", _without_prefix(type(defaults)), dataclasses.field(default=defaults)),
    ]
    texts = {
        "data": "`sample` (packaged real data), the name of a TensorFlow dataset, or a path.",
        "preset": "Settings to start from; every one can be changed by its own flag.",
        "out": "Run directory to make; by default runs/NAME/YYYYMMDD-HHMMSS.",
        "resume": "Run to continue, alone: it keeps its settings and ends as if it had never been stopped.",
        "debug": "Show the traceback of an error.",
    }
    annotated = [
        (name, Annotated[kind, tyro.conf.arg(help=texts[name])] if name in texts else kind, default)
        for name, kind, default in fields
    ]
    made = dataclasses.make_dataclass("Train", annotated, frozen=True)
    made.__doc__ = f"Train ({application.summary})."
    return made


_Inputs = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="INPUT", help="Inputs; without any, one a line from standard input."),
]
_Json = Annotated[bool, tyro.conf.arg(help="Print one JSON object.")]
_Output = Annotated[Path | None, tyro.conf.arg(help="Write the answers to FILE.csv or FILE.jsonl.")]
_Debug = Annotated[bool, tyro.conf.arg(help="Show the traceback.")]


def _answer_fields(application: Application) -> list[Any]:
    return [
        ("inputs", _Inputs, dataclasses.field(default=())),
        ("options", _without_prefix(application.options), dataclasses.field(default=application.options())),
        ("json", _Json, dataclasses.field(default=False)),
        ("output", _Output, dataclasses.field(default=None)),
        ("debug", _Debug, dataclasses.field(default=False)),
    ]


def _predict_type(application: Application) -> type:
    run = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="Run directory, or `latest`.")]
    made = dataclasses.make_dataclass("Predict", [("run", run), *_answer_fields(application)], frozen=True)
    made.__doc__ = "Answer inputs with a run."
    return _command_type(application, made)


def _ask_type(application: Application) -> type:
    server = tyro.conf.OmitArgPrefixes[Server]
    made = dataclasses.make_dataclass("Ask", [("server", server), *_answer_fields(application)], frozen=True)
    made.__doc__ = "Answer inputs with an export that a server has."
    return made


def _dispatch(application: Application, words: list[str]) -> None:
    program = f"python -m {application.package}"
    commands = {"train": _train, "evaluate": _evaluate, "predict": _predict, "export": _export, "ask": _ask}
    name = first_word(words, commands, program)
    if name is None:
        parse(_overview(application), words, program, description=application.summary)
    else:
        commands[name](application, words[1:], f"{program} {name}")


def _overview(application: Application) -> Any:
    """What `--help` alone shows."""
    kinds = {
        "train": _train_type(application, application.presets["default"]),
        "evaluate": _command_type(application, _Evaluate),
        "predict": _predict_type(application),
        "export": _command_type(application, _Export),
        "ask": _ask_type(application),
    }
    return one_of(kinds)


def _train(application: Application, words: list[str], program: str) -> None:
    early, _ = parse(_Early, words, program, add_help=False, return_unknown_args=True)
    if early.resume is not None and not HELP & set(words):
        try:
            parse(_Resume, words, program)
        except InputError:
            message = "a resumed run keeps its settings, data and folder; leave out every flag but --resume"
            raise InputError(message) from None
        import_late("recur.training.stages", keras_first=True).resume(application, early.resume)
        return
    command = parse(_train_type(application, application.presets[early.preset]), words, program)
    config = checked(command.config)
    import_late("recur.training.stages", keras_first=True).train(
        application, command.data, config, early.preset, command.out
    )


def _evaluate(application: Application, words: list[str], program: str) -> None:
    command = parse(_command_type(application, _Evaluate), words, program)
    evaluate = import_late("recur.cli.commands", keras_first=True).evaluate
    evaluate(application, command.run, command.data, as_json=command.json, **_others(application, command))


def _parse_inputs(kind: type, words: list[str], program: str) -> Any:
    try:
        return parse(kind, words, program)
    except InputError as error:
        if "unrecognized" not in str(error) or "--" in words:
            raise
        raise InputError(f"{error} (an INPUT that begins with a hyphen goes after --)") from None


def _predict(application: Application, words: list[str], program: str) -> None:
    command = _parse_inputs(_predict_type(application), words, program)
    options = checked(command.options)
    if command.output is not None:
        check_output(command.output)
    inputs, others = command.inputs or None, _others(application, command)
    predict = import_late("recur.cli.commands", keras_first=True).predict
    predict(application, command.run, inputs, options, command.json, command.output, **others)


def _ask(application: Application, words: list[str], program: str) -> None:
    command = _parse_inputs(_ask_type(application), words, program)
    options = checked(command.options)
    ask = import_late("recur.cli.ask").ask
    ask(application, command.server, command.inputs or None, options, command.json, command.output)


def _export(application: Application, words: list[str], program: str) -> None:
    command = parse(_command_type(application, _Export), words, program)
    import_late("recur.cli.commands", keras_first=True).export(
        application, command.run, command.to, **_others(application, command)
    )
