"""The command line of an application, derived from its contract: train, evaluate, predict, export."""

import contextlib
import dataclasses
import importlib
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from shared.application import Application, PresetName
from shared.config import TrainingConfig, checked
from shared.errors import InputError

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


@dataclasses.dataclass(frozen=True)
class _Early:
    """What must be known before the other flags can be: it decides their defaults."""

    preset: PresetName = "default"
    resume: str | None = None
    debug: bool = False


def main(application: Application, arguments: Sequence[str] | None = None) -> int:
    """Runs one command of an application.

    Args:
        application: The application.
        arguments: Words of the command line after the program's name; `sys.argv[1:]` by default.

    Returns:
        The exit status: 0, 1 for a failure while running, 2 for bad usage or input, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _dispatch(application, words), debug="--debug" in words)


def guarded(command: Callable[[], Any], debug: bool) -> int:
    """Runs a command and turns every error into one line on standard error and an exit status."""
    try:
        command()
        sys.stdout.flush()
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt:
        _complain("interrupted", debug)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except InputError as error:
        _complain(str(error), debug)
        return BAD_INPUT
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _complain(
            f"{error.strerror or error}{where}; free some space or choose another folder, then run it again", debug
        )
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a traceback
        hint = "" if debug else "; run it again with --debug to see where"
        _complain(f"{type(error).__name__}: {error}{hint}", debug)
        return FAILED
    return OK


def _complain(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    print(f"error: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    """TensorFlow's libraries write notes to file descriptor 2 while they load, whatever the log level."""
    with Path(os.devnull).open("w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def import_late(name: str) -> Any:
    """A module that loads TensorFlow: after the command line is parsed, so that bad usage is answered at once."""
    with _silent_libraries():
        return importlib.import_module(name)


def parse(command_type: Any, words: Sequence[str], program: str, **options: Any) -> Any:
    """Parses words with tyro; its boxes for bad usage become one line.

    Raises:
        InputError: Bad usage, with tyro's suggestion of the nearest flag.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(command_type, args=list(words), prog=program, **options)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(_one_line(complaint.getvalue(), program)) from None


def _one_line(box: str, program: str) -> str:
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("│╭╮╰╯ \n") for line in box.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("For full helptext", "in python", "python -m"))]
    lines = [line for line in lines if not re.fullmatch(r"─+.*─+|─+", line)]
    suggested = re.search(r"Perhaps you meant:\s*(--[\w-]+)", " ".join(lines))
    text = " ".join(lines).split("Perhaps you meant:")[0].split("Argument helptext:")[0].strip()
    hint = f"did you mean {suggested[1]}?" if suggested else f"see {program} --help"
    return f"{text[:1].lower()}{text[1:]}; {hint}"


_RunArgument = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclasses.dataclass(frozen=True)
class _Evaluate:
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
    run: _RunArgument
    """A run directory, or `latest`."""
    to: Path = Path("saved_models")
    """Folder in which NAME/VERSION is made, with the next version."""
    debug: bool = False
    """Show the traceback of an error."""


def _train_type(application: Application, defaults: TrainingConfig) -> type:
    fields: list[Any] = [
        ("data", str, dataclasses.field(default="sample")),
        ("preset", PresetName, dataclasses.field(default="default")),
        ("out", Path | None, dataclasses.field(default=None)),
        ("resume", str | None, dataclasses.field(default=None)),
        ("debug", bool, dataclasses.field(default=False)),
        ("config", tyro.conf.OmitArgPrefixes[type(defaults)], dataclasses.field(default=defaults)),
    ]
    texts = {
        "data": "`sample` (packaged real data), the name of a TensorFlow dataset, or a path.",
        "preset": "Settings to start from; every one can be changed by its own flag.",
        "out": "Run directory to make; by default runs/NAME/YYYYMMDD-HHMMSS.",
        "resume": "Run to continue, with its own settings; it ends as if it had never been stopped.",
        "debug": "Show the traceback of an error.",
    }
    annotated = [
        (name, Annotated[kind, tyro.conf.arg(help=texts[name])] if name in texts else kind, default)
        for name, kind, default in fields
    ]
    made = dataclasses.make_dataclass("Train", annotated, frozen=True)
    made.__doc__ = f"Train {application.name} ({application.summary})."
    return made


def _predict_type(application: Application) -> type:
    fields: list[Any] = [
        ("run", Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="Run directory, or `latest`.")]),
        (
            "inputs",
            Annotated[
                tuple[str, ...],
                tyro.conf.Positional,
                tyro.conf.arg(metavar="INPUT", help="Inputs; without any, one a line from standard input."),
            ],
            dataclasses.field(default=()),
        ),
        ("options", tyro.conf.OmitArgPrefixes[application.options], dataclasses.field(default=application.options())),
        ("json", Annotated[bool, tyro.conf.arg(help="Print one JSON object.")], dataclasses.field(default=False)),
        (
            "output",
            Annotated[Path | None, tyro.conf.arg(help="Write the answers to FILE.csv or FILE.jsonl.")],
            dataclasses.field(default=None),
        ),
        ("debug", Annotated[bool, tyro.conf.arg(help="Show the traceback.")], dataclasses.field(default=False)),
    ]
    made = dataclasses.make_dataclass("Predict", fields, frozen=True)
    made.__doc__ = f"Answer inputs ({application.summary})."
    return made


def _dispatch(application: Application, words: list[str]) -> None:
    program = f"python -m apps.{application.name}"
    defaults: TrainingConfig = application.presets["default"]
    if words[:1] == ["train"]:
        early, _ = parse(_Early, words[1:], program, add_help=False, return_unknown_args=True)
        defaults = application.presets[early.preset]
        if early.resume:
            defaults = import_late("shared.commands").run_config(application, early.resume)
    commands_by_name = {
        "train": _train_type(application, defaults),
        "evaluate": _Evaluate,
        "predict": _predict_type(application),
        "export": _Export,
    }
    descriptions = {
        "train": f"Train ({application.summary}).",
        "evaluate": "Measure a run beside its baselines; writes metrics.json and plots.",
        "predict": "Answer inputs with a run.",
        "export": "Write a SavedModel that TensorFlow Serving answers raw requests with.",
    }
    union: Any = None
    for name, kind in commands_by_name.items():
        kind.__doc__ = descriptions[name]
        choice = Annotated[kind, tyro.conf.subcommand(name, description=descriptions[name])]
        union = choice if union is None else union | choice
    command = parse(union, words, program, description=application.summary)
    config = checked(command.config) if isinstance(command, commands_by_name["train"]) else None
    commands = import_late("shared.commands")
    match type(command).__name__:
        case "Train":
            if command.resume:
                if config != defaults or command.out:
                    raise InputError(
                        "a resumed run keeps its settings and its folder; leave out every flag but --resume"
                    )
                commands.resume(application, command.resume)
            else:
                commands.train(application, command.data, config, command.preset, command.out)
        case "_Evaluate":
            commands.evaluate(application, command.run, command.data, as_json=command.json)
        case "Predict":
            commands.predict(
                application, command.run, command.inputs or None, command.options, command.json, command.output
            )
        case "_Export":
            commands.export(application, command.run, command.to)
