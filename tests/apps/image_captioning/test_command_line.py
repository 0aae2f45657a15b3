"""Training, resuming, evaluation beside baselines, and bad input, at the command line."""

import json
import math
import shutil
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest

from apps.image_captioning.efficientnet_lite import pretrained_encoder
from recur.training.runs import Run

pytestmark = pytest.mark.slow


def checkpoint(run: Run) -> list[np.ndarray]:
    with np.load(run.checkpoint) as state:
        return [state[name] for name in sorted(set(state.files) - {"progress"})]


def test_evaluate_measures_beside_the_most_frequent_caption_and_retrieval(image_captioning, tiny_captioning_run):
    run = Path(shutil.copytree(tiny_captioning_run, "run"))
    answer = image_captioning("evaluate", "run", "--json")
    assert answer.status == 0
    metrics = json.loads(answer.output)
    assert set(metrics["baselines"]) == {"most_frequent", "retrieval"}
    for values in (metrics["metrics"], *metrics["baselines"].values()):
        assert {"bleu1", "bleu4", "rouge_l", "chrf", "cider"} <= set(values)
        assert all(math.isfinite(value) for value in values.values())
    assert metrics["metrics"]["bleu1"] > 80
    assert metrics["metrics"]["bleu4"] > metrics["baselines"]["most_frequent"]["bleu4"]
    assert {"attention.png", "contact_sheet.png"} <= {path.name for path in (run / "plots").iterdir()}


def test_stopped_and_resumed_equals_never_stopped(image_captioning, tiny_captioning_run):
    shutil.copytree(tiny_captioning_run.parent / "stopped", "run")
    assert image_captioning("train", "--resume", "run").status == 0
    for result, expected in zip(checkpoint(Run(Path("run"))), checkpoint(Run(tiny_captioning_run)), strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minimum-count", "1000"], "lower --minimum-count"),
        (["--longest", "1"], "raise --longest"),
        (["--caption-column", "text"], "--caption-column"),
        (["--cell", "lsmt"], "cell"),
        (["--encoder", "vgg"], "encoder"),
        (["--beam-width", "0"], "beam-width"),
    ],
)
def test_bad_settings_are_refused(image_captioning, squares, tiny_flags, words, message):
    assert message in image_captioning.refused("train", "--data", squares, *tiny_flags, *words)


def test_a_bad_image_is_named_or_left_out_and_counted(image_captioning, squares, tiny_flags):
    shutil.copytree(squares, "data")
    Path("data/03.png").write_bytes(Path("data/03.png").read_bytes()[:100])
    Path("data/31.png").write_text("no image")
    message = image_captioning.refused("train", "--data", "data", *tiny_flags)
    assert "03.png is a damaged image, or cut short" in message
    assert "--skip-bad" in message
    short = ["--epochs", "1", "--steps-per-epoch", "1", "--out", "run"]
    answer = image_captioning("train", "--data", "data", *tiny_flags, *short, "--skip-bad")
    assert answer.status == 0
    assert "left out: 2 images that cannot be decoded; the first: " in answer.errors


def test_inputs_that_are_no_images_are_refused(image_captioning, tiny_captioning_run):
    Path("text.jpg").write_text("no image")
    Path("empty.png").write_bytes(b"")
    PIL.Image.new("RGB", (8, 8)).save("cut.png")
    Path("cut.png").write_bytes(Path("cut.png").read_bytes()[:40])
    for path, message in {
        "missing.jpg": "there is no file missing.jpg",
        "text.jpg": "is no JPEG",
        "empty.png": "is empty",
        "cut.png": "damaged",
        ".": "is no file",
    }.items():
        assert message in image_captioning.refused("predict", tiny_captioning_run, path)


def test_damaged_words_are_refused(image_captioning, tiny_captioning_run):
    run = Path(shutil.copytree(tiny_captioning_run, "run"))
    for damaged in ("", "a\na\n", "a"):
        (run / "assets/words.txt").write_text(damaged)
        assert "assets is damaged" in image_captioning.refused("predict", "run", "a.png")


def test_training_the_last_blocks_changes_them_and_no_others(
    image_captioning, squares, tiny_flags, tiny_captioning_run
):
    words = ["--trained-blocks", "1", "--mirror", "--pretrained", str(tiny_captioning_run), "--batch-size", "4"]
    shorter = ["--epochs", "1", "--steps-per-epoch", "2", "--out", "run"]
    assert image_captioning("train", "--data", squares, *tiny_flags, *words, *shorter).status == 0
    encoder = keras.saving.load_model("run/model.keras").encoder
    for layer, before in zip(encoder.layers, pretrained_encoder().layers, strict=True):
        same = all(np.array_equal(*pair) for pair in zip(layer.get_weights(), before.get_weights(), strict=True))
        assert same == (not (layer.weights and layer.name.startswith(("block15", "head")))), layer.name
    # What the encoder sees is not what the packaged one saw: self-critical training reads it anew.
    refined = ["--self-critical-epochs", "1", "--self-critical-batch-size", "20", "--pretrained", "run"]
    assert image_captioning("train", "--data", squares, *tiny_flags, *refined, "--out", "refined").status == 0
    after = keras.saving.load_model("refined/model.keras").encoder
    for result, expected in zip(after.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trained-blocks", "1", "--encoder", "MobileNetV2"], "leave out --trained-blocks"),
        (["--trained-blocks", "1", "--self-critical-epochs", "1"], "train it first"),
        (["--trained-blocks", "17"], "--trained-blocks"),
    ],
)
def test_what_cannot_be_trained_is_refused(image_captioning, squares, tiny_flags, words, message):
    assert message in image_captioning.refused("train", "--data", squares, *tiny_flags, *words)
