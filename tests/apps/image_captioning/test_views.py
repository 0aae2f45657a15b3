"""Images as they are shown to an encoder that is trained, and that training it changes it."""

import keras
import numpy as np
import pytest

from apps.image_captioning.efficientnet_lite import pretrained_encoder
from apps.image_captioning.views import random_views

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pixels():
    """Images whose red grows from left to right and whose green grows from top to bottom."""
    rows, columns = np.meshgrid(np.arange(40), np.arange(50), indexing="ij")
    image = np.stack([5 * columns, 6 * rows, 0 * rows], axis=-1).astype(np.uint8)
    return np.tile(image, (200, 1, 1, 1))


def test_a_view_is_most_of_an_image_and_the_same_for_the_same_seed(pixels):
    views = random_views(pixels, mirror=False, seed=1)
    assert views.shape == pixels.shape
    assert views.dtype == np.uint8
    np.testing.assert_array_equal(views, random_views(pixels, mirror=False, seed=1))
    assert (views != random_views(pixels, mirror=False, seed=2)).any()
    widths = (views[:, 20, -1, 0] - views[:, 20, 0, 0].astype(int)) / (5 * 49)
    assert widths.min() > 0.78
    assert widths.max() < 1.01
    heights = (views[:, -1, 20, 1] - views[:, 0, 20, 1].astype(int)) / (6 * 39)
    assert heights.min() > 0.78
    assert abs(np.corrcoef(widths, heights)[0, 1]) < 0.3  # each by itself


def test_half_of_the_images_are_mirrored_where_that_is_asked_for(pixels):
    views = random_views(pixels, mirror=True, seed=1).astype(int)
    mirrored = views[:, 20, 0, 0] > views[:, 20, -1, 0]
    assert 0.35 < mirrored.mean() < 0.65
    assert (views[:, -1, 20, 1] > views[:, 0, 20, 1]).all()  # never upside down


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
    for found, expected in zip(after.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


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
