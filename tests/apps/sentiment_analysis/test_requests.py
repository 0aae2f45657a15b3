"""Reviews become rows and answers become records, by a module that a server can be asked with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from apps.sentiment_analysis import requests
from apps.sentiment_analysis.config import AnswerOptions
from recur.errors import InputError
from tests.checkout import ROOT

INPUTS = ["so  dull", "caf\udce9", ""]
ANSWERS = {"label": np.array([b"bad", b"good", b"bad"], object), "probability": np.array([0.25, 0.75, 0.5], np.float32)}
EXPLAINED = ANSWERS | {
    "tokens": np.array([[b"so", b"dull"], [b"caf\xe9", b""], [b"", b""]], object),
    "weights": np.array([[0.5, -1.0], [2.0, 0.0], [0.0, 0.0]], np.float32),
}


def test_any_bytes_are_sent_as_they_are_and_answered_in_their_order():
    request = requests.parse(INPUTS, AnswerOptions(), {})
    assert request.signature == "serving_default"
    assert request.arrays["text"].tolist() == [b"so  dull", b"caf\xe9", b""]
    assert requests.records(request, ANSWERS) == [
        {"text": "so  dull", "label": "bad", "probability": 0.25},
        {"text": "caf\ufffd", "label": "good", "probability": 0.75},
        {"text": "", "label": "bad", "probability": 0.5},
    ]


def test_words_come_with_their_weights_where_they_are_explained():
    request = requests.parse(INPUTS, AnswerOptions(explain=True), {})
    assert request.signature == "explain"
    answers = requests.records(request, EXPLAINED)
    assert [answer["tokens"] for answer in answers] == [["so", "dull"], ["caf\ufffd"], []]
    assert [answer["weights"] for answer in answers] == [[0.5, -1.0], [2.0], []]
    assert json.loads(json.dumps(answers)) == answers


def test_a_record_is_one_line_for_a_person():
    plain = {"text": "so\n  dull\x1b", "label": "bad", "probability": 0.25}
    assert requests.show(plain) == "bad  0.250  so dull\ufffd"
    shown = requests.show(plain | {"tokens": ["so", "dull"], "weights": [0.0, -1.0]})
    assert shown.startswith("bad  0.250  so \x1b[")
    assert "dull" in shown
    assert "\n" not in shown


def test_a_page_is_of_explanations():
    with pytest.raises(InputError, match="say `explain` too"):
        requests.parse(INPUTS, AnswerOptions(html=Path("page.html")), {})


def test_tensorflow_is_not_loaded():
    script = (
        "import sys; from apps.sentiment_analysis.application import APPLICATION\n"
        "APPLICATION.requests.parse(APPLICATION.requests.examples(), APPLICATION.options(explain=True), {})\n"
        "print({'tensorflow', 'keras', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.strip() == "set()"
