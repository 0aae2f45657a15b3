"""Bad input is refused in one line that says what to do; nothing is left behind."""

import dataclasses
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.text_generation.application import APPLICATION
from recur.data import sources
from tests.checkout import ROOT

pytestmark = pytest.mark.slow

SMALL = ["--preset", "quick", "--units", "4", "--embedding-units", "2", "--batch-size", "2", "--window", "4"]


def change_record(**changes: object) -> Callable[[Path], None]:
    """What edits the `config.json` of a run; a dotted `a__b` goes one level down."""

    def edit(run: Path) -> None:
        record = json.loads((run / "config.json").read_text(encoding="utf-8"))
        for name, value in changes.items():
            *outer, key = name.split("__")
            (record[outer[0]] if outer else record)[key] = value
        (run / "config.json").write_text(json.dumps(record), encoding="utf-8")

    return edit


def put(file: str, content: bytes) -> Callable[[Path], None]:
    return lambda run: (run / file).write_bytes(content)


def cut(file: str, length: int) -> Callable[[Path], None]:
    return lambda run: (run / file).write_bytes((run / file).read_bytes()[:length])


@pytest.fixture
def run(tiny_run, text_generation):
    """A copy of the tiny run, to be spoilt."""
    return shutil.copytree(tiny_run, text_generation.folder / "run")


