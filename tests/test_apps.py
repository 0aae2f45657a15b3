"""What holds for every application, and the command line over all of them."""

import ast
import dataclasses
import inspect
import itertools
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import apps
from recur.errors import InputError
from recur.training.application import Application
from recur.training.config import TrainingConfig, checked
from recur.training.runs import create_run
from tests.checkout import ROOT

APPLICATIONS = apps.applications()


def documented_fields(kind: type) -> set[str]:
    """The fields of a dataclass that a docstring follows, those it inherits included."""
    found = set()
    for base in filter(dataclasses.is_dataclass, kind.__mro__):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body
        for field, after in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and ast.literal_eval(after.value):
                found.add(field.target.id)
    return found


@pytest.mark.parametrize("name", APPLICATIONS)
class TestContract:
    def test_its_name_is_its_folders(self, name):
        assert isinstance(APPLICATIONS[name], Application)
        assert APPLICATIONS[name].name == name
        assert "\n" not in APPLICATIONS[name].summary

    def test_its_presets_are_three_and_within_bounds(self, name):
        presets = APPLICATIONS[name].presets
        assert list(presets) == ["quick", "default", "best"]
        assert len({type(config) for config in presets.values()}) == 1
        assert all(isinstance(config, TrainingConfig) and checked(config) == config for config in presets.values())

    def test_its_options_have_defaults_within_bounds(self, name):
        options = APPLICATIONS[name].options()
        assert checked(options) == options

    def test_every_setting_says_what_it_is(self, name):
        for kind in (type(APPLICATIONS[name].presets["default"]), APPLICATIONS[name].options):
            assert documented_fields(kind) >= {field.name for field in dataclasses.fields(kind)}
            with pytest.raises(dataclasses.FrozenInstanceError):
                kind().seed = 1

    def test_its_answers_are_asked_for_in_the_demo(self, name):
        assert APPLICATIONS[name].requests.examples()
        assert APPLICATIONS[name].demo_seconds > 0

    def test_it_says_what_it_is_compared_by_and_why_it_may_fall_short(self, name):
        headline = APPLICATIONS[name].headline
        assert headline.metric
        assert headline.shortfall.endswith(".")


def test_a_folder_with_an_application_module_is_an_application(tmp_path, monkeypatch):
    for name in ("weather", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "weather" / "application.py").write_text("APPLICATION = 'rain'")
    monkeypatch.setattr(apps, "__path__", [str(tmp_path)])
    assert apps.applications() == {"weather": "rain"}


def test_applications_are_chosen_by_name():
    assert apps.choose([]) == list(APPLICATIONS.values())
    assert apps.choose(["text_generation"]) == [APPLICATIONS["text_generation"]]
    with pytest.raises(InputError, match=r"there is no application 'text_generatoin'; did you mean text_generation\?"):
        apps.choose(["text_generatoin"])


def test_without_words_the_applications_are_listed(all_applications):
    answer = all_applications()
    assert answer.status == 0
    for name, application in APPLICATIONS.items():
        assert any(line.startswith(name) and application.summary in line for line in answer.output.splitlines())
    assert answer.errors == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rusn"], "there is no command 'rusn'; did you mean runs?"),
        (
            ["frobnicate"],
            "there is no command 'frobnicate'; there are: demo, runs, diagnose, export-all, inspect, edge, serve",
        ),
        (
            ["--json"],
            "say first what to do: python -m apps demo | runs | diagnose | export-all | inspect | edge | serve",
        ),
        (["text_generation", "train"], "say: python -m apps.text_generation train"),
        (["runs", "nothing"], "there is no application 'nothing'; there are: "),
        (["runs", "text_generation", "extra"], "unrecognized words: extra; see python -m apps runs --help"),
        (["runs", "--jsn"], "unrecognized options: --jsn; did you mean --json?"),
        (["demo", "--only", "nothing"], "there is no application 'nothing'"),
        (["demo", "extra"], "unrecognized words: extra"),
    ],
)
def test_bad_usage_is_refused(all_applications, words, message):
    assert message in all_applications.refused(*words)


