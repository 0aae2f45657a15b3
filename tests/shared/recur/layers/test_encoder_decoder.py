"""Encoder and decoder together: padding, learning to reverse, decoding in the graph, export, files."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recur.layers.builders import encoder_decoder
from tfserving_dev.session import NativeSavedModel

pytestmark = pytest.mark.slow

SYMBOLS, LONGEST, START, END = 8, 5, 1, 2  # 0 is padding
NETWORKS = {
    "bahdanau": {"decoder": "bahdanau"},
    "luong": {"decoder": "luong"},
    "luong, input feeding": {"decoder": "luong", "input_feeding": True},
    "luong, dot": {"decoder": "luong", "attention": "luong_dot", "merge_mode": "sum"},
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def reversals(count=48):
    """Padded sequences of symbols, what the decoder reads, and what it shall say: the sequence reversed, and an end."""
    generator = np.random.default_rng(0)
    sources, inputs, targets = (np.zeros([count, LONGEST + 1], "int32") for _ in range(3))
    for row in range(count):
        symbols = generator.integers(3, SYMBOLS, generator.integers(1, LONGEST + 1))
        end = len(symbols)
        sources[row, :end], targets[row, :end], targets[row, end] = symbols, symbols[::-1], END
        inputs[row, 0], inputs[row, 1 : end + 1] = START, symbols[::-1]
    return sources, inputs, targets


def model_of(name, units=24, cell="gru", layers=1):
    """A translator of symbols: embedding, network, logits."""
    keras.utils.set_random_seed(3)
    source, target = keras.Input([None], dtype="int32"), keras.Input([None], dtype="int32")
    embed = keras.layers.Embedding(SYMBOLS, 12, mask_zero=True, name="embedding")
    network = encoder_decoder(cell, units, layers, dropout=0.1, **NETWORKS[name])
    network.name = "network"
    outputs, weights = network(embed(source), embed(target))
    return keras.Model([source, target], [keras.layers.Dense(SYMBOLS, name="logits")(outputs), weights])


class Reverser(tf.Module):
    """Greedy decoding in the graph, by `begin` and `step`."""

    def __init__(self, model):
        super().__init__()
        self.variables_of_model = [variable.value for variable in model.variables]
        self._embed, self._network, self._logits = map(model.get_layer, ("embedding", "network", "logits"))

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, "source")])
    def decode(self, source):
        states, memory = self._network.begin(self._embed(source), source > 0)
        symbol = tf.fill(tf.shape(source)[:1], START)
        said = tf.TensorArray(tf.int32, LONGEST + 1, element_shape=[None])
        for step in tf.range(LONGEST + 1):
            output, states, _ = self._network.step(self._embed(symbol), states, memory)
            ended = (symbol == END) | (symbol == 0)
            symbol = tf.where(ended, 0, tf.argmax(self._logits(output), -1, tf.int32))
            said = said.write(step, symbol)
        return {"said": tf.transpose(said.stack())}

    @tf.function(input_signature=[tf.TensorSpec([None, None, 12], name=name) for name in ("source", "target")])
    def read(self, source, target):
        outputs, weights = self._network(source, target)
        return {"outputs": outputs, "weights": weights}


def first_output(model, sources):
    """What the network says first, step by step."""
    embed, network = map(model.get_layer, ("embedding", "network"))
    states, memory = network.begin(embed(sources), sources > 0)
    return network.step(embed(np.full(len(sources), START)), states, memory)[0]


@pytest.fixture(scope="module", params=["bahdanau", "luong, input feeding"])
def trained(request):
    model = model_of(request.param)
    sources, inputs, targets = reversals()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(0.02), [loss, None])
    history = model.fit([sources, inputs], targets, batch_size=48, epochs=60, shuffle=False, verbose=0).history["loss"]
    return model, history


def test_a_small_set_is_learnt_and_reproduced_by_decoding_in_the_graph(trained):
    model, history = trained
    sources, _, targets = reversals()
    assert history[-1] < 0.05 * history[0]
    module = Reverser(model)
    assert np.mean(np.all(module.decode(sources)["said"] == targets, axis=1)) > 0.9


def test_the_export_answers_in_the_c_loader_as_here(trained, tmp_path):
    model, _ = trained
    module = Reverser(model)
    tf.saved_model.save(module, tmp_path / "1", {"serving_default": module.decode, "read": module.read})
    assert b"XlaMustCompile" not in (tmp_path / "1" / "saved_model.pb").read_bytes()
    sources = reversals()[0]
    generator = np.random.default_rng(1)
    source, target = (generator.normal(size=[2, length, 12]).astype("float32") for length in (4, 3))
    with NativeSavedModel(tmp_path / "1") as loaded:
        answer = loaded.run({"source": sources})
        read = loaded.run({"source": source, "target": target}, "read")
    np.testing.assert_array_equal(answer["said"], module.decode(sources)["said"])
    for name, wanted in module.read(source, target).items():
        np.testing.assert_allclose(read[name], wanted, atol=1e-6)


@each_network
def test_padding_of_the_source_changes_nothing(name):
    model = model_of(name, units=6, cell="lstm")
    sources, inputs, _ = reversals(3)
    logits, weights = model([sources, inputs])
    for row, source in enumerate(sources):
        real = np.count_nonzero(source)
        alone, shares = model([source[None, :real], inputs[row : row + 1]])
        np.testing.assert_allclose(logits[row], alone[0], atol=1e-5)
        np.testing.assert_allclose(weights[row, :, :real], shares[0], atol=1e-5)
        np.testing.assert_array_equal(weights[row, :, real:], 0)


@each_network
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_a_saved_network_opens_as_it_was(name, tmp_path):
    model = model_of(name, units=6, layers=1 if name == "luong, dot" else 2)
    model.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    sources, inputs, _ = reversals(3)
    for actual, wanted in zip(opened([sources, inputs]), model([sources, inputs]), strict=True):
        np.testing.assert_array_equal(actual, wanted)
    np.testing.assert_array_equal(*(first_output(network, sources) for network in (opened, model)))


def test_the_decoder_begins_in_the_encoders_last_state():
    network = encoder_decoder("lstm", 4)
    source = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    network(source, source)
    outputs, states = network.encoder(source)
    begun, memory = network.begin(source)
    for actual, wanted in zip(begun, network.decoder.bridge(states[0]), strict=True):
        np.testing.assert_array_equal(actual, wanted)
    np.testing.assert_array_equal(memory.values, outputs)
    assert memory.mask.numpy().all()
