"""A run directory is found and read, or refused; and no file of it is ever half there."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.errors import InputError
from recur.files import atomically, read_json, write_json
from recur.training.runs import RUNS, Run, create_run, list_runs, open_run
from tests.checkout import ROOT

RECORD = {
    "application": "weather",
    "preset": "quick",
    "config": {"units": 3},
    "data": {"source": "sample", "fingerprint": "0123456789abcdef"},
    "versions": {"python": "3.11"},
    "started": "2024-01-01T00:00:00",
    "finished": None,
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_run(name: str, **changes: object) -> Run:
    run = create_run("weather", RUNS / "weather" / name)
    run.write_record(RECORD | changes)
    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestAtomically:
    def test_the_new_content_replaces_the_old(self, here):
        (here / "file").write_text("old")
        with atomically(here / "file") as temporary:
            temporary.write_text("new")
            assert (here / "file").read_text() == "old"
        assert (here / "file").read_text() == "new"
        assert names(here) == ["file"]

    @pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize("old", ["old", None])
    def test_a_writer_that_fails_leaves_what_was_there(self, here, error, old):
        if old:
            (here / "file").write_text(old)
        with pytest.raises(error), atomically(here / "file") as temporary:  # noqa: PT012
            temporary.write_text("half")
            raise error
        assert {path.name: path.read_text() for path in here.iterdir()} == ({"file": old} if old else {})

    def test_a_writer_that_writes_nothing_leaves_what_was_there(self, here):
        (here / "file").write_text("old")
        with pytest.raises(FileNotFoundError), atomically(here / "file"):
            pass
        assert (here / "file").read_text() == "old"

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_a_writer_that_is_killed_leaves_what_was_there(self, here, number):
        (here / "file").write_text("old")
        script = """
            import time
            from pathlib import Path
            from recur.files import atomically

            with atomically(Path("file")) as temporary, temporary.open("w") as file:
                file.write("half")
                file.flush()
                print("writing", flush=True)
                time.sleep(600)
        """
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert writer.stdout.readline() == b"writing\n"
        writer.send_signal(number)
        writer.communicate(timeout=1800)
        assert writer.returncode != 0
        assert (here / "file").read_text() == "old"
        leftovers = [name for name in names(here) if name != "file"]
        assert all(name.startswith(".") for name in leftovers)
        assert not leftovers or number == signal.SIGKILL

    def test_two_writers_do_not_disturb_each_other(self, here):
        with atomically(here / "file") as first, atomically(here / "file") as second:
            first.write_text("first")
            second.write_text("second")
        assert (here / "file").read_text() == "first"
        assert names(here) == ["file"]


undecodable = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)  # in the name of a file that is not UTF-8
any_text = st.text(st.characters(exclude_categories=["Cs"]) | undecodable)
json_objects = st.dictionaries(
    any_text,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)


class TestJson:
    @given(json_objects)
    def test_what_is_written_is_read_back(self, tmp_path_factory, value):
        path = tmp_path_factory.getbasetemp() / "value.json"
        write_json(path, value)
        assert read_json(path) == value

    def test_letters_beyond_ascii_are_written_as_they_are(self, here):
        write_json(here / "value.json", {"text": "déjà 見"})
        assert "déjà 見" in (here / "value.json").read_text(encoding="utf-8")

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_a_number_that_is_not_finite_is_never_written(self, here, number):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(here / "value.json", {"loss": number})
        assert names(here) == []

    @pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1, 2]", b"null", b"7", b"\xff\xfe{", b'{"a": 1}{'])
    def test_a_damaged_file_is_refused(self, here, content):
        (here / "value.json").write_bytes(content)
        with pytest.raises(InputError, match=r"value\.json is damaged \(.+\); copy the run again"):
            read_json(here / "value.json")

    def test_a_missing_file_is_refused(self, here):
        with pytest.raises(InputError, match=r"there is no file .*value\.json; copy the run's whole folder"):
            read_json(here / "value.json")

    def test_a_folder_in_its_place_is_refused(self, here):
        (here / "value.json").mkdir()
        with pytest.raises(InputError, match=r"cannot read .*value\.json \(Is a directory\)"):
            read_json(here / "value.json")


class TestCreate:
    def test_a_run_has_its_folders_and_a_name_by_time(self):
        run = create_run("weather")
        assert run.path.parent == RUNS / "weather"
        assert run.path.name.replace("-", "").isdecimal()
        assert {path.name for path in run.path.iterdir()} == {"assets", "checkpoint", "plots", "logs"}

    def test_runs_of_the_same_second_are_two(self):
        runs = [create_run("weather") for _ in range(5)]
        assert len({run.path for run in runs}) == 5

    def test_a_folder_may_be_named(self, here):
        assert create_run("weather", Path("a/b/c")).path == Path("a/b/c")
        assert (here / "a/b/c/assets").is_dir()

    @pytest.mark.parametrize(
        ("out", "message"),
        [
            ("folder", "folder exists already; name a folder that does not, or continue it with `resume`"),
            ("file", "file exists already"),
            ("file/run", r"cannot make the folder file/run \(Not a directory\); choose another with `out`"),
            ("x" * 300, r"cannot make the folder x+ \(File name too long\)"),
            ("/proc/run", r"cannot make the folder /proc/run \("),
            ("", "exists already"),
        ],
    )
    def test_a_folder_that_cannot_be_made_is_refused(self, here, out, message):
        (here / "folder").mkdir()
        (here / "file").write_text("content")
        with pytest.raises(InputError, match=message):
            create_run("weather", Path(out))
        assert names(here) == ["file", "folder"]
        assert names(here / "folder") == []


class TestOpen:
    def test_a_run_is_opened_by_its_folder(self):
        run = write_run("one")
        assert open_run("weather", run.label) == run
        assert run.read_record() == RECORD

    def test_a_run_moves_by_copying_its_folder(self, here):
        write_run("one").path.rename(here / "elsewhere")
        assert open_run("weather", "elsewhere").read_record() == RECORD

    def test_latest_is_the_one_that_finished_last(self):
        write_run("20240103-000000", finished=None, started="2024-01-03T00:00:00")
        wanted = write_run("20240101-000000", finished="2024-01-05T00:00:00", started="2024-01-01T00:00:00")
        write_run("20240102-000000", finished="2024-01-02T00:10:00", started="2024-01-02T00:00:00")
        write_run("named", finished="2024-01-04T00:00:00", started="2023-12-31T00:00:00")
        assert open_run("weather", "latest") == wanted

    def test_latest_is_not_disturbed_by_a_damaged_run(self):
        wanted = write_run("20240101-000000", finished="2024-01-01T00:10:00")
        (write_run("20240102-000000", finished="2024-01-02T00:10:00").path / "config.json").write_text("{")
        assert open_run("weather", "latest") == wanted

    def test_latest_without_a_run_says_how_to_train_one(self):
        with pytest.raises(
            InputError, match=r"no finished run in runs/weather; train one: python -m apps\.weather train$"
        ):
            open_run("weather", "latest")

    def test_latest_without_a_finished_run_says_how_to_continue(self):
        write_run("20240101-000000")
        write_run("20240102-000000", started="2024-01-02T00:00:00")
        with pytest.raises(InputError, match=r"train --resume runs/weather/20240102-000000$"):
            open_run("weather", "latest")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("nowhere", "there is no run 'nowhere'; `python -m apps runs weather` lists them"),
            ("", "there is no run ''"),
            ("x" * 5000, "there is no run 'x"),
            ("file", "there is no run 'file'"),
            ("folder", r"folder is not a run \(it has no config\.json\); train one, or say latest"),
            ("20240101-000000", r"did you mean runs/weather/20240101-000000\?"),
            ("runs/weather/20240101-00000", r"did you mean runs/weather/20240101-000000\?"),
        ],
    )
    def test_what_is_no_run_is_refused(self, here, name, message):
        write_run("20240101-000000")
        (here / "file").write_text("content")
        (here / "folder").mkdir()
        with pytest.raises(InputError, match=message):
            open_run("weather", name)

    def test_a_run_of_another_application_is_refused(self):
        run = write_run("one")
        with pytest.raises(InputError, match=r"is a run of weather, not of notes; use python -m apps\.weather"):
            open_run("notes", run.label)

    @pytest.mark.parametrize("key", RECORD)
    def test_a_record_that_lacks_something_is_damaged(self, key):
        run = write_run("one")
        run.write_record({name: value for name, value in RECORD.items() if name != key})
        with pytest.raises(InputError, match=rf"config\.json is damaged \({key}: field required\); copy the run again"):
            open_run("weather", run.label)

    @pytest.mark.parametrize(
        "change", [{"application": 3}, {"config": [1]}, {"data": "sample"}, {"data": {"source": "x"}}, {"finished": 1}]
    )
    def test_a_record_with_something_else_is_damaged(self, change):
        run = write_run("one", **change)
        with pytest.raises(InputError, match=rf"config\.json is damaged \({next(iter(change))}"):
            open_run("weather", run.label)

    def test_metrics_are_read_once_there_are_some(self):
        run = write_run("one")
        assert run.read_metrics() is None
        write_json(run.path / "metrics.json", {"metrics": {"loss": 1.0}, "baselines": {}})
        assert run.read_metrics() == {"metrics": {"loss": 1.0}, "baselines": {}}

    @pytest.mark.parametrize("content", ["{", "{}", '{"metrics": 3, "baselines": {}}', '{"metrics": {}}'])
    def test_damaged_metrics_are_refused(self, content):
        run = write_run("one")
        (run.path / "metrics.json").write_text(content)
        with pytest.raises(InputError, match=r"metrics\.json is damaged"):
            run.read_metrics()


def test_runs_are_listed_oldest_first_by_when_they_started():
    third = write_run("a", started="2024-01-03T00:00:00")
    first = write_run("c", started="2024-01-01T00:00:00")
    second = write_run("b", started="2024-01-02T00:00:00")
    create_run("weather")  # it has no record yet
    assert list_runs("weather") == [first, second, third]
    assert list_runs("notes") == []


def test_written_json_ends_its_last_line(here):
    write_json(here / "value.json", {"a": 1})
    assert (here / "value.json").read_text() == json.dumps({"a": 1}, indent=2) + "\n"
