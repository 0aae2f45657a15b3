"""The character model: carried state, tied output, saving, learning; and how it is evaluated."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.text_generation.application import APPLICATION
from apps.text_generation.assets import Vocabulary
from apps.text_generation.config import TextGenerationConfig
from apps.text_generation.evaluate import Reader, carried_surprise, counting_baselines, fresh_window_nats
from apps.text_generation.model import CharacterLanguageModel
from recur.data.batches import stream_batches

pytestmark = pytest.mark.slow

VOCABULARY = Vocabulary("\n abcdefgh")


def build(seed: int = 0, **settings) -> CharacterLanguageModel:
    keras.utils.set_random_seed(seed)
    config = TextGenerationConfig(**{"units": 12, "embedding_units": 6, "batch_size": 3, "dropout": 0.0} | settings)
    return APPLICATION.task.build(config, VOCABULARY)


def random_symbols(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, len(VOCABULARY), shape).astype(np.int32)


def batch(symbols: np.ndarray, carry: float) -> dict[str, tf.Tensor]:
    return {"symbols": tf.constant(symbols), "carry": tf.fill([len(symbols)], carry)}


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_the_state_is_carried_from_batch_to_batch_where_the_stream_goes_on(cell):
    model, symbols = build(cell=cell, layers=2), random_symbols(3, 12)
    whole, _ = model.advance(symbols, model.zero_states(3))
    model(batch(symbols[:, :5], 0.0), training=True)
    second = model(batch(symbols[:, 5:], 1.0), training=True)
    np.testing.assert_allclose(second, whole[:, 5:], atol=1e-5)
    afresh = model(batch(symbols[:, :5], 0.0), training=True)
    np.testing.assert_allclose(afresh, whole[:, :5], atol=1e-5)


def test_validation_does_not_touch_the_state_that_training_carries():
    model, symbols = build(), random_symbols(3, 8)
    model(batch(symbols[:, :4], 0.0), training=True)
    model(batch(symbols[:, ::-1][:, :4].copy(), 0.0), training=False)
    went_on = model(batch(symbols[:, 4:], 1.0), training=True)
    whole, _ = model.advance(symbols, model.zero_states(3))
    np.testing.assert_allclose(went_on, whole[:, 4:], atol=1e-5)


def test_the_gradient_is_cut_at_the_window():
    model, symbols = build(), random_symbols(3, 6)
    model(batch(symbols[:, :3], 0.0), training=True)
    carried = [tf.identity(state.value) for state in model.carried["training"]]
    with tf.GradientTape(persistent=True) as tape:
        cut = tf.reduce_sum(model(batch(symbols[:, 3:], 1.0), training=True))
        constant, _ = model.advance(symbols[:, 3:], carried)
        constant = tf.reduce_sum(constant)
    for found, wanted in zip(
        tape.gradient(cut, [v.value for v in model.trainable_variables]),
        tape.gradient(constant, [v.value for v in model.trainable_variables]),
        strict=True,
    ):
        np.testing.assert_allclose(tf.convert_to_tensor(found), tf.convert_to_tensor(wanted), atol=1e-4)


@pytest.mark.parametrize("embedding_units", [6, 12])
def test_a_tied_output_has_no_weights_of_its_own_for_symbols(embedding_units):
    tied, free = (build(tie_output=t, embedding_units=embedding_units) for t in (True, False))
    shapes = [tuple(v.shape) for v in tied.trainable_variables]
    assert (12, len(VOCABULARY)) not in shapes
    assert tied.count_params() < free.count_params()
    logits, _ = tied.advance(random_symbols(3, 4), tied.zero_states(3))
    assert logits.shape == (3, 4, len(VOCABULARY))


def test_a_saved_model_opens_as_it_was(tmp_path):
    model, symbols = build(tie_output=True, layers=2), random_symbols(3, 5)
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        opened.advance(symbols, opened.zero_states(3))[0], model.advance(symbols, model.zero_states(3))[0]
    )


def test_a_tiny_text_can_be_learnt_by_heart():
    symbols = np.tile(VOCABULARY.encode("abcabdabeabf\n"), 12)
    model = build(units=32, batch_size=3)
    model.compile(keras.optimizers.Adam(0.02), **APPLICATION.task.objective(TextGenerationConfig()))
    model.fit(stream_batches(symbols, 3, 13, seed=0)(0), steps_per_epoch=300, shuffle=False, verbose=0)
    assert carried_surprise(Reader(model), symbols, streams=1)[13:].mean() < 0.05


def test_streams_with_burn_in_find_what_one_long_reading_finds():
    model, symbols = build(units=16), random_symbols(1, 2000)[0]
    reader = Reader(model, chunk=100)
    one = carried_surprise(reader, symbols, streams=1)
    many = carried_surprise(reader, symbols, streams=8, burn_in=200)
    assert one.shape == many.shape == (1999,)
    np.testing.assert_allclose(many, one, atol=1e-4)
    logits, _ = model.advance(symbols[None, :-1], model.zero_states(1))
    direct = tf.nn.sparse_softmax_cross_entropy_with_logits(symbols[None, 1:], logits)[0]
    np.testing.assert_allclose(one, direct, atol=1e-4)


def test_fresh_windows_begin_with_nothing():
    model, symbols = build(), random_symbols(1, 100)[0]
    wanted = tf.nn.sparse_softmax_cross_entropy_with_logits(
        np.stack([symbols[i * 10 + 1 : i * 10 + 11] for i in range(9)]),
        model.advance(np.stack([symbols[i * 10 : i * 10 + 10] for i in range(9)]), model.zero_states(9))[0],
    )
    assert fresh_window_nats(Reader(model), symbols, window=10) == pytest.approx(
        float(tf.reduce_mean(wanted)), abs=1e-5
    )


def test_counting_baselines_are_ordered_on_text_with_structure():
    symbols = np.tile(VOCABULARY.encode("abcabdabeabf\n"), 40)
    found = counting_baselines(symbols, symbols[:200], len(VOCABULARY))
    nats = [found[name]["nats_per_char"] for name in ("uniform", "unigram", "5-gram", "7-gram")]
    assert nats[0] == pytest.approx(math.log(len(VOCABULARY.characters)))
    assert nats == sorted(nats, reverse=True)
