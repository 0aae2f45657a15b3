"""The model: what it returns, what it is told of places, and that training and decoding agree."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.image_captioning.model import CaptioningModel, Regions, unevenness
from recur.text.subwords import BEGIN
from tests.apps.image_captioning.conftest import SMALL_MODEL

pytestmark = pytest.mark.slow

DROPOUT = {"embedding_dropout": 0.2, "context_dropout": 0.2, "output_dropout": 0.2}
WORDS = np.array([[BEGIN, 5, 6, 7], [BEGIN, 8, 0, 0]], np.int32)


def built(**settings) -> CaptioningModel:
    keras.utils.set_random_seed(0)
    model = CaptioningModel(**SMALL_MODEL | DROPOUT | settings)
    model.build()
    return model


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).uniform(0, 6, (2, 7, 7, 1280)).astype(np.float16)


@pytest.mark.parametrize(
    "settings", [{}, {"layers": 2}, {"attention": False}, {"attention": False, "cell": "gru"}], ids=str
)
def test_steps_of_decoding_are_those_of_training(features, settings):
    model = built(**settings)
    wanted = model({"features": features, "words": WORDS})
    assert wanted.shape == (6, 12)  # of 4 words and of 2
    states, memory = model.begin(features)
    result = []
    for step in range(4):
        logits, states, weights = model.step(tf.constant(WORDS[:, step]), states, memory)
        result.append(logits)
        if settings.get("attention", True):
            np.testing.assert_allclose(tf.reduce_sum(weights, axis=1), 1, atol=1e-5)
        else:
            assert weights is None
    result = np.stack(result, axis=1)
    np.testing.assert_allclose(np.concatenate([result[0], result[1, :2]]), wanted, atol=1e-4)


def test_regularisation_is_added_in_training_alone(features):
    model = built()
    inputs = {"features": features, "words": WORDS}
    model(inputs)
    assert not model.losses
    model(inputs, training=True)
    (loss,) = model.losses
    assert 0 < float(loss) <= 1
    model = built(attention_penalty=0.0)
    model(inputs, training=True)
    assert not model.losses


@pytest.mark.parametrize("attention", [True, False])
def test_scheduled_sampling_reads_guesses_in_training_alone(features, attention):
    plain = {"embedding_dropout": 0.0, "context_dropout": 0.0, "output_dropout": 0.0, "attention": attention}
    inputs = {"features": features, "words": WORDS}
    other, model = built(**plain), built(scheduled_sampling=0.999, **plain)
    model.set_weights(other.get_weights())
    expected = other(inputs)
    np.testing.assert_allclose(model(inputs), expected, atol=1e-5)
    result = model(inputs, training=True).numpy()
    np.testing.assert_allclose(result[[0, 4]], expected.numpy()[[0, 4]], atol=1e-5)  # what follows the begin
    assert np.abs(result[[1, 5]] - expected.numpy()[[1, 5]]).max() > 1e-3


def test_attention_to_every_region_once_costs_nothing():
    weights = np.tile(np.eye(3, dtype=np.float32), (1, 1, 1))
    written = np.ones((1, 3), bool)
    assert float(unevenness(weights, written)) == 0
    written[0, 2] = False
    assert float(unevenness(weights, written)) == pytest.approx(1 / 3)


def test_the_encoder_is_in_the_model_and_is_not_trained():
    model = built()
    assert not model.encoder.trainable_variables
    names = {variable.path for variable in model.trainable_variables}
    assert not any("head" in name or "stem" in name for name in names)
    assert len(model.encoder.variables) < len(model.variables)


def test_blocks_of_the_encoder_are_trained_through_pixels_and_no_others():
    model = built(trained_blocks=2)
    names = {variable.path.split("/")[-2].partition("_")[0] for variable in model.encoder.trainable_variables}
    assert names == {"block14", "block15", "head"}
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    seen = model({"features": model.encoder(pixels), "words": WORDS})
    with tf.GradientTape() as tape:
        logits = model({"pixels": pixels, "words": WORDS})
        loss = tf.reduce_mean(logits[:, 5])
    np.testing.assert_allclose(logits, seen, atol=1e-3)
    gradients = tape.gradient(loss, model.encoder.trainable_variables)
    assert all(float(tf.norm(gradient)) > 0 for gradient in gradients)


def test_regions_know_where_they_are():
    keras.utils.set_random_seed(0)
    regions = Regions(16)(np.ones((1, 7, 7, 3), np.float32)).numpy()[0]
    assert regions.shape == (49, 16)
    assert len(np.unique(regions, axis=0)) == 49


def test_what_is_saved_is_read_again(features, tmp_path):
    model = built()
    model.save(tmp_path / "model.keras")
    other = keras.saving.load_model(tmp_path / "model.keras")
    inputs = {"features": features, "words": WORDS}
    np.testing.assert_array_equal(model(inputs), other(inputs))
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    np.testing.assert_array_equal(model.encoder(pixels), other.encoder(pixels))
