"""Every command that the README of commit d65bda5 showed is understood today, and every one that today's pages show."""

import functools
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import tyro

from tests.checkout import ROOT

OF_D65BDA5 = """
python -m apps
python -m apps runs
python -m apps export-all
python -m apps inspect saved_models/translation
python -m apps serve
python -m apps edge saved_models/stock_forecasting --to stocks.tflite --form int8
python -m apps diagnose text_generation/latest
python -m apps.text_generation train --data my_book.txt
python -m apps.text_generation train --data input.txt --preset default
python -m apps.text_generation train --preset quick --batching streams
python -m apps.text_generation train --preset quick --batching windows
python -m apps.text_generation train --resume RUN
python -m apps.text_generation evaluate latest
python -m apps.text_generation evaluate latest --json
python -m apps.text_generation predict latest "It was a dark" --length 300 --temperature 0.7 --stream
python -m apps.text_generation export latest
python -m apps.sentiment_analysis train --data reviews.csv --text-column review --label-column stars
python -m apps.sentiment_analysis train --data aclImdb_v1.tar.gz --preset default
python -m apps.sentiment_analysis train --preset best --pretrained RUN --epochs 4 --steps-per-epoch 566
python -m apps.sentiment_analysis train --cell none --longest 200 --keep tail
python -m apps.sentiment_analysis evaluate latest
python -m apps.sentiment_analysis predict latest "Not bad at all." --explain --html why.html
python -m apps.translation train --data corpus --source en --target de
python -m apps.translation train --data multi30k --source en --target de --preset default
python -m apps.translation train --data spa.txt.gz --source es --target en --columns 2 1 --preset default
python -m apps.translation evaluate latest
python -m apps.translation predict latest
python -m apps.translation ask --server http://localhost:8501 "In the beginning."
python -m apps.translation ask --server grpc://localhost:8500 "In the beginning."
python -m apps.image_captioning train --data photographs --caption-column text
python -m apps.image_captioning train --data flickr8k --preset default
python -m apps.image_captioning train --preset best --pretrained RUN
python -m apps.image_captioning train --preset quick
python -m apps.image_captioning evaluate latest
python -m apps.image_captioning predict latest holiday/a.jpg holiday/b.jpg --n-best
python -m apps.stock_forecasting train --data prices/
python -m apps.stock_forecasting train --data stocks --preset default --test-from 2013-01-01
python -m apps.stock_forecasting evaluate latest
python -m apps.stock_forecasting predict latest MSFT.csv
make demo
make demo PYTHON=python3.12
make test
make lint
make format
"""
"""Those in its blocks, those in its sentences, and those that its sentences put together from parts."""

PAGES = ("README.md", "CONTRIBUTING.md", "apps/*/README.md", "deploy/**/*.md", "docs/*.md", "saved_models/README.md")


def commands(page: str) -> list[str]:
    """The commands in the blocks and in the sentences of a page, without comments and redirections.

    Example:
        >>> commands("Say `make\\nlint`.\\n```\\npython -m apps runs  # all\\n```")
        ['python -m apps runs', 'make lint']
    """
    blocks = re.findall(r"^ *```.*?\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    sentences = re.sub(r"^ *```.*?^ *```", "", page, flags=re.MULTILINE | re.DOTALL)
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", sentences)]
    starts = ("python -m ", "make ")
    return [re.split(r"\s+[#<>]\s*", line)[0].strip() for line in lines if line.startswith(starts)]


OF_TODAY = sorted({line for name in PAGES for path in ROOT.glob(name) for line in commands(path.read_text("utf-8"))})


class ParsedError(BaseException):
    """A command line was understood; what it asks for is not done."""


@functools.cache
def understood(line: str) -> bool:
    """Whether a command of the applications is parsed, and nothing said against it; nothing is done."""
    module, *words = shlex.split(line.removeprefix("python -m "))
    cli = tyro.cli

    def parse_and_stop(*arguments, **options):
        parsed = cli(*arguments, **options)
        if options.get("return_unknown_args"):  # a first look at some of the words
            return parsed
        raise ParsedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tyro, "cli", parse_and_stop)
        try:
            return main(module)(words) == 0
        except ParsedError:
            return True


def main(module: str):
    """What `python -m MODULE` calls, from words to the exit status."""
    if module == "apps":
        return importlib.import_module("apps.__main__").main
    application = importlib.import_module(f"{module.replace('NAME', 'text_generation')}.application").APPLICATION
    return functools.partial(importlib.import_module("recur.cli.application").main, application)


def of_applications(lines: list[str]) -> list[str]:
    return [line for line in lines if re.match(r"python -m apps\b", line)]


def test_commands_of_a_page_are_found():
    page = """Say `make
    lint`, or `python -m apps diagnose NAME/RUN`; `runs/` is a folder.

        ```bash
        python -m apps.translation predict RUN < a.en > a.de   # in order
        python -m apps edge saved_models/a \\
            --to a.tflite
        curl http://localhost
        ```
    """
    assert commands(page) == [
        "python -m apps.translation predict RUN",
        "python -m apps edge saved_models/a              --to a.tflite",
        "make lint",
        "python -m apps diagnose NAME/RUN",
    ]
    assert len(of_applications(OF_TODAY)) > 30


@pytest.mark.parametrize("line", of_applications(OF_D65BDA5.splitlines()))
def test_a_command_of_d65bda5_is_understood(line, capsys):
    assert understood(line), capsys.readouterr().err


@pytest.mark.parametrize("line", of_applications(OF_TODAY))
def test_a_command_of_todays_pages_is_understood(line, capsys):
    assert understood(line), capsys.readouterr().err


@pytest.mark.parametrize("line", ["python -m apps.translation train --colums 2 1", "python -m apps rusn"])
def test_what_is_not_understood_is_noticed(line, capsys):
    assert not understood(line)
    assert "did you mean" in capsys.readouterr().err


def test_modules_that_todays_pages_run_are_there():
    modules = {line.split()[2] for line in OF_TODAY if line.startswith("python -m ")}
    assert not [name for name in modules if importlib.util.find_spec(name.replace("NAME", "text_generation")) is None]


def test_targets_that_pages_make_are_there():
    targets = set(re.findall(r"^([\w-]+):", Path(ROOT, "Makefile").read_text("utf-8"), re.MULTILINE))
    made = {line.split()[1] for line in [*OF_D65BDA5.splitlines(), *OF_TODAY] if line.startswith("make ")}
    assert made <= targets
