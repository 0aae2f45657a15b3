"""The command line that is derived from an application: what it understands, what it refuses, how it ends."""

import dataclasses
import errno
import io
import re
import sys
from pathlib import Path
from typing import Literal

import pytest

from recur.cli import application, errors, usage
from recur.errors import InputError
from recur.training.application import Application, Headline
from recur.training.config import Count, Fraction, TrainingConfig


@dataclasses.dataclass(frozen=True)
class WeatherConfig(TrainingConfig):
    """Settings of a forecast."""

    units: Count = 8
    """Width."""
    hidden_units: Count = 8
    """Another width."""
    dropout: Fraction = 0.5
    """Dropout."""
    cell: Literal["lstm", "gru"] = "lstm"
    """The cell."""
    tie_output: bool = False
    """Whether to tie."""


@dataclasses.dataclass(frozen=True)
class WeatherOptions:
    """How to forecast."""

    days: Count = 3
    """Days ahead."""


WEATHER = Application(
    name="weather",
    summary="yesterday in, tomorrow out",
    options=WeatherOptions,
    headline=Headline("error", higher_is_better=False, shortfall="It is weather."),
    presets={
        "quick": WeatherConfig(epochs=1),
        "default": WeatherConfig(epochs=5),
        "best": WeatherConfig(epochs=50, units=64),
    },
)


class Commands:
    """Stands for `recur.cli.commands` and remembers what it was asked."""

    def __init__(self):
        self.asked: list[tuple] = []
        self.error: BaseException | None = None

    def __getattr__(self, name):
        def ask(application, *arguments, **settings):
            assert application is WEATHER
            self.asked.append((name, *arguments, settings) if settings else (name, *arguments))
            if self.error:
                raise self.error

        return ask


@pytest.fixture
def commands(monkeypatch, tmp_path):
    commands = Commands()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(application, "import_late", lambda name, **_: commands)
    return commands


def refusal(capsys, *words: str) -> str:
    assert application.main(WEATHER, words) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    return errors.removeprefix("error: ").rstrip("\n")


class TestUnderstood:
    @pytest.mark.parametrize(
        ("words", "asked"),
        [
            ("train", ("train", "sample", WeatherConfig(epochs=5), "default", None)),
            ("train --preset quick", ("train", "sample", WeatherConfig(epochs=1), "quick", None)),
            ("train --preset=best", ("train", "sample", WeatherConfig(epochs=50, units=64), "best", None)),
            ("train --units 3 --preset best", ("train", "sample", WeatherConfig(epochs=50, units=3), "best", None)),
            ("train --data x.csv --out a/b", ("train", "x.csv", WeatherConfig(epochs=5), "default", Path("a/b"))),
            (
                "train --hidden_units=4 --debug",
                ("train", "sample", WeatherConfig(epochs=5, hidden_units=4), "default", None),
            ),
            ("train --resume a/b", ("resume", "a/b")),
            ("train --resume=latest --debug", ("resume", "latest")),
            ("evaluate a/b", ("evaluate", "a/b", None, {"as_json": False})),
            ("evaluate --json latest --data x", ("evaluate", "latest", "x", {"as_json": True})),
            ("predict latest", ("predict", "latest", None, WeatherOptions(), False, None)),
            ("predict latest one two", ("predict", "latest", ("one", "two"), WeatherOptions(), False, None)),
            ("predict r --days 5 a --json", ("predict", "r", ("a",), WeatherOptions(5), True, None)),
            ("predict r --output a.csv", ("predict", "r", None, WeatherOptions(), False, Path("a.csv"))),
            ("predict r -- -a --json", ("predict", "r", ("-a", "--json"), WeatherOptions(), False, None)),
            ("export latest", ("export", "latest", Path("saved_models"))),
            ("export r --to here", ("export", "r", Path("here"))),
        ],
    )
    def test_words_become_a_command(self, commands, words, asked, capsys):
        assert application.main(WEATHER, words.split()) == 0
        assert commands.asked == [asked]
        assert capsys.readouterr() == ("", "")

    def test_words_are_those_of_the_process_by_default(self, commands, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["weather", "evaluate", "latest"])
        assert application.main(WEATHER) == 0
        assert commands.asked[0][0] == "evaluate"

    @pytest.mark.parametrize("command", ["", "train", "evaluate", "predict", "export", "train --resume x"])
    @pytest.mark.parametrize("flag", ["--help", "-h"])
    def test_help_is_an_answer(self, commands, command, flag, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "100")
        assert application.main(WEATHER, [*command.split(), flag]) == 0
        output, errors = capsys.readouterr()
        assert output.startswith(" ".join(["usage: python -m apps.weather", *command.split()[:1]]))
        assert max(map(len, output.splitlines()[1:])) <= 100
        assert errors == ""
        assert not commands.asked

    def test_help_of_train_shows_every_setting_with_what_it_is(self, commands, capsys):
        assert application.main(WEATHER, ["train", "--help"]) == 0
        text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
        for field in dataclasses.fields(WeatherConfig):
            assert f"--{field.name.replace('_', '-')}" in text
        assert "Seed of the initial weights, the order of the data and dropout. (default: 0)" in text

    def test_shell_completion_is_offered(self, commands, capsys):
        assert application.main(WEATHER, ["--tyro-print-completion", "bash"]) == 0
        assert "--hidden-units" in capsys.readouterr().out