class TestRuns:
    @pytest.fixture
    def write_run(self, all_applications):
        def write(name: str, finished: str | None = None, **metrics: float):
            run = create_run("text_generation", all_applications.folder / "runs" / "text_generation" / name)
            record = {
                "application": "text_generation",
                "preset": "quick",
                "config": {},
                "data": {"source": "a [bold]text[/].txt", "fingerprint": "0" * 16},
                "versions": {},
                "started": f"2024-01-01T00:00:{len(name):02d}",
                "finished": finished,
            }
            run.write_record(record | ({"train_seconds": 90.0, "parameters": 12_345} if finished else {}))
            if metrics:
                (run.path / "metrics.json").write_text(json.dumps({"metrics": metrics, "baselines": {}}))
            return run

        return write

    def test_none_yet(self, all_applications):
        answer = all_applications("runs", "--json")
        assert answer.status == 0
        assert json.loads(answer.output) == {"runs": {name: [] for name in APPLICATIONS}}

    def test_are_listed_beside_one_another(self, all_applications, write_run):
        write_run("first", "2024-01-02T00:00:00", nats_per_char=1.5, bits_per_char=2.16)
        write_run("second")
        answer = all_applications("runs", "text_generation")
        assert answer.status == 0
        assert answer.errors == ""
        first, second = (
            next(line for line in answer.output.splitlines() if f"runs/text_generation/{name} " in line)
            for name in ("first", "second")
        )
        assert all(shown in first for shown in ("quick", "a [bold]text[/].txt", "1.5", "12,345", "1.5000", "2.1600"))
        assert "unfinished" in second

    def test_as_json_are_one_object_in_the_order_they_started(self, all_applications, write_run):
        write_run("bbbb", "2024-01-02T00:00:00", nats_per_char=1.5)
        write_run("aaaaaa")
        answer = all_applications("runs", "text_generation", "--json")
        rows = json.loads(answer.output)["runs"]["text_generation"]
        assert [Path(row["run"]).name for row in rows] == ["bbbb", "aaaaaa"]
        assert rows[0] | {"run": ""} == {
            "run": "",
            "preset": "quick",
            "data": "a [bold]text[/].txt",
            "finished": "2024-01-02T00:00:00",
            "train_seconds": 90.0,
            "parameters": 12_345,
            "metrics": {"nats_per_char": 1.5},
            "error": None,
        }
        assert rows[1]["finished"] is None

    @pytest.mark.parametrize("file", ["config.json", "metrics.json"])
    def test_a_damaged_one_does_not_hide_the_others(self, all_applications, write_run, file):
        damaged = write_run("first", "2024-01-02T00:00:00", nats_per_char=1.5)
        write_run("second", "2024-01-02T00:00:00", nats_per_char=1.25)
        (damaged.path / file).write_text("{")
        answer = all_applications("runs", "text_generation")
        assert answer.status == 0
        assert "damaged" in answer.output
        assert "1.2500" in answer.output
        rows = json.loads(all_applications("runs", "--json").output)["runs"]["text_generation"]
        assert file in rows[0]["error"]
        assert rows[1]["error"] is None


def test_help_and_bad_usage_are_answered_without_loading_tensorflow(tmp_path):
    script = """
        import contextlib, io, sys
        from apps.__main__ import main as all_applications
        from apps.text_generation.application import APPLICATION
        from recur.cli.application import main

        commands = ("train", "evaluate", "predict", "export")
        answers = [all_applications([*words]) for words in ((), ("--help",), ("runs", "--help"), ("runs",))]
        answers += [main(APPLICATION, [*words, "--help"]) for words in ((), *((command,) for command in commands))]
        refused = [main(APPLICATION, words) for words in (["trian"], ["train", "--units", "0"], ["predict"])]
        loaded = {"tensorflow", "keras", "tensorflow_datasets", "matplotlib"} & set(sys.modules)
        assert not loaded, loaded
        assert set(answers) == {0} and set(refused) == {2}, (answers, refused)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("usage: python -m apps") == 7
    assert finished.stderr.count("\n") == 3


@pytest.mark.parametrize("module", ["apps", "apps.text_generation"])
def test_a_reader_that_has_seen_enough_is_no_error(module):
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    process.stdout.close()
    assert (process.wait(timeout=1800), process.stderr.read()) == (0, b"")
    process.stderr.close()
