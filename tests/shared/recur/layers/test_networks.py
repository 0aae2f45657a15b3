"""The networks by name: what goes in and out, padding, learning, files; and names that do not exist."""

import keras
import numpy as np
import pytest

from recur.layers.builders import (
    NETWORKS,
    attention_decoder,
    encoder_decoder,
    many_to_many,
    many_to_one,
    one_to_many,
    one_to_one,
    recurrent_layer,
    recurrent_network,
)
from recur.layers.networks import RecurrentEncoder
from recur.layers.pooling import POOLINGS
from recur.layers.stack import RecurrentStack

pytestmark = pytest.mark.slow

FEATURES, UNITS = 3, 4


def sequences(batch=2, time=5):
    return np.random.default_rng(0).normal(size=(batch, time, FEATURES)).astype("float32")


def test_one_to_one_goes_on_from_its_state():
    keras.utils.set_random_seed(3)
    network = one_to_one("lstm", UNITS, 2)
    inputs = sequences()
    outputs, _ = network.stack(inputs)
    states = None
    for t in range(inputs.shape[1]):
        output, states = network(inputs[:, t], states)
        np.testing.assert_allclose(output, outputs[:, t], atol=1e-5)


def test_one_to_many_is_conditioned_by_the_vector_and_steps_as_it_reads():
    keras.utils.set_random_seed(3)
    network, inputs, vector = one_to_many("gru", UNITS, 2), sequences(), np.ones([2, 6], "float32")
    outputs, after = network(inputs, vector)
    assert np.abs(network(inputs, vector + 1)[0] - outputs).max() > 1e-3
    states = network.initial_states(vector)
    for t in range(inputs.shape[1]):
        output, states = network.step(inputs[:, t], states)
        np.testing.assert_allclose(output, outputs[:, t], atol=1e-5)
    for actual, wanted in zip(states, after, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_many_to_one_does_not_see_padding(pooling, bidirectional):
    keras.utils.set_random_seed(3)
    network = many_to_one("lstm", UNITS, pooling=pooling, bidirectional=bidirectional)
    inputs, lengths = sequences(3, 6), [1, 4, 0]
    mask = np.arange(6) < np.array(lengths)[:, None]
    pooled = network(np.where(mask[..., None], inputs, 1e3), mask=mask)
    assert pooled.shape == (3, UNITS * (2 if bidirectional else 1) * (3 if pooling == "concat" else 1))
    for row, length in enumerate(lengths[:2]):
        np.testing.assert_allclose(pooled[row], network(inputs[row : row + 1, :length])[0], atol=1e-5)
    np.testing.assert_array_equal(pooled[2], 0)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_last_pooling_is_the_encoders_summary(bidirectional):
    keras.utils.set_random_seed(3)
    network = many_to_one("lstm", UNITS, 2, bidirectional=bidirectional)
    mask = np.arange(5) < np.array([[5], [2]])
    pooled = network(sequences(), mask=mask)
    _, states = network.encoder(sequences(), mask=mask)
    np.testing.assert_allclose(pooled, network.encoder.summary(states), atol=1e-6)


def test_many_to_many_is_a_stack_forward_and_an_encoder_in_both_directions():
    assert isinstance(many_to_many("gru", UNITS), RecurrentStack)
    both = many_to_many("gru", UNITS, 2, bidirectional=True)
    assert isinstance(both, RecurrentEncoder)
    assert both(sequences())[0].shape == (2, 5, 2 * UNITS)


@pytest.mark.parametrize("pooling", ["max", "attention"])
def test_many_to_one_learns_from_an_early_step(pooling):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).integers(1, 4, (32, 6))
    inputs = keras.Input([None], dtype="int32")
    embedded = keras.layers.Embedding(4, 6, mask_zero=True)(inputs)
    pooled = many_to_one("gru", 8, pooling=pooling)(embedded)
    model = keras.Model(inputs, keras.layers.Dense(3)(pooled))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss)
    losses = model.fit(x, x[:, 0] - 1, batch_size=32, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.2 * losses[0]


MODELS = {
    "one_to_one": lambda x: recurrent_network("one_to_one", "gru", UNITS)(x[:, 0])[0],
    "one_to_many": lambda x: recurrent_network("one_to_many", "lstm", UNITS, 2)(x, x[:, 0])[0],
    "many_to_one": lambda x: recurrent_network("many_to_one", "gru", UNITS, pooling="attention")(x),
    "many_to_many": lambda x: recurrent_network("many_to_many", "lstm", UNITS, bidirectional=True)(x)[0],
    "encoder_decoder": lambda x: recurrent_network("encoder_decoder", "gru", UNITS)(x, x)[0],
}


@pytest.mark.parametrize("shape", NETWORKS)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_saved_network_opens_as_it_was(shape, tmp_path):
    inputs = keras.Input([None, FEATURES])
    model = keras.Model(inputs, MODELS[shape](inputs))
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(opened(sequences()), model(sequences()))


def test_names_that_do_not_exist_are_refused_with_those_that_do():
    with pytest.raises(
        ValueError, match="unknown shape 'many'; the shapes are: one_to_one, one_to_many, many_to_one, "
    ):
        recurrent_network("many", "gru", 4)
    with pytest.raises(ValueError, match="unknown cell 'ltsm'; the cells are: simple_rnn, lstm, gru"):
        recurrent_layer("ltsm", 4)
    with pytest.raises(ValueError, match="unknown decoder 'loung'; the decoders are: bahdanau, conditional, luong"):
        attention_decoder("loung", "gru", 4)
    with pytest.raises(ValueError, match="unknown attention 'dot'; the attentions are: bahdanau, luong_dot, "):
        encoder_decoder("gru", 4, attention="dot")
    with pytest.raises(
        ValueError, match="unknown pooling 'average'; the poolings are: last, max, mean, attention, concat"
    ):
        many_to_one("gru", 4, pooling="average")
