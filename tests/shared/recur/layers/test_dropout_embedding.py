"""Embedding dropout, and what is relied on in Keras's variational dropout."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers.regularization import DropoutEmbedding

WORDS = 40


def words(batch=3, time=50):
    return np.random.default_rng(0).integers(0, WORDS, (batch, time))


@settings(max_examples=5, deadline=None)
@given(rate=st.floats(0, 0.9), seed=st.integers(0, 1000))
def test_a_word_is_dropped_everywhere_or_scaled_everywhere(rate, seed):
    layer = DropoutEmbedding(WORDS, 4, dropout=rate, seed=seed)
    plain, drawn = np.asarray(layer(words())), np.asarray(layer(words(), training=True))
    for word in range(WORDS):
        here = words() == word
        factor = 0 if not drawn[here].any() else 1 / (1 - rate)
        np.testing.assert_allclose(drawn[here], factor * plain[here], rtol=1e-5)


def test_words_are_dropped_at_the_rate_by_the_seed_and_in_training_only():
    layers = [DropoutEmbedding(4000, 1, dropout=0.3, embeddings_initializer="ones", seed=seed) for seed in (1, 1, 2)]
    ids = np.arange(4000)[None]
    first, again, other = (np.asarray(layer(ids, training=True)) for layer in layers)
    assert abs((first == 0).mean() - 0.3) < 0.04
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != np.asarray(layers[0](ids, training=True))).any()
    assert (np.asarray(layers[0](ids)) == 1).all()


def test_masks_and_half_precision_go_through():
    layer = DropoutEmbedding(WORDS, 4, mask_zero=True, dtype="mixed_bfloat16")
    assert layer(words(), training=True).dtype == "bfloat16"
    np.testing.assert_array_equal(layer.compute_mask(words()), words() != 0)
    model = keras.Sequential([layer, keras.layers.LSTM(2)])
    padded = np.concatenate([np.full((1, 4), 7), np.zeros((1, 3), int)], axis=1)
    np.testing.assert_array_equal(model(padded), model(padded[:, :5]))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_saved_model_opens_as_it_was(tmp_path):
    layer = DropoutEmbedding(WORDS, 4, dropout=0.2, seed=5, mask_zero=True)
    model = keras.Sequential([keras.Input((None,)), layer, keras.layers.LSTM(2)])
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(opened(words()), model(words()))
    assert opened.layers[0].get_config() == layer.get_config()


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"dropout is 1\.0"):
        DropoutEmbedding(4, 2, dropout=1.0)


def test_spatial_dropout_is_variational_dropout():
    layer = keras.layers.SpatialDropout1D(0.4, seed=1)
    drawn = np.asarray(layer(np.ones((8, 5, 100), "float32"), training=True))
    np.testing.assert_array_equal(drawn, drawn[:, :1].repeat(5, axis=1))
    np.testing.assert_allclose(np.unique(drawn), [0, 1 / 0.6], rtol=1e-6)
    assert (drawn[0] != drawn[1]).any()
    assert abs((drawn == 0).mean() - 0.4) < 0.08
    assert layer.supports_masking
