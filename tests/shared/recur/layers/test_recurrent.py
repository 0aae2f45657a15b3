"""The recurrent layers do what Keras's do: outputs, states, gradients, files; and export without XLA."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.layers import recurrent
from recur.layers.loop import graph_loop, sequence_loop
from recur.layers.loop.cells import GRURecurrence, LSTMRecurrence, ResetBeforeGRURecurrence, SimpleRecurrence
from tests.checkout import ROOT

pytestmark = pytest.mark.slow

KINDS = {
    "LSTM": ("LSTM", {}),
    "GRU": ("GRU", {}),
    "GRU, reset before": ("GRU", {"reset_after": False}),
    "SimpleRNN": ("SimpleRNN", {}),
    "SimpleRNN, ReLU": ("SimpleRNN", {"activation": "relu"}),
}
FEATURES, UNITS = 3, 5
BATCH, TIME = 2, 8  # of most sequences, or of the parts that they are read in: one program compiled for many tests
each_kind = pytest.mark.parametrize("kind", KINDS)


def pair(kind, batch=None, **options):
    """Returns our layer and Keras's, with the same random weights."""
    name, given_options = KINDS[kind]
    layers = [getattr(module, name)(UNITS, **given_options, **options) for module in (recurrent, keras.layers)]
    generator = np.random.default_rng(0)
    for layer in layers:
        layer.build((batch, None, FEATURES))
    weights = [generator.normal(0, 0.4, weight.shape) for weight in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def results(layer, x, states, mask, training, graph=True, unknown=False):
    """Returns the outputs and states of a layer, and the gradients of a function of them by all that enters it."""

    def compute(x, states, *mask):
        with tf.GradientTape() as tape:
            tape.watch([x, states])
            outputs = layer(x, initial_state=states, mask=mask[0] if mask else None, training=training)
            outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
            loss = tf.add_n([tf.reduce_sum(tf.sin(tf.cast(output, tf.float32) + 1)) for output in outputs])
        return outputs, tape.gradient(loss, [x, *states, *layer.trainable_variables])

    given = (x, states) if mask is None else (x, states, mask)
    if graph:
        # All but the last dimension unknown, and both of the mask's.
        specs = tf.nest.map_structure(
            lambda tensor: tf.TensorSpec([None] * (len(tensor.shape) - 1) + [tensor.shape[-1]], tensor.dtype), given[:2]
        )
        specs = (*specs, tf.TensorSpec([None, None], tf.bool))[: len(given)]
        compute = tf.function(compute, input_signature=specs if unknown else None)
    return compute(*given)


def both(ours, theirs, x, states, mask, training, graph=True, unknown=False):
    """Results of our layer in a graph, or as asked, and of Keras's eagerly: its graph is not what is tested."""
    given = (x, states, mask, training)
    return results(ours, *given, graph, unknown), results(theirs, *given, graph=False)


def assert_alike(ours, theirs, outputs_within=1e-5, gradients_within=1e-4):
    for within, left, right in zip((outputs_within, gradients_within), ours, theirs, strict=True):
        for a, b in zip(left, right, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(tf.cast(a, "float64"), tf.cast(b, "float64"), rtol=within, atol=within)


def arguments(batch, time, states=1, dtype="float32"):
    generator = np.random.default_rng(1)
    x = tf.constant(generator.normal(size=(batch, time, FEATURES)), dtype)
    return x, [tf.constant(generator.normal(size=(batch, UNITS)), dtype) for _ in range(states)]


def draw_mask(data, batch, time):
    form = data.draw(st.sampled_from(["none", "right", "any"]), "mask")
    if form == "none":
        return None
    if form == "right":
        lengths = data.draw(st.lists(st.integers(0, time), min_size=batch, max_size=batch), "lengths")
        return tf.sequence_mask(lengths, time)
    rows = st.lists(st.booleans(), min_size=time, max_size=time)
    return tf.constant(data.draw(st.lists(rows, min_size=batch, max_size=batch), "rows"))


@each_kind
@settings(max_examples=5, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_parity_with_keras(kind, data):
    batch, time = data.draw(st.sampled_from([(1, 1), (BATCH, TIME)]), "shape")
    flags = {name: data.draw(st.booleans(), name) for name in ("return_sequences", "go_backwards", "use_bias")}
    mask = draw_mask(data, batch, time)
    ours, theirs = pair(kind, return_state=True, zero_output_for_mask=data.draw(st.booleans(), "zero"), **flags)
    x, states = arguments(batch, time, len(ours.state_size))
    graph, unknown = data.draw(st.sampled_from([(True, True), (True, False), (False, False)]), "mode")
    training = data.draw(st.booleans(), "training")
    assert_alike(*both(ours, theirs, x, states, mask, training, graph, unknown))


@each_kind
def test_a_long_sequence_in_segments_is_the_same(kind, monkeypatch):
    monkeypatch.setattr(sequence_loop, "SEGMENT", TIME)
    ours, theirs = pair(kind, return_sequences=True, return_state=True)
    time = 3 * TIME - (kind == "GRU")  # the last segment may be shorter
    x, states = arguments(BATCH, time, len(ours.state_size))
    mask = tf.sequence_mask([time, 2], time)
    assert_alike(*both(ours, theirs, x, states, mask, True))


@pytest.mark.parametrize("steps_a_turn", [1, 3, 8])
def test_however_many_steps_a_turn_of_the_graphs_loop_makes_it_is_the_same(steps_a_turn, monkeypatch):
    monkeypatch.setattr(graph_loop, "STEPS_A_TURN", steps_a_turn)
    ours, theirs = pair("GRU", return_sequences=True, return_state=True)
    x, states = arguments(2, 10)
    assert_alike(*both(ours, theirs, x, states, tf.sequence_mask([10, 9], 10), False))


@each_kind
def test_two_halves_of_a_batch_are_the_same(kind, monkeypatch):
    batch = 2 * BATCH + (kind == "GRU")  # one half may be larger
    monkeypatch.setattr(sequence_loop, "PARALLEL_BATCH", 2 * BATCH)
    ours, theirs = pair(kind, return_sequences=True, return_state=True)
    x, states = arguments(batch, TIME, len(ours.state_size))
    mask = tf.sequence_mask([TIME, 2, 0, 7, 1][:batch], TIME)
    assert_alike(*both(ours, theirs, x, states, mask, True))


@each_kind
@pytest.mark.parametrize("training", [False, True])
def test_the_norm_of_the_gradient_at_every_step(kind, training, monkeypatch):
    monkeypatch.setattr(sequence_loop, "SEGMENT", 4)
    monkeypatch.setattr(sequence_loop, "PARALLEL_BATCH", 2)
    layer, _ = pair(kind, return_sequences=True)
    x, states = arguments(2, 7, len(layer.state_size))
    norms = np.zeros(7)
    layer.watch_gradient = lambda part, begin=0: norms.__setitem__(slice(begin, begin + len(part)), part)
    results(layer, x, states, None, training, graph=False)
    layer.watch_gradient = None
    # By the definition: the loss of what follows step t, differentiated by the state that it passes on.
    after = [states]
    for t in range(7):
        _, now = layer.cell(x[:, t], after[-1])
        after.append(now)
    for t in range(7):
        with tf.GradientTape() as tape:
            tape.watch(after[t + 1])
            outputs = layer(x[:, t + 1 :], initial_state=after[t + 1]) if t < 6 else tf.zeros([2, 0, UNITS])
            outputs = tf.concat([after[t + 1][0][:, None], outputs], axis=1)
            loss = tf.reduce_sum(tf.sin(outputs + 1))
        np.testing.assert_allclose(norms[t], tf.norm(tape.gradient(loss, after[t + 1][0])), rtol=1e-4)


RECURRENCES = {
    "LSTM": (LSTMRecurrence(), 4, [(2, 8)], 2),
    "GRU": (GRURecurrence(), 3, [(2, 6), (6,)], 1),
    "GRU, reset before": (ResetBeforeGRURecurrence(), 3, [(2, 4), (2, 2)], 1),
    "SimpleRNN": (SimpleRecurrence(rectified=False), 1, [(2, 2)], 1),
    "SimpleRNN, ReLU": (SimpleRecurrence(rectified=True), 1, [(2, 2)], 1),
}


@each_kind
@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_the_numerical_differences(kind, training):
    recurrence, gates, weights, states = RECURRENCES[kind]
    generator = np.random.default_rng(3)
    shapes = [(2, 3, 3), (3, gates * 2), (gates * 2,), *[(2, 2)] * states, *weights]
    values = [tf.constant(generator.normal(size=shape)) for shape in shapes]
    mask = tf.constant([[1, 0, 1], [1, 1, 0]])[:, :, None] > 0
    slope = tf.constant(generator.normal(size=(2, 3, 2)))

    def loss(x, kernel, bias, *rest):
        initial, recurrent_weights = rest[:states], rest[states:]
        outputs, final = sequence_loop.run(recurrence, [x], kernel, bias, initial, recurrent_weights, mask, training)
        return tf.reduce_sum(outputs * slope) + sum(tf.reduce_sum(state**2) for state in final)

    for by_hand, numerical in zip(*tf.test.compute_gradient(loss, values, delta=1e-5), strict=True):
        np.testing.assert_allclose(by_hand, numerical, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("implementation", [1, 2])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "GRU, reset before"])
def test_dropout_is_keras_dropout(kind, implementation):
    layers = pair(kind, dropout=0.5, recurrent_dropout=0.3 * (implementation == 1), seed=7)
    x, states = arguments(BATCH, TIME, len(layers[0].state_size))
    assert_alike(*(results(layer, x, states, None, True, graph=False) for layer in layers))


@pytest.mark.parametrize(
    "options",
    [{"activation": "relu"}, {"recurrent_activation": "hard_sigmoid"}, {"unroll": True}],
    ids=lambda options: next(iter(options)),
)
def test_what_only_keras_does_keras_does(options):
    layers = pair("LSTM", return_sequences=True, **options)
    x, states = arguments(2, 4, 2)
    assert_alike(*both(*layers, x, states, None, True))


@each_kind
def test_stateful_layers_carry_on(kind):
    layers = pair(kind, stateful=True, batch=BATCH)
    x, _ = arguments(BATCH, TIME + 2)
    for layer in layers:
        layer(x[:, :TIME], training=True)
    np.testing.assert_allclose(layers[0](x[:, TIME:]), layers[1](x[:, TIME:]), atol=1e-5)
    for layer in layers:
        layer.reset_state()
    np.testing.assert_allclose(layers[0](x), layers[1](x), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_precision_policies(kind, policy):
    layers = pair(kind, return_sequences=True, return_state=True, dtype=policy)
    dtype = layers[0].compute_dtype
    x, states = arguments(BATCH, TIME, len(layers[0].state_size), dtype=dtype)
    for training in (True, False):
        ours, theirs = both(*layers, x, states, None, training, graph=False)
        within = {"bfloat16": 5e-2, "float16": 1e-2, "float64": 1e-6}[dtype]
        assert_alike(ours, theirs, within, within)


def test_the_state_is_that_of_the_last_valid_step():
    layer, _ = pair("LSTM", return_state=True)
    x, _ = arguments(BATCH, TIME)
    masked = layer(x, mask=tf.sequence_mask([2, TIME], TIME), training=True)
    for state, short, long in zip(masked, layer(x[:1, :2]), layer(x[1:]), strict=True):
        np.testing.assert_allclose(state, tf.concat([short, long], axis=0), atol=1e-6)


@each_kind
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_files_move_both_ways(kind, tmp_path, monkeypatch):
    name, options = KINDS[kind]
    x, _ = arguments(2, 4)
    ours, theirs = (
        keras.Sequential([keras.Input((None, FEATURES)), getattr(module, name)(UNITS, **options)])
        for module in (recurrent, keras.layers)
    )
    ours.save(tmp_path / "ours.keras")
    opened = keras.models.load_model(tmp_path / "ours.keras")
    assert type(opened.layers[0]) is getattr(recurrent, name)
    np.testing.assert_array_equal(opened(x), ours(x))
    # Without this package nothing is registered, and the name is mapped to Keras's layer.
    monkeypatch.delitem(keras.saving.get_custom_objects(), f"recur>{name}")
    layer = getattr(keras.layers, name)
    opened = keras.models.load_model(tmp_path / "ours.keras", custom_objects={f"recur>{name}": layer})
    assert type(opened.layers[0]) is layer
    np.testing.assert_allclose(opened(x), ours(x), atol=1e-6)
    theirs.save(tmp_path / "theirs.keras")
    ours.load_weights(tmp_path / "theirs.keras")
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)


@pytest.mark.parametrize(
    ("jit_compile", "batch", "layers"),
    [
        (True, 64, lambda: [recurrent.LSTM(8)]),
        ("auto", 48, lambda: [recurrent.LSTM(8, return_sequences=True), recurrent.GRU(8)]),
    ],
)
def test_fit_learns(jit_compile, batch, layers):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(64, 7, 1)).astype("float32")
    model = keras.Sequential([keras.Input((None, 1)), *layers(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=jit_compile)
    losses = model.fit(x, x[:, -3], batch_size=batch, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert model.predict(x, verbose=0).shape == (64, 1)


@each_kind
def test_the_same_run_gives_the_same_bits(kind):
    layer, _ = pair(kind, return_sequences=True)
    x, states = arguments(BATCH, TIME, len(layer.state_size))
    first, second = (tf.nest.flatten(results(layer, x, states, None, True, graph=False)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_exported_graph_needs_no_xla(tmp_path):
    model = keras.Sequential([keras.Input((None, FEATURES)), recurrent.LSTM(UNITS), keras.layers.Dense(1)])
    x, _ = arguments(2, 4)
    expected = model(x, training=True)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.call, [tf.TensorSpec([None, None, FEATURES])])
    archive.write_out(tmp_path / "export", verbose=False)
    assert b"XlaMustCompile" not in (tmp_path / "export" / "saved_model.pb").read_bytes()
    loaded = tf.saved_model.load(tmp_path / "export")
    np.testing.assert_allclose(loaded.serve(x), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("masked", [True, False])
def test_a_batch_of_one_and_of_unknown_length_goes_back(kind, masked):
    layer, _ = pair(kind, 1, return_sequences=True)
    x, _ = arguments(1, 4)
    mask = tf.constant([[True, True, True, False]])

    def gradient(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, mask=mask if masked else None)))
        return tape.gradient(loss, x)

    specs = tf.TensorSpec([1, None, FEATURES]), tf.TensorSpec([1, None], tf.bool)
    traced = tf.function(gradient, input_signature=specs)
    np.testing.assert_allclose(traced(x, mask), gradient(x, mask), atol=1e-6)


COMPILED = """
import tensorflow as tf
from recur.layers import recurrent

layer = recurrent.LSTM(5, return_sequences=True)
layer.build((4, None, 3))

@tf.function(input_signature=[tf.TensorSpec([4, None, 3]), tf.TensorSpec([4, None], tf.bool)])
def gradient(x, mask):
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x, mask=mask, training=True) ** 2)
    return tape.gradient(loss, x)

for length in range(9, 17):
    gradient(tf.ones([4, length, 3]), tf.sequence_mask([length, length - 1, 3, 8], length))
"""


def test_lengths_that_are_padded_alike_share_the_compiled_programs(tmp_path):
    flags = f"--tf_xla_persistent_cache_directory={tmp_path} --tf_xla_persistent_cache_device_types=CPU"
    environment = {**os.environ, "TF_XLA_FLAGS": flags}
    subprocess.run([sys.executable, "-c", COMPILED], env=environment, cwd=ROOT, check=True)
    assert len(list(tmp_path.glob("*.pb"))) == 2  # forward and back


def test_configuration_survives():
    layer = recurrent.GRU(4, dropout=0.1, reset_after=False, go_backwards=True, kernel_regularizer="l2")
    assert recurrent.GRU.from_config(layer.get_config()).get_config() == layer.get_config()
