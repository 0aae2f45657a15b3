"""Networks of `keras.applications` see pixels as Keras's own preprocessing shows them."""

import importlib

import keras
import numpy as np
import pytest

from apps.image_captioning.encoders import PREPROCESSING, encoder
from recur.errors import InputError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("MobileNetV2", "mobilenet_v2"),
        ("VGG16", "vgg16"),
        ("DenseNet121", "densenet"),
        ("EfficientNetB0", "efficientnet"),
        ("MobileNetV3Small", "mobilenet_v3"),
    ],
)
def test_pixels_are_preprocessed_as_keras_does(name, module):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    network = encoder(name).build()
    preprocess = importlib.import_module(f"keras.applications.{module}").preprocess_input
    expected = network.layers[-1](preprocess(pixels.astype(np.float32)), training=False)
    result = network(pixels, training=False)
    assert result.shape[1:3] == (7, 7)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_all_are_networks_of_keras():
    assert all(callable(getattr(keras.applications, name)) for name in PREPROCESSING)


def test_one_is_saved_and_read_again(tmp_path):
    network = encoder("VGG16").build()
    network.save(tmp_path / "network.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "network.keras")(pixels), network(pixels))


def test_an_unknown_one_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="MobileNetV2"):
        encoder("MobilNetV2")


def test_weights_that_cannot_be_had_are_said(monkeypatch, tmp_path):
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    with pytest.raises(InputError, match="cannot get the ImageNet weights of MobileNetV2"):
        encoder("MobileNetV2").pretrained()
