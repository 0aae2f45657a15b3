"""The network knows what ImageNet's networks know, and a saved one needs nothing but Keras."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.image_captioning.efficientnet_lite import (
    EPSILON,
    efficientnet_lite0,
    load_weights,
    pretrained_encoder,
    read_packaged_weights,
    train_last_blocks,
)
from apps.image_captioning.images import decoded
from tests.apps.image_captioning.conftest import PHOTOGRAPHS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights():
    return read_packaged_weights()


@pytest.fixture(scope="module")
def encoder():
    return pretrained_encoder()


@pytest.fixture(scope="module")
def pixels():
    return decoded(path.read_bytes() for path in PHOTOGRAPHS.values())


def test_photographs_are_what_they_show(weights, encoder, pixels):
    network = efficientnet_lite0(classify=True)
    load_weights(network, weights)
    logits = network(pixels).numpy()
    ranked = dict(zip(PHOTOGRAPHS, np.argsort(-logits).tolist(), strict=True))
    assert ranked["grace_hopper"][0] == 652  # military uniform
    assert ranked["flower"][0] == 985  # daisy
    assert 698 in ranked["china"][:5]  # palace

    features = encoder(pixels).numpy()
    assert features.shape == (3, 7, 7, 1280)
    assert (features.min(), features.max()) == (0, 6)
    pooled = features.mean((1, 2)) @ weights["_fc.weight"].T + weights["_fc.bias"]
    np.testing.assert_allclose(logits, pooled, atol=1e-3)


def test_folding_changes_nothing(weights, encoder, pixels):
    def normalised(x, name):
        scale, shift, mean, variance = (
            weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return tf.nn.batch_normalization(x, mean, variance, shift, scale, EPSILON)

    def kernel(name, *axes):
        return tf.constant(weights[f"{name}.weight"].transpose(axes))

    x = (tf.cast(pixels, tf.float32) - 127) / 128
    x = tf.nn.conv2d(x, kernel("_conv_stem", 2, 3, 1, 0), 2, "SAME")
    x = tf.nn.relu6(normalised(x, "_bn0"))
    x = tf.nn.depthwise_conv2d(x, kernel("_blocks.0._depthwise_conv", 2, 3, 0, 1), [1, 1, 1, 1], "SAME")
    x = tf.nn.relu6(normalised(x, "_blocks.0._bn1"))
    x = tf.nn.conv2d(x, kernel("_blocks.0._project_conv", 2, 3, 1, 0), 1, "SAME")
    x = normalised(x, "_blocks.0._bn2")
    folded = keras.Model(encoder.input, encoder.get_layer("block0_project").output)(pixels)
    np.testing.assert_allclose(folded, x, atol=1e-4)


def test_a_saved_one_opens_without_the_package(encoder, pixels, tmp_path, monkeypatch):
    encoder.save(tmp_path / "encoder.keras")
    with zipfile.ZipFile(tmp_path / "encoder.keras") as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    assert {layer["module"] for layer in layers} == {"keras.layers"}  # none of our own
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    opened = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(opened(pixels[:1]), encoder(pixels[:1]))


@pytest.mark.parametrize(
    ("blocks", "first", "last_frozen"), [(2, "block14_expand", "block13"), (16, "block0_depthwise", "stem")]
)
def test_the_last_blocks_alone_are_trained(blocks, first, last_frozen):
    encoder = efficientnet_lite0()
    train_last_blocks(encoder, blocks)
    trained = [layer.name for layer in encoder.layers if layer.trainable_weights]
    assert (trained[0], trained[-1]) == (first, "head")
    assert not any(name.startswith(last_frozen) for name in trained)
    train_last_blocks(encoder, 0)
    assert not encoder.trainable_weights
