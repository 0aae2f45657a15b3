"""The demo: every application from its sample to an answer of its export, the page, and what stops it on the way."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from recur.cli import demo
from recur.training.application import Headline
from tests.checkout import ROOT

pytestmark = pytest.mark.slow


# Text generation that is done in seconds, on the first pages of each part of its sample.
SMALL = {
    "__init__": "",
    "application": """
        import dataclasses
        from apps.text_generation.application import APPLICATION

        settings = dict(epochs=EPOCHS, steps_per_epoch=5, units=12, window=16, batch_size=8)
        presets = APPLICATION.presets | {"quick": dataclasses.replace(APPLICATION.presets["quick"], **settings)}
        APPLICATION = dataclasses.replace(APPLICATION, presets=presets, package="small")
    """,
    "task": """
        import dataclasses
        from apps.text_generation.task import TextGeneration

        CHARACTERS = {"train": 60_000, "validation": 5_000, "test": 0}

        class SmallTextGeneration(TextGeneration):
            def read(self, source, config):
                corpus = super().read(source, config)
                parts = {name: getattr(corpus, name)[:characters] for name, characters in CHARACTERS.items()}
                return dataclasses.replace(corpus, **parts)

        TASK = SmallTextGeneration()
    """,
    "evaluate": "from apps.text_generation.evaluate import evaluate",
    "requests": """
        from apps.text_generation.requests import parse, records, show, warmup

        def examples():
            return "ROMEO:\\n", "<b>& not markup</b>"
    """,
}
DEMO = """
    import resource, sys
    from pathlib import Path
    from recur.cli.errors import guarded
    from recur.cli.demo import demo
    from small.application import APPLICATION

    if len(sys.argv) > 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
    sys.exit(guarded(lambda: demo([APPLICATION], Path("saved_models")), debug=False))
