"""Every error of a command as one line on standard error and an exit status; fields as the flags that set them."""

import contextlib
import dataclasses
import errno
import importlib
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from typing import Any

from recur.cli.printing import log_to_standard_error, silent_libraries
from recur.errors import CommandFailedError, InputError

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
_NO_ROOM = (None, errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES)


def guarded(
    command: Callable[[], Any],
    debug: bool,
    complain: Callable[[str], None] | None = None,
    fields: Collection[str] = (),
) -> int:
    """Runs a command and turns every error into one line on standard error and an exit status.

    Args:
        command: What to do.
        debug: Whether to print tracebacks.
        complain: Takes the line instead, without `error: `.
        fields: What the command's flags set: a message that names one in backticks is given its flag.

    Returns:
        The exit status.
    """
    tell = complain or _print_error
    log_to_standard_error()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what names a file may be no text
    try:
        command()
        sys.stdout.flush()
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt:
        _complain("interrupted", debug, tell)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except InputError as error:
        _complain(spelled(str(error), fields), debug, tell)
        return BAD_INPUT
    except (CommandFailedError, FloatingPointError) as error:
        _complain(spelled(str(error), fields), debug, tell)
        return FAILED
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        mend = "" if error.errno not in _NO_ROOM else "; free some space or choose another folder, then run it again"
        _complain(f"{error.strerror or error}{where}{mend}", debug, tell)
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a traceback
        hint = "" if debug else "; run it again with --debug to see where"
        _complain(f"{type(error).__name__}: {error}{hint}", debug, tell)
        return FAILED
    return OK


def _complain(message: str, debug: bool, tell: Callable[[str], None]) -> None:
    if debug:
        traceback.print_exc()
    tell(" ".join(message.split()))


def _print_error(line: str) -> None:
    print(f"error: {line}", file=sys.stderr)  # noqa: T201


def import_late(name: str, keras_first: bool = False) -> Any:
    """A module that loads much: after the command line is parsed, so that bad usage is answered at once.

    Args:
        name: Of the module.
        keras_first: Whether it loads Keras, which is then loaded without what it does not need.
    """
    with silent_libraries():
        if keras_first:
            with _absent("matplotlib", "pandas", "scipy", "sklearn"):
                importlib.import_module("keras")
        return importlib.import_module(name)


@contextlib.contextmanager
def _absent(*packages: str) -> Iterator[None]:
    """Lets packages that are not loaded yet look as if they were not installed.

    Keras imports these where it can, for data frames, pictures and scikit-learn's interface: a third of its time. What
    needs them imports them itself.
    """
    hidden = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how an import is refused
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]


def flag(field: str) -> str:
    """How a field is spelled on the command line.

    Example:
        >>> flag("batch_size")
        '--batch-size'
    """
    return f"--{field.replace('_', '-')}"


def spelled(message: str, fields: Collection[str]) -> str:
    """A message of the library, in which fields stand in backticks, with the flags that set them.

    Example:
        >>> spelled("lower `batch_size`, or `the` rest", {"batch_size"})
        'lower --batch-size, or `the` rest'
    """
    return re.sub(r"`(\w+)`", lambda match: flag(match[1]) if match[1] in fields else match[0], message)


def fields_of(*kinds: type) -> frozenset[str]:
    """Names of the fields of dataclasses, and of those that are nested in them."""
    fields = [field for kind in kinds for field in dataclasses.fields(kind)]
    nested = [field.type for field in fields if isinstance(field.type, type) and dataclasses.is_dataclass(field.type)]
    return frozenset(field.name for field in fields) | (fields_of(*nested) if nested else frozenset())
