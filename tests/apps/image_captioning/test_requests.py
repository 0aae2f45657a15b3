"""A request reads each file once, and says what is wrong with it without TensorFlow."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from apps.image_captioning import requests
from apps.image_captioning.config import AnswerOptions
from recur.errors import InputError
from tests.apps.image_captioning.conftest import encoded
from tests.checkout import ROOT


@pytest.fixture
def paths(tmp_path, photograph):
    """A good image, and one that may be replaced."""
    good, other = tmp_path / "good.png", tmp_path / "other.jpg"
    good.write_bytes(encoded(photograph, "PNG"))
    other.write_bytes(encoded(photograph, "JPEG"))
    return [str(good), str(other)]


def test_a_file_is_read_once_for_an_answer(paths, monkeypatch):
    reads = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(str(path)) or read_bytes(path))
    request = requests.parse(paths, AnswerOptions(), {})
    outputs = {"caption": np.array([b"a dog", b"a cat"], dtype=object), "score": np.array([-0.5, -1.0], np.float32)}
    assert requests.records(request, outputs) == [
        {"image": paths[0], "caption": "a dog", "score": -0.5},
        {"image": paths[1], "caption": "a cat", "score": -1.0},
    ]
    with pytest.raises(InputError, match=r"other.jpg is a damaged image, or cut short"):
        requests.records(request, outputs | {"score": np.array([-0.5, np.nan], np.float32)})
    assert reads == paths


def test_several_captions_are_shown_with_their_scores(paths):
    request = requests.parse(paths[:1], AnswerOptions(n_best=True), {})
    assert request.signature == "n_best"
    captions = np.array([[b"a dog", b"dogs"]], dtype=object)
    (record,) = requests.records(request, {"captions": captions, "scores": np.array([[-0.5, -1.25]], np.float32)})
    assert record == {"image": paths[0], "captions": ["a dog", "dogs"], "scores": [-0.5, -1.25]}
    assert requests.show(record) == f"{paths[0]}\n  -0.500  a dog\n  -1.250  dogs"


HUGE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (2**31 - 1).to_bytes(4, "big") * 2 + bytes(20)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; replace it"),
        (b"text", "is no JPEG, PNG"),
        (HUGE, "megapixels; shrink it"),
        (b"\xff\xd8\xff", "is a damaged image"),
    ],
)
def test_what_the_model_could_not_decode_is_named(paths, content, message):
    Path(paths[1]).write_bytes(content)
    scores = np.array([-0.5, np.nan], np.float32)
    for outputs in ({"score": scores}, {"captions": None, "scores": scores[:, None]}):
        with pytest.raises(InputError, match=rf"other.jpg .*{message}"):
            requests.records(requests.parse(paths, AnswerOptions(), {}), outputs)


def test_the_warm_up_is_an_image_for_each_signature_of_every_export():
    inputs = requests.warmup({})
    assert set(inputs) == {"serving_default", "n_best"}
    (content,) = inputs["n_best"]["image_bytes"]
    assert content.startswith(b"\x89PNG")


def test_neither_tensorflow_nor_pandas_is_loaded():
    code = (
        "import sys, apps.image_captioning.application, apps.image_captioning.requests\n"
        "print({'tensorflow', 'keras', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
