"""Bad usage in one line: what is wrong, and the nearest thing that would be right."""

import contextlib
import functools
import io
import operator
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

import tyro

from recur.errors import InputError, suggestion

HELP = frozenset({"-h", "--help"})


def first_word(words: Sequence[str], known: Collection[str], program: str) -> str | None:
    """The command that words begin with, or None where they ask for help or for tyro's shell completion.

    Raises:
        InputError: They begin with something else.
    """
    if words and words[0] in known:
        return words[0]
    if words and (words[0] in HELP or words[0].startswith("--tyro-")):
        return None
    if not words or words[0].startswith("-"):
        raise InputError(f"say first what to do: {program} {' | '.join(known)}")
    hint = suggestion(words[0], known, f"there are: {', '.join(known)}")
    raise InputError(f"there is no command {words[0]!r}; {hint}")


def parse(command_type: Any, words: Sequence[str], program: str, **options: Any) -> Any:
    """Parses words with tyro; its boxes for bad usage become one line.

    Raises:
        InputError: Bad usage, with tyro's suggestion of the nearest flag.
    """
    complaint = io.StringIO()
    lines_as_they_are = contextlib.nullcontext() if HELP & set(words) else _wide_terminal()
    try:
        with contextlib.redirect_stderr(complaint), lines_as_they_are:
            return tyro.cli(command_type, args=list(words), prog=program, **options)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(_one_line(complaint.getvalue(), program)) from None


def one_of(kinds: Mapping[str, type]) -> Any:
    """The choice between commands, for their overview: the dataclass of each by its name."""
    choices: list[Any] = [
        Annotated[kind, tyro.conf.subcommand(name, description=kind.__doc__)] for name, kind in kinds.items()
    ]
    return functools.reduce(operator.or_, choices)


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """In its boxes tyro breaks lines at the width of the terminal, in the middle of a word if need be."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _one_line(box: str, program: str) -> str:
    """Reduces a box, drawn with lines or with hyphens, to what it says."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip("│ \t") for line in plain.splitlines()]
    lines = [line for line in lines[1:] if not re.fullmatch(r"[╰╯─-]*", line)]  # the first is the title
    lines = [line for line in lines if not line.startswith(("For full helptext", program))]
    first, text = lines[0] if lines else "", " ".join(lines)
    help_hint = f"see {program} --help"
    if match := re.match(r"Unrecognized (?:or misplaced )?options: (.*)", first):
        return _unknown(match[1].split(", "), lines[1:], help_hint)
    if match := re.match(r"Missing from [^:]*: (--\S+ [A-Z|{}]+|\S+) (.*?)\.? \(required\)", text):
        return f"{match[1]} is missing ({match[2][:1].lower()}{match[2][1:]}); {help_hint}"
    if match := re.match(r"Missing value for argument '(.*)'\.", text):
        what = f"{match[1]} needs a value" if match[1].startswith("-") else f"{match[1].upper()} is missing"
        return f"{what}; {help_hint}"
    if match := re.match(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*?),?\)\.", text):
        return f"{match[2]} should be one of {match[3].replace(chr(39), '')}, not {match[1]!r}"
    if match := re.match(r"Error parsing (\S+): (invalid literal for int|could not convert)[^:]*: (.*)", first):
        kind = "a whole number" if match[2].endswith("int") else "a number"
        return f"{match[1]} should be {kind}, not {match[3]}"
    return f"{text[:1].lower()}{text[1:].rstrip('.')}; {help_hint}"


def _unknown(words: list[str], suggested: list[str], otherwise: str) -> str:
    flags = [word for word in words if word.startswith("-")]
    similar = [line.split()[0].rstrip(",") for line in suggested if line.startswith("--")]
    if flags and similar:
        otherwise = suggestion(flags[0], similar, f"did you mean {similar[0]}?")
    return f"unrecognized {'options' if flags else 'words'}: {', '.join(flags or words)}; {otherwise}"