BAD_USAGE = [
    ("", "say first what to do: python -m apps.weather train | evaluate | predict | export"),
    ("--debugs", "say first what to do: python -m apps.weather train | evaluate | predict | export"),
    ("trian", "there is no command 'trian'; did you mean train?"),
    ("evalute latest", "there is no command 'evalute'; did you mean evaluate?"),
    ("serve", "there is no command 'serve'; there are: train, evaluate, predict, export"),
    ("train --preset turbo", "--preset should be one of quick, default, best, not 'turbo'"),
    ("train --preset turbo --resume r", "--preset should be one of quick, default, best, not 'turbo'"),
    ("train --preset", "--preset needs a value; see python -m apps.weather train --help"),
    ("train --cell transformer", "--cell should be one of lstm, gru, not 'transformer'"),
    ("train --unots 3", "unrecognized options: --unots; did you mean --units?"),
    ("train --unit 3", "unrecognized options: --unit; did you mean --units?"),
    ("train --hiden-units 3", "unrecognized options: --hiden-units; did you mean --hidden-units?"),
    ("train --unots 3 --droput 1", "unrecognized options: --unots, --droput; did you mean --units?"),
    ("train --zzz", "unrecognized options: --zzz; see python -m apps.weather train --help"),
    ("train --json", "unrecognized options: --json; see python -m apps.weather train --help"),
    ("train more words", "unrecognized words: more, words; see python -m apps.weather train --help"),
    ("train --units three", "--units should be a whole number, not 'three'"),
    ("train --units 1.5", "--units should be a whole number, not '1.5'"),
    ("train --units", "--units needs a value; see python -m apps.weather train --help"),
    ("train --dropout half", "--dropout should be a number, not 'half'"),
    ("train --tie-output perhaps", "unrecognized words: perhaps; see python -m apps.weather train --help"),
    ("train --units -1", "--units should be greater than or equal to 0, not -1"),
    ("train --epochs 0", "--epochs should be greater than 0, not 0"),
    ("train --dropout 1.5", "--dropout should be less than 1, not 1.5"),
    ("train --dropout nan", "--dropout should be a finite number, not nan"),
    ("train --learning-rate inf", "--learning-rate should be a finite number, not inf"),
    ("train --units -1 --dropout 2", "--units should be greater than or equal to 0, not -1; --dropout should be less "),
    ("train --resume", "--resume needs a value; see python -m apps.weather train --help"),
    ("train --resume r --epochs 5", "a resumed run keeps its settings, data and folder; leave out every flag but"),
    (
        "train --resume r --preset default",
        "a resumed run keeps its settings, data and folder; leave out every flag but",
    ),
    ("train --resume r --data sample", "a resumed run keeps its settings, data and folder; leave out every flag but"),
    ("train --out x --resume r", "a resumed run keeps its settings, data and folder; leave out every flag but"),
    ("evaluate", "RUN is missing (a run directory, or `latest`); see python -m apps.weather evaluate --help"),
    ("evaluate --jsn", "RUN is missing; see python -m apps.weather evaluate --help"),
    ("evaluate r another", "unrecognized words: another; see python -m apps.weather evaluate --help"),
    ("predict", "RUN is missing (run directory, or `latest`); see python -m apps.weather predict --help"),
    ("predict r --days -1", "--days should be greater than or equal to 0, not -1"),
    ("predict r --day 3", "unrecognized options: --day; did you mean --days?"),
    ("predict r -cold", "(an INPUT that begins with a hyphen goes after --)"),
    ("predict r --output a.txt", "--output a.txt should end in .csv or .jsonl"),
    ("predict r --output .csv", "--output .csv should end in .csv or .jsonl"),
    ("predict r --output nowhere/a.csv", "there is no folder nowhere for --output nowhere/a.csv; make it first"),
    ("predict r --output folder.csv", "--output folder.csv is a folder; name a file"),
    ("export", "RUN is missing (a run directory, or `latest`); see python -m apps.weather export --help"),
    ("export r --json", "unrecognized options: --json; see python -m apps.weather export --help"),
]