class TestTrain:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "text.txt is empty; give a file with text in it"),
            (b" \n\t\r\n", "text.txt is empty; give a file with text in it"),
            (
                b"To be, or not to be",
                " characters and 2 streams of windows of 400 need 802; give a longer text, or lower",
            ),
            (b"0123456789", "the train part has 9 characters and 2 streams"),
            (b"abc\0def", "text.txt is a binary file (a NUL at byte offset 3); give UTF-8 text"),
            ("Il a été là".encode("latin-1") * 99, "text.txt is not UTF-8: byte 0xe9 at offset 5; "),
            ("Il a été là".encode("utf-16"), "text.txt is UTF-16, not UTF-8; convert it first: iconv -f utf-16"),
        ],
    )
    @pytest.mark.parametrize("in_folder", [False, True])
    def test_a_text_that_cannot_be_used(self, text_generation, content, message, in_folder):
        path = Path("folder/text.txt" if in_folder else "text.txt")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        words = ["train", "--data", path.parent if in_folder else path, *SMALL, "--window", "400"]
        assert message in text_generation.refused(*words)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (
                "missing.txt",
                "there is nothing at 'missing.txt'; give a path, `sample`, or the name of a TensorFlow dataset",
            ),
            ("./missing", "there is nothing at './missing'"),
            ("", "there is nothing at ''"),
            ("x" * 5000, "neither a path nor a TensorFlow dataset named 'xxx"),
            ("empty", "the folder empty has no text; it needs files ending in .txt or .md"),
            ("pictures", "the folder pictures has no text; it needs files ending in .txt or .md"),
            (
                "no_such_dataset",
                "there is neither a path nor a TensorFlow dataset named 'no_such_dataset'; give a path",
            ),
            ("tiny_shakespear", "named 'tiny_shakespear'; did you mean tiny_shakespeare?"),
            ("tiny_shakespeare", "the dataset is not here yet and the network does not answer (raw.githubusercontent"),
            ("mnist", "the TensorFlow dataset 'mnist' has no feature named text; it has image, label"),
        ],
    )
    def test_a_source_that_is_not_there(
        self, text_generation, tensorflow_datasets_folder, monkeypatch, source, message
    ):
        def unreachable(*_arguments, **_settings):
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "create_connection", unreachable)
        monkeypatch.setattr(sources, "getproxies", dict)
        Path("empty").mkdir()
        Path("pictures").mkdir()
        Path("pictures/a.png").write_bytes(b"\x89PNG")
        assert message in text_generation.refused("train", "--data", source, "--out", "out")
        assert list(tensorflow_datasets_folder.iterdir()) == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file and write to every folder")
    def test_a_file_or_a_folder_without_permission(self, text_generation, tiny_text):
        Path("secret.txt").write_text("secret")
        Path("secret.txt").chmod(0)
        Path("closed").mkdir(mode=0o500)
        assert "cannot read secret.txt: Permission denied" in text_generation.refused("train", "--data", "secret.txt")
        answer = text_generation.refused("train", "--data", tiny_text, *SMALL, "--out", "closed/run")
        assert "cannot make the folder closed/run (Permission denied); choose another with --out" in answer

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ("--preset turbo", "--preset should be one of quick, default, best, not 'turbo'"),
            ("--unots 8", "unrecognized options: --unots; did you mean --units?"),
            ("--units 0", "--units should be greater than 0, not 0"),
            ("--units many", "--units should be a whole number, not 'many'"),
            ("--units 99999999999999999999", "--units should be less than 2147483648"),
            ("--dropout 1.5", "--dropout should be less than 1, not 1.5"),
            ("--learning-rate -1", "--learning-rate should be greater than 0, not -1.0"),
            ("--learning-rate nan", "--learning-rate should be a finite number, not nan"),
            ("--learning-rate inf", "--learning-rate should be a finite number, not inf"),
            ("--seed 5000000000", "--seed should be less than 2147483648, not 5000000000"),
            ("--cell transformer", "--cell should be one of simple_rnn, lstm, gru, not 'transformer'"),
            ("--validation-fraction 0.6 --test-fraction 0.4", "leave nothing to train on; lower one"),
            ("--validation-fraction 0", "the validation part has 0 characters"),
            ("--window 3000", "the train part has 5,400 characters and 2 streams of windows of 3000 need 6,002"),
            ("--out taken", "taken exists already; name a folder that does not, or continue it with --resume"),
            ("--out file", "file exists already"),
            ("--out file/run", "cannot make the folder file/run (Not a directory); choose another with --out"),
        ],
    )
    def test_a_setting_that_cannot_be_used(self, text_generation, tiny_text, flags, message):
        Path("taken").mkdir()
        Path("file").write_text("content")
        assert message in text_generation.refused("train", "--data", tiny_text, *SMALL, *flags.split())

    def test_an_interrupt_before_there_is_anything_to_continue(self, text_generation, monkeypatch):
        def interrupted(*_arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(type(APPLICATION.task), "read", interrupted)
        assert text_generation.refused("train", status=130) == "interrupted"

    def test_a_disk_that_fails_while_the_data_is_read(self, text_generation, monkeypatch):
        def broken(*_arguments):
            raise OSError(errno.EIO, "Input/output error", "text.txt")

        monkeypatch.setattr(type(APPLICATION.task), "read", broken)
        assert text_generation.refused("train", status=1).startswith("Input/output error (text.txt)")

    def test_debug_shows_where(self, text_generation):
        answer = text_generation("train", "--data", "missing.txt", "--debug")
        *trace, last = answer.errors.splitlines()
        assert answer.status == 2
        assert trace[0] == "Traceback (most recent call last):"
        assert any("existing_path" in line for line in trace)
        assert last.startswith("error: there is nothing at 'missing.txt'")

    def test_a_process_says_only_the_one_line(self, tmp_path):
        (tmp_path / "empty.txt").touch()
        finished = subprocess.run(
            [sys.executable, "-m", "apps.text_generation", "train", "--data", "empty.txt"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=300,
        )
        assert finished.returncode == 2
        assert finished.stdout == b""
        assert finished.stderr == b"error: empty.txt is empty; give a file with text in it\n"
        assert [path.name for path in tmp_path.iterdir()] == ["empty.txt"]


class TestRun:
    @pytest.mark.parametrize("command", ["evaluate", "predict", "export", "train --resume"])
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("nowhere", "there is no run 'nowhere'; `python -m apps runs text_generation` lists them"),
            ("", "there is no run ''"),
            ("x" * 5000, "there is no run 'xxx"),
            ("file", "there is no run 'file'"),
            ("folder", "folder is not a run (it has no config.json); train one, or say latest"),
            ("latest", "no finished run in runs/text_generation; train one: python -m apps.text_generation train"),
        ],
    )
    def test_what_is_no_run(self, text_generation, command, name, message):
        Path("file").write_text("content")
        Path("folder").mkdir()
        assert message in text_generation.refused(*command.split(), name)

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (
                change_record(application="translation"),
                "is a run of translation, not of text_generation; use python -m",
            ),
            (cut("config.json", 50), "run/config.json is damaged ("),
            (put("config.json", b""), "run/config.json is damaged"),
            (put("config.json", b"[1]"), "run/config.json is damaged (it holds no object)"),
            (put("config.json", b"\xff\xfe\0"), "run/config.json is damaged"),
            (change_record(data="sample"), "run/config.json is damaged (data: "),
            (change_record(config=[1]), "run/config.json is damaged (config: "),
            (change_record(config__unitz=3), "run/config.json: unknown setting 'unitz'; did you mean units?"),
            (change_record(config__units=-3), "run/config.json: --units should be greater than 0, not -3"),
            (
                lambda run: (run / "model.keras").unlink(),
                "run has no trained model yet; continue it with train --resume",
            ),
            (cut("model.keras", 500), "run/model.keras is damaged ("),
            (cut("model.keras", -100), "run/model.keras is damaged ("),
            (put("model.keras", b""), "run/model.keras is damaged ("),
            (change_record(config__units=20), "run/model.keras is damaged ("),
            (change_record(config__layers=2), "run/model.keras is damaged ("),
            (put("assets/vocabulary.json", b'{"characters": "abc"}'), "run/model.keras is damaged ("),
            (
                lambda run: shutil.rmtree(run / "assets"),
                "there is no file run/assets/vocabulary.json; copy the run's whole",
            ),
            (cut("assets/vocabulary.json", 9), "run/assets/vocabulary.json is damaged ("),
            (put("assets/vocabulary.json", b"{}"), "run/assets is damaged ("),
            (put("assets/vocabulary.json", b'{"characters": 5}'), "run/assets is damaged ("),
        ],
    )
    def test_a_run_that_is_damaged(self, text_generation, run, spoil, message):
        spoil(run)
        assert message in text_generation.refused("predict", "run", "To be")

    @pytest.mark.parametrize("command", [["evaluate", "--json"], ["export", "--to", "exports"]])
    def test_a_damaged_run_is_refused_by_every_command(self, text_generation, run, command):
        cut("model.keras", 500)(run)
        name, *flags = command
        assert "run/model.keras is damaged (" in text_generation.refused(name, "run", *flags)

    def test_damaged_metrics_stop_an_export(self, text_generation, run):
        put("metrics.json", b"{")(run)
        Path("exports/text_generation").mkdir(parents=True)
        text_generation.monkeypatch.setattr("tensorflow.saved_model.save", lambda *_, **__: None)
        answer = text_generation("export", "run", "--to", "exports")
        assert answer.status == 2
        assert "run/metrics.json is damaged" in answer.errors
        assert list(Path("exports/text_generation").iterdir()) == []

    @pytest.mark.parametrize("to", ["file", "file/below", "holder"])
    def test_an_export_where_no_folder_can_be(self, text_generation, run, to):
        Path("file").write_text("content")
        Path("holder").mkdir()
        Path("holder/text_generation").write_text("content")
        message = f"cannot make the folder {to}/text_generation ("
        answer = text_generation.refused("export", "run", "--to", to)
        assert message in answer
        assert answer.endswith("choose another with --to")

    @pytest.mark.parametrize(
        ("source", "message"),
        [("missing.txt", "there is nothing at 'missing.txt'"), ("short.txt", "the validation part has 10 characters")],
    )
    def test_an_evaluation_on_other_data_that_cannot_be_used(self, text_generation, run, source, message):
        Path("short.txt").write_text("0123456789" * 10)
        assert message in text_generation.refused("evaluate", "run", "--data", source)


