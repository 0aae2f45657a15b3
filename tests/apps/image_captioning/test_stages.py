"""Self-critical training: what is drawn is what is learnt from, and what is worth more becomes likelier."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from apps.image_captioning.assets import FIRST, CaptionVocabulary
from apps.image_captioning.efficientnet_lite import pretrained_encoder
from apps.image_captioning.metrics import CaptionReward, with_endings
from apps.image_captioning.model import CaptioningModel
from apps.image_captioning.stages import SelfCriticalModel, advantages, image_datasets
from recur.text.subwords import BEGIN, END
from recur.text.words import PADDING, UNKNOWN
from tests.apps.image_captioning.conftest import SMALL_MODEL
from tests.conftest import kept_as_stopped

pytestmark = pytest.mark.slow

LONGEST = 6
SETTINGS = SMALL_MODEL | {"context_dropout": 0.1, "self_critical_samples": 4, "self_critical_longest": LONGEST}


def sevens(images: np.ndarray, written: np.ndarray) -> np.ndarray:
    """Worth: how often a caption says word 7."""
    return (written == 7).sum(axis=1).astype(np.float32)


def learner(**settings) -> SelfCriticalModel:
    keras.utils.set_random_seed(0)
    model = SelfCriticalModel(sevens, sevens, **SETTINGS | settings)
    model.build()
    return model


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).uniform(0, 6, (3, 7, 7, 1280)).astype(np.float16)


@pytest.mark.parametrize("settings", [{}, {"layers": 2}, {"attention": False}], ids=str)
def test_likelihoods_are_those_of_the_steps_that_drew(features, settings):
    model = learner(**settings, context_dropout=0.0)
    regions = model.regions(features)
    summary = tf.reduce_mean(regions, axis=1)
    written = model.write(summary, regions, 4, tf.constant([1, 2], tf.uint32))
    result = model.log_likelihoods(written, summary, regions)
    states, memory = model.begin(np.repeat(features, 4, axis=0))
    expected, last = np.zeros(12), np.full(12, BEGIN, np.int32)
    for symbols in written.numpy().T:
        logits, states, _ = model.step(tf.constant(last), states, memory)
        logits = logits.numpy()
        logits[:, [PADDING, UNKNOWN, BEGIN]] = -1e9
        chosen = tf.nn.log_softmax(logits).numpy()[np.arange(12), symbols]
        expected += np.where(symbols != PADDING, chosen, 0)
        last = symbols
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_captions_end_once_and_have_words_alone(features):
    model = learner()
    regions = model.regions(np.repeat(features, 20, axis=0))
    written = model.write(tf.reduce_mean(regions, axis=1), regions, 4, tf.constant([3, 4], tf.uint32)).numpy()
    assert written.shape == (240, LONGEST)
    assert not np.isin(written, [UNKNOWN, BEGIN]).any()
    lengths = (written != PADDING).sum(axis=1)
    for row, length in zip(written, lengths, strict=True):
        assert (row[:length] != PADDING).all()
        assert END not in row[: length - 1]
        assert row[length - 1] == END or length == LONGEST
    assert len(np.unique(written, axis=0)) > 100  # drawn, each by itself
    greedy = model.write(tf.reduce_mean(regions, axis=1), regions).numpy()
    assert len(np.unique(greedy, axis=0)) <= 3  # of three images


def test_what_is_worth_more_becomes_likelier(features):
    model = learner()
    model.compile(keras.optimizers.AdamW(0.02))
    batches = tf.data.Dataset.from_tensors({"features": features, "image": np.arange(3, dtype=np.int32)})
    before = model.evaluate(batches, verbose=0)
    model.fit(batches.repeat(60), shuffle=False, verbose=0)
    assert model.evaluate(batches, verbose=0) == pytest.approx(-LONGEST)
    assert before > -LONGEST


def test_weights_are_those_of_the_model_that_is_kept(features):
    model = learner()
    keras.utils.set_random_seed(1)
    kept = CaptioningModel(**SETTINGS)
    kept.build()
    kept.set_weights(model.get_weights())
    inputs = {"features": features, "words": np.full((3, 2), BEGIN, np.int32)}
    np.testing.assert_array_equal(kept(inputs), model(inputs))


@given(st.lists(st.floats(0, 10, width=32), min_size=2, max_size=8))
def test_advantages_of_an_image_are_none_together_and_all_alike_gain_nothing(worth):
    result = advantages(tf.constant([worth])).numpy()[0]
    assert result.sum() == pytest.approx(0, abs=1e-3)
    assert advantages(tf.constant([[worth[0]] * len(worth)])).numpy() == pytest.approx(0, abs=1e-4)


def test_a_caption_that_does_not_end_is_worth_less():
    train = [["A dog runs on the grass.", "A dog is running"], ["A man sits.", "The man sits on a bench"]]
    vocabulary = CaptionVocabulary.fit((text for texts in train for text in texts), 1)
    reward = CaptionReward(vocabulary, train)
    (ids,) = vocabulary.encode(["a dog runs on the grass"])
    ended = np.zeros((4, 9), np.int32)
    ended[0, :7] = [*ids, END]
    ended[1, :6] = ids
    ended[2, :6] = [*ids[:5], END]
    ended[3, :1] = END
    references = with_endings(train)[:1] * 4
    result = reward(ended, references)
    assert result[0] > result[1] > result[2] > result[3]
    assert (ids >= FIRST).all()


def test_every_image_once_a_pass_and_the_same_after_a_stop():
    features = np.arange(10, dtype=np.float16).reshape(10, 1, 1, 1)
    data = image_datasets(features, features[:5], 3, seed=0)
    assert data.steps_per_pass == 3
    batches = list(data.train(0).take(7).as_numpy_iterator())
    for begin in (0, 3):
        images = np.concatenate([batch["image"] for batch in batches[begin : begin + 3]])
        assert len(set(images)) == 9
    for batch in batches:
        np.testing.assert_array_equal(batch["features"].ravel(), batch["image"])
    for result, expected in zip(data.train(4).take(3).as_numpy_iterator(), batches[4:], strict=True):
        np.testing.assert_array_equal(result["image"], expected["image"])
    images = np.concatenate([batch["image"] for batch in data.validation.as_numpy_iterator()])
    np.testing.assert_array_equal(images, np.arange(5))


REFINED = ["--self-critical-epochs", "2", "--self-critical-batch-size", "20", "--self-critical-learning-rate", "0.001"]


def test_a_run_goes_from_cross_entropy_to_self_critical_training(image_captioning, squares, tiny_flags):
    shorter = ["--steps-per-epoch", "10", "--out", "run"]
    assert image_captioning("train", "--data", squares, *tiny_flags, *REFINED, *shorter).status == 0
    record = json.loads(Path("run/config.json").read_text())
    assert set(record["stages"]) == {"cross_entropy"}
    assert len(Path("run/stages/cross_entropy/history.csv").read_text().splitlines()) == 1 + 2
    assert len(Path("run/history.csv").read_text().splitlines()) == 1 + 2
    model = keras.saving.load_model("run/model.keras")
    assert type(model) is CaptioningModel
    for result, expected in zip(model.encoder.get_weights(), pretrained_encoder().get_weights(), strict=True):
        np.testing.assert_array_equal(result, expected)
    assert image_captioning("predict", "run", squares / "00.png").status == 0


def test_from_another_run_it_is_resumed_as_if_never_stopped(image_captioning, squares, tiny_flags, tiny_captioning_run):
    words = ["train", "--data", squares, *tiny_flags, *REFINED, "--pretrained", str(tiny_captioning_run)]
    with kept_as_stopped(Path("stopped"), lambda trainer: trainer.progress.epoch == 1):
        assert image_captioning(*words, "--out", "whole").status == 0
    history = pd.read_csv("whole/history.csv")
    assert history["val_loss"].min() < -3  # CIDEr-D, of at most 10
    assert image_captioning("train", "--resume", "stopped").status == 0
    with np.load("stopped/checkpoint/state.npz") as result, np.load("whole/checkpoint/state.npz") as expected:
        for name in set(expected.files) - {"progress"}:
            np.testing.assert_array_equal(result[name], expected[name])
    assert "square on the" in image_captioning("predict", "stopped", squares / "00.png").output


def test_a_run_of_another_size_is_not_begun_with(image_captioning, squares, tiny_flags, tiny_captioning_run):
    shutil.copytree(tiny_captioning_run, "run")
    message = image_captioning.refused(
        "train", "--data", squares, *tiny_flags, *REFINED, "--units", "16", "--pretrained", "run", "--out", "new"
    )
    assert "has --units 32 and not 16; say the same" in message
    assert "runs/missing" in image_captioning.refused(
        "train", "--data", squares, *tiny_flags, "--pretrained", "runs/missing"
    )
