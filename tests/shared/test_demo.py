"""The demo: every application from its sample to an answer of its export, and the page of what came of it."""

import dataclasses
import re
from pathlib import Path

import pytest

from apps.text_generation.application import TextGeneration
from shared import demo

CHARACTERS = {"train": 100_000, "validation": 20_000, "test": 0}


class SmallTextGeneration(TextGeneration):
    """Text generation that is done in seconds, on random windows of the first pages of each part."""

    presets = TextGeneration.presets | {
        "quick": dataclasses.replace(
            TextGeneration.presets["quick"], epochs=2, steps_per_epoch=5, units=12, batching="windows", batch_size=64
        )
    }
    demo_inputs = ("ROMEO:\n", "<b>& not markup</b>")

    def read(self, source, config):
        corpus = super().read(source, config)
        parts = {name: getattr(corpus, name)[:characters] for name, characters in CHARACTERS.items()}
        return dataclasses.replace(corpus, **parts)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_demo_leaves_a_run_an_export_and_a_page_with_its_pictures(here, capsys):
    demo.demo([SmallTextGeneration()], Path("saved_models"))
    (run,) = (here / "runs" / "text_generation").iterdir()
    assert (run / "metrics.json").exists()
    assert (here / "saved_models" / "text_generation" / "1" / "saved_model.pb").exists()
    page = here / "runs" / "demo" / "index.html"
    html = page.read_text()
    pictures = re.findall(r'<img src="([^"]+)"', html)
    gradients = {"gradient_flow.png", "gradient_through_time.png"}
    assert {Path(picture).name for picture in pictures} == {"curves.png", "surprise.png"} | gradients
    for picture in pictures:
        assert (page.parent / picture).read_bytes().startswith(b"\x89PNG")
    assert "&lt;b&gt;&amp; not markup&lt;/b&gt;" in html
    for name in ("this model", "uniform", "5-gram", "nats_per_char"):
        assert name in html
    printed = capsys.readouterr().out
    assert "gives the same answers" in " ".join(printed.split())


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
    assert demo._same(served, predicted) is same