class TestResume:
    @pytest.fixture
    def unfinished(self, run, tiny_text):
        """A copy of the tiny run as if it had been stopped, with data of its own."""
        shutil.copy(tiny_text, "text.txt")
        change_record(finished=None, data__source="text.txt")(run)
        return run

    @pytest.mark.parametrize("flags", ["--epochs 9", "--data text.txt", "--preset quick", "--out other", "--seed 0"])
    def test_with_other_flags(self, text_generation, unfinished, flags):
        message = "a resumed run keeps its settings, data and folder; leave out every flag but --resume"
        assert text_generation.refused("train", "--resume", "run", *flags.split()) == message

    def test_of_a_finished_run(self, text_generation, run):
        message = "run is finished; evaluate it, or train another run"
        assert text_generation.refused("train", "--resume", "run") == message

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (
                lambda: Path("text.txt").write_text(Path("text.txt").read_text()[:-1] + "!"),
                "is not what run was trained on",
            ),
            (lambda: Path("text.txt").unlink(), "there is nothing at 'text.txt'"),
            (lambda: Path("text.txt").write_bytes(b""), "text.txt is empty"),
        ],
    )
    def test_after_the_data_changed(self, text_generation, unfinished, spoil, message):
        spoil()
        assert message in text_generation.refused("train", "--resume", "run")

    @pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04half"])
    def test_from_a_damaged_checkpoint(self, text_generation, unfinished, content):
        (unfinished / "checkpoint" / "state.npz").write_bytes(content)
        answer = text_generation("train", "--resume", "run")
        assert (answer.status, answer.output) == (2, "")
        assert answer.errors.startswith("error: run/checkpoint/state.npz cannot be read (")
        assert answer.errors.count("\n") == 1