class TestRefused:
    @pytest.mark.parametrize(("words", "message"), BAD_USAGE)
    def test_bad_usage_is_one_line_that_says_what_to_do(self, commands, words, message, capsys):
        Path("folder.csv").mkdir()
        assert message in refusal(capsys, *words.split())
        assert not commands.asked

    @pytest.mark.parametrize("columns", ["20", "80", "400"])
    @pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
    @pytest.mark.parametrize(
        ("words", "message"), [row for row in BAD_USAGE if re.search("unrec|missing|needs|should be", row[1])][::4]
    )
    def test_the_line_does_not_depend_on_the_terminal(self, monkeypatch, columns, encoding, words, message):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        assert application.main(WEATHER, words.split()) == 2
        assert message in sys.stderr.getvalue()
        assert sys.stderr.getvalue().count("\n") == 1

    def test_a_long_word_is_not_broken(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "40")
        assert f"unrecognized options: --{'x' * 200}; see" in refusal(capsys, "train", "--" + "x" * 200)

    def test_the_width_of_the_terminal_is_as_it_was(self, monkeypatch):
        for columns in ("72", None):
            monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS")
            with pytest.raises(InputError):
                usage.parse(WeatherOptions, ["--zzz"], "program")
            assert usage.os.environ.get("COLUMNS") == columns


class TestEnd:
    @pytest.mark.parametrize(
        ("error", "status", "line"),
        [
            (InputError("the file is empty"), 2, "error: the file is empty"),
            (InputError("two\nlines"), 2, "error: two lines"),
            (KeyboardInterrupt(), 130, "error: interrupted"),
            (RuntimeError("no\nmemory"), 1, "error: RuntimeError: no memory; run it again with --debug to see where"),
            (MemoryError(), 1, "error: MemoryError: ; run it again with --debug to see where"),
            (FloatingPointError("the loss is nan"), 1, "error: the loss is nan\n"),
            (OSError(errno.EIO, "Input/output error", "x"), 1, "error: Input/output error (x)\n"),
            (
                OSError(errno.ENOSPC, "No space left on device", "runs/x"),
                1,
                "error: No space left on device (runs/x); free some space or choose another folder, then run it again",
            ),
            (OSError("broken"), 1, "error: broken; free some space"),
        ],
    )
    def test_an_error_is_one_line_and_a_status(self, commands, error, status, line, capsys):
        commands.error = error
        assert application.main(WEATHER, ["evaluate", "r"]) == status
        output, errors = capsys.readouterr()
        assert output == ""
        assert errors.startswith(line)
        assert errors.count("\n") == 1

    @pytest.mark.parametrize(
        ("error", "status"),
        [(InputError("bad"), 2), (ValueError("bad"), 1), (OSError("bad"), 1), (KeyboardInterrupt(), 130)],
    )
    def test_debug_shows_the_traceback_before_the_line(self, commands, error, status, capsys):
        commands.error = error
        assert application.main(WEATHER, ["evaluate", "r", "--debug"]) == status
        *trace, last = capsys.readouterr().err.splitlines()
        assert trace[0] == "Traceback (most recent call last):"
        assert any("in ask" in line for line in trace)
        assert last.startswith("error: ")
        assert "--debug" not in last

    def test_debug_shows_the_traceback_of_bad_usage(self, commands, capsys):
        assert application.main(WEATHER, ["train", "--unots", "3", "--debug"]) == 2
        *trace, last = capsys.readouterr().err.splitlines()
        assert trace[0] == "Traceback (most recent call last):"
        assert last == "error: unrecognized options: --unots; did you mean --units?"

    def test_a_name_that_is_not_utf_8_can_be_printed(self, monkeypatch):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
        assert errors.guarded(lambda: sys.stdout.write('{"data": "caf\udce9.txt"}'), debug=False) == 0
        assert sys.stdout.buffer.getvalue() == b'{"data": "caf\\udce9.txt"}'


def test_a_module_is_loaded_in_silence(tmp_path, monkeypatch, capfd):
    (tmp_path / "noisy_module.py").write_text("import os\nos.write(2, b'a note of a library')\nVALUE = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert errors.import_late("noisy_module").VALUE == 3
    sys.stderr.write("after")
    assert capfd.readouterr() == ("", "after")