"""

Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a demo of the small application in an empty folder, as a process that can be sent signals."""

    def started(*words: str, epochs: int = 2) -> subprocess.Popen:
        (tmp_path / "small").mkdir(exist_ok=True)
        for name, source in SMALL.items():
            source = textwrap.dedent(source).replace("EPOCHS", str(epochs))
            (tmp_path / "small" / f"{name}.py").write_text(source)
        (tmp_path / "demo.py").write_text(textwrap.dedent(DEMO))
        return subprocess.Popen(
            [sys.executable, "demo.py", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


def wait_for(process: subprocess.Popen, text: str) -> None:
    """Reads what a process says until a line has a text."""
    said = []
    for line in process.stderr:
        said.append(line)
        if text in line:
            return
    pytest.fail(f"{text!r} was never said: {''.join(said)}")


def test_an_interrupted_demo_goes_on_and_leaves_a_run_an_export_and_a_page_with_its_pictures(start, tmp_path):
    process = start(epochs=10_000)
    wait_for(process, "text_generation: training")
    assert "This page fills up" in (tmp_path / "runs/demo/index.html").read_text()
    wait_for_checkpoint(process, tmp_path)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "the next demo goes on from there" in errors
    assert "Traceback" not in errors
    (run,) = (tmp_path / "runs/text_generation").iterdir()
    process = start(epochs=shorten(run / "config.json"))
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "continuing" in (tmp_path / "runs/demo/text_generation.log").read_text()
    assert list((tmp_path / "runs/text_generation").iterdir()) == [run]
    assert (run / "metrics.json").exists()
    assert (tmp_path / "saved_models/text_generation/1/saved_model.pb").exists()
    assert output.startswith("ROMEO:\n")
    html = (tmp_path / "runs/demo/index.html").read_text()
    pictures = re.findall(r'<img src="([^"]+)"', html)
    gradients = {"gradient_flow.png", "gradient_through_time.png"}
    assert {Path(picture).name for picture in pictures} == {"curves.png", "surprise.png"} | gradients
    for picture in pictures:
        assert (tmp_path / "runs/demo" / picture).read_bytes().startswith(b"\x89PNG")
    assert "&lt;b&gt;&amp; not markup&lt;/b&gt;" in html
    assert "short of the strongest baseline by" in html
    for name in ("this model", "uniform", "5-gram", "nats_per_char"):
        assert name in html
    assert "http-equiv" not in html, "a finished page does not ask to be loaded again"


def wait_for_checkpoint(process: subprocess.Popen, folder: Path) -> None:
    """Waits until training has written a checkpoint."""
    while not list(folder.glob("runs/text_generation/*/checkpoint/state.npz")):
        assert process.poll() is None, "the demo has ended"
        time.sleep(0.02)


def shorten(config: Path) -> int:
    """Lets a run that would train for hours end after the epoch that it is in; returns its epochs."""
    record = json.loads(config.read_text())
    with np.load(config.parent / "checkpoint/state.npz") as state:
        epoch = json.loads(state["progress"].tobytes())["epoch"]
    record["config"]["epochs"] = epoch + 1
    config.write_text(json.dumps(record))
    return epoch + 1


def test_a_demo_without_room_on_the_disk_says_so_in_a_line(start, tmp_path):
    process = start("40000")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.count("error: ") == 1
    message = errors.splitlines()[-1]
    assert message.startswith("error: text_generation: File too large")
    assert "free some space" in message
    assert "Traceback" not in errors
    assert not list((tmp_path / "saved_models").glob("*/*"))


def test_a_demo_whose_process_is_killed_says_so_in_a_line(start):
    process = start(epochs=10_000)
    wait_for(process, "text_generation: training")
    (worker,) = psutil.Process(process.pid).children()
    worker.kill()
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "killed, probably for want of memory; close other programs, or say --processes 1" in errors.splitlines()[-1]


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_two_applications_side_by_side_go_on_after_an_interruption(tmp_path):
    names = ("sentiment_analysis", "stock_forecasting")

    def start_both() -> subprocess.Popen:
        words = [sys.executable, "-m", "apps", "demo", "--only", *names]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, cwd=tmp_path, env=environment, **pipes)

    process = start_both()
    wait_for(process, "done in")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    process = start_both()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    html = (tmp_path / "runs/demo/index.html").read_text()
    for name in names:
        assert f"<h2>{name}</h2>" in html
        assert len(list((tmp_path / "runs" / name).iterdir())) == 1, "nothing is trained twice"
        assert (tmp_path / "saved_models" / name / "1/saved_model.pb").exists()
    assert len(re.findall("(better than|short of) the strongest baseline by", html)) == len(names)
    assert str(tmp_path) not in html


class Weather:
    """What the sentence beside a baseline is made of."""

    headline = Headline("error", higher_is_better=False, shortfall="It rained.")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.25, "error 0.2500, yesterday 0.5000: better than the strongest baseline by 0.2500."),
        (0.75, "error 0.7500, yesterday 0.5000: short of the strongest baseline by 0.2500. It rained."),
    ],
)
def test_the_page_says_by_how_much_a_model_is_better_than_its_strongest_baseline_or_not(value, sentence):
    metrics = {"metrics": {"error": value}, "baselines": {"none": {"error": 0.9}, "yesterday": {"error": 0.5}}}
    assert demo.verdict(Weather(), {"metrics": metrics}) == sentence


@pytest.mark.parametrize(
    ("served", "predicted", "same"),
    [
        ({"label": "a", "score": 0.5}, {"label": "a", "score": 0.5 + 1e-7}, True),
        ({"label": "a", "score": 0.5}, {"label": "a", "score": 0.51}, False),
        ({"label": "a"}, {"label": "b"}, False),
        ({"label": "a"}, {"label": "a", "score": 1.0}, False),
    ],
)
def test_answers_are_the_same_up_to_rounding(served, predicted, same):
    from recur.serving.answers import same_answer

    assert same_answer(served, predicted) is same