class TestPredict:
    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ("--temperature -1", "--temperature should be greater than or equal to 0, not -1.0"),
            ("--temperature nan", "--temperature should be a finite number, not nan"),
            ("--temperature inf", "--temperature should be a finite number, not inf"),
            ("--top-p 0", "--top-p should be greater than 0, not 0.0"),
            ("--top-p 1.01", "--top-p should be less than or equal to 1, not 1.01"),
            ("--top-k -1", "--top-k should be greater than or equal to 0, not -1"),
            ("--top-k 99999999999", "--top-k should be less than 2147483648, not 99999999999"),
            ("--length -1", "--length should be greater than or equal to 0, not -1"),
            ("--length 20001", "--length should be less than or equal to 20000, not 20001"),
            ("--seed 99999999999999999999", "--seed should be less than "),
            ("--lenght 5", "unrecognized options: --lenght; did you mean --length?"),
            ("--output answers.txt", "--output answers.txt should end in .csv or .jsonl"),
            (
                "--output missing/answers.csv",
                "there is no folder missing for --output missing/answers.csv; make it first",
            ),
            ("--output folder.csv", "--output folder.csv is a folder; name a file"),
        ],
    )
    def test_options_that_cannot_be_used(self, text_generation, run, flags, message):
        Path("folder.csv").mkdir()
        assert message in text_generation.refused("predict", "run", "To be", *flags.split())

    @pytest.mark.parametrize("old", ["old", None])
    def test_a_failure_while_answers_are_written_leaves_what_was_there(self, text_generation, run, monkeypatch, old):
        def fail(*_arguments):
            raise RuntimeError("out of memory")

        if old:
            Path("answers.csv").write_text(old)
        monkeypatch.setattr(APPLICATION.requests, "records", fail)
        answer = text_generation("predict", "run", "a", "--length", "1", "--output", "answers.csv")
        assert (answer.status, answer.output) == (1, "")
        assert answer.errors.splitlines()[-1].startswith("error: RuntimeError: out of memory; ")
        assert {path.name for path in Path().iterdir()} == ({"run", "answers.csv"} if old else {"run"})
        assert not old or Path("answers.csv").read_text() == old


def test_settings_are_refused_before_anything_is_loaded(text_generation, monkeypatch):
    monkeypatch.setattr("recur.cli.errors.import_late", None)
    assert "--units" in text_generation.refused("train", "--units", "0")
    assert "--top-p" in text_generation.refused("predict", "run", "--top-p", "0")


def test_every_setting_of_a_run_is_written(tiny_run):
    record = json.loads((tiny_run / "config.json").read_text())
    fields = {field.name for field in dataclasses.fields(APPLICATION.presets["quick"])}
    assert set(record["config"]) == fields
