"""GradientMonitor writes down what gradients are, on any Keras model, and leaves no trace."""

import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from recur.callbacks import GradientClipping, GradientMonitor
from recur.gradients.records import RecordFile, read_records
from recur.layers import recurrent
from tests.checkout import ROOT

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).normal(size=(12, 7, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(12, 7, 1)).astype("float32")


class Subclassed(keras.Model):
    """Builds its layers as late as can be."""

    def build(self, input_shape):
        self.first = keras.layers.Bidirectional(keras.layers.GRU(4, return_sequences=True))
        self.second = keras.layers.Dense(1)
        super().build(input_shape)

    def call(self, inputs):
        return self.second(self.first(inputs))


def sequential():
    return keras.Sequential([recurrent.LSTM(4, return_sequences=True), keras.layers.Dense(1)])


def functional():
    inputs = keras.Input((7, 3))
    hidden = keras.layers.LSTM(4, return_sequences=True)(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(hidden))


KINDS = {"sequential": sequential, "functional": functional, "subclassed": Subclassed}
each_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind, optimizer="sgd", **options):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    model = KINDS[kind]()
    model.compile(optimizer, "mse", **{"jit_compile": False} | options)
    return model


def fit(model, *callbacks, epochs=2, **options):
    options = {"batch_size": 12, "shuffle": False, "verbose": 0} | options
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)


def values(records, quantity, step=1):
    chosen = records[(records["quantity"] == quantity) & (records["step"] == step) & records["index"].isna()]
    return {(row.layer, row.kind): row.value for row in chosen.itertuples()}


def is_bare(model):
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    assert layers
    return "_gradient_tap" not in vars(model) and not any(
        "inner_loop" in vars(layer) or getattr(layer, "watch_gradient", None) or "call" in vars(layer.cell)
        for layer in layers
    )


@pytest.mark.parametrize(
    ("kind", "options"),
    [*((kind, {}) for kind in KINDS), ("subclassed", {"jit_compile": True}), ("functional", {"run_eagerly": True})],
)
def test_norms_are_those_of_a_tape(kind, options):
    model = make(kind, **options)
    model(X)
    before = [variable.numpy() for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(X, training=True) - Y))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    monitor = GradientMonitor(every=1)
    fit(model, monitor, epochs=1)
    records = monitor.records()
    seen = values(records, "gradient_norm")
    assert seen.pop(("", "model")) == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-4)
    assert len(seen) == len(before)
    np.testing.assert_allclose(list(seen.values()), [np.linalg.norm(g) for g in gradients], rtol=1e-4)
    after = [variable.numpy() for variable in model.trainable_variables]
    np.testing.assert_allclose(
        list(values(records, "weight_norm").values()), [np.linalg.norm(a) for a in after], rtol=1e-4
    )
    ratios = [
        np.linalg.norm(a - b) / max(np.linalg.norm(a), np.linalg.norm(b)) for a, b in zip(after, before, strict=True)
    ]
    np.testing.assert_allclose(list(values(records, "update_ratio").values()), ratios, rtol=1e-3)
    assert is_bare(model)


def test_the_training_step_is_traced_once():
    traces = []

    class Counting(keras.Sequential):
        def train_step(self, data):
            traces.append(data)
            return super().train_step(data)

    model = Counting([keras.Input((7, 3)), keras.layers.LSTM(4, return_sequences=True), keras.layers.Dense(1)])
    model.compile("adam", "mse", jit_compile=False)
    fit(model, GradientMonitor(every=1), GradientClipping())
    assert len(traces) == 1


LAYERS = {
    "our LSTM": lambda **o: recurrent.LSTM(4, **o),
    "our GRU": lambda **o: recurrent.GRU(4, **o),
    "our SimpleRNN": lambda **o: recurrent.SimpleRNN(4, **o),
    "our LSTM, as Keras runs it": lambda **o: recurrent.LSTM(4, recurrent_activation="hard_sigmoid", **o),
    "LSTM": lambda **o: keras.layers.LSTM(4, **o),
    "LSTM unrolled": lambda **o: keras.layers.LSTM(4, unroll=True, **o),
    "GRU": lambda **o: keras.layers.GRU(4, **o),
    "SimpleRNN": lambda **o: keras.layers.SimpleRNN(4, **o),
}


@pytest.mark.parametrize(
    ("name", "return_sequences", "jit_compile"),
    [
        *((name, i % 2 == 0, False) for i, name in enumerate(LAYERS)),
        ("our LSTM", False, True),
        ("LSTM", False, True),
        ("GRU", True, True),
    ],
)
def test_norms_through_time_are_those_of_autodiff(name, return_sequences, jit_compile):
    layer = LAYERS[name](return_sequences=return_sequences, go_backwards=return_sequences)
    model = keras.Sequential([keras.Input((7, 3)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, loss_scale_factor=8.0), "mse", jit_compile=jit_compile)
    y = Y if return_sequences else Y[:, 0]
    states, after = layer.cell.get_initial_state(12), []
    with tf.GradientTape() as tape:
        tape.watch(states)
        for t in range(7):
            h, states = layer.cell(X[:, 6 - t if return_sequences else t], states)
            after.append(h)
        outputs = model.layers[-1](tf.stack(after, axis=1) if return_sequences else after[-1])
        loss = tf.reduce_mean(tf.square(outputs - y))
    expected = [float(tf.norm(gradient)) for gradient in tape.gradient(loss, after)]
    monitor = GradientMonitor(every=1)
    model.fit(X, y, batch_size=12, epochs=1, shuffle=False, verbose=0, callbacks=[monitor])
    records = monitor.records()
    seen = records[(records["kind"] == "state") & (records["quantity"] == "gradient_norm")].sort_values("index")
    assert seen["index"].tolist() == list(range(7))
    np.testing.assert_allclose(seen["value"][::-1], expected, rtol=2e-4)
    assert is_bare(model)


@pytest.mark.parametrize("layer", [recurrent.LSTM, keras.layers.LSTM])
def test_masked_steps(layer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Masking(), layer(4, dropout=0.1), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    x = X * (np.arange(7)[None, :, None] < np.arange(12)[:, None, None])
    monitor = GradientMonitor(every=1)
    model.fit(x, Y[:, 0], batch_size=12, epochs=1, shuffle=False, verbose=0, callbacks=[monitor])
    records = monitor.records()
    norms = records[(records["kind"] == "state") & (records["quantity"] == "gradient_norm")].set_index("index")["value"]
    assert norms.index.tolist() == list(range(7))
    assert norms[0] > 0
    shares = records[records["quantity"] == "carried"].set_index("index")["value"]
    assert len(shares) == 7
    assert shares[0] == pytest.approx(1, rel=1e-5)


@each_kind
def test_training_is_the_same_with_and_without(kind):
    weights = []
    for callbacks in ([], [GradientMonitor(every=2)]):
        model = make(kind, "adam")
        fit(model, *callbacks, batch_size=5)
        weights.append(model.get_weights())
    for with_it, without in zip(*weights, strict=True):
        np.testing.assert_allclose(with_it, without, rtol=1e-5, atol=1e-7)


def test_two_fits_with_and_without(tmp_path):
    model = make("functional", "adam")
    monitor = GradientMonitor(tmp_path, every=1)
    fit(model, monitor)
    assert sorted(set(monitor.records()["step"])) == [1, 2]
    size = monitor.records().size
    fit(model)
    assert monitor.records().size == size
    fit(model, monitor)
    assert sorted(set(monitor.records()["step"])) == [1, 2, 5, 6]
    assert is_bare(model)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_what_an_interrupted_fit_left_goes_with_the_next(tmp_path):
    model = make("sequential")
    with pytest.raises(KeyboardInterrupt):
        fit(model, GradientMonitor(every=1), Interrupt())
    fit(model)
    assert is_bare(model)
    with pytest.raises(KeyboardInterrupt):
        fit(model, monitor := GradientMonitor(every=1), Interrupt())
    fit(model, monitor)
    assert is_bare(model)
    assert len(monitor.records()["step"].unique()) == 2


def test_two_monitors_are_refused():
    with pytest.raises(ValueError, match="'gradient monitor' already"):
        fit(make("functional"), GradientMonitor(), GradientMonitor())
    with pytest.raises(ValueError, match="at least 1"):
        GradientMonitor(every=0)


def test_gradients_are_seen_as_they_were_before_clipping():
    plain, beside = (GradientMonitor(every=1) for _ in range(2))
    fit(make("functional"), plain, epochs=1)
    fit(make("functional"), GradientClipping("global_norm", 1e-4), beside, epochs=1)
    norms = [values(monitor.records(), "gradient_norm") for monitor in (plain, beside)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    small, large = (values(monitor.records(), "update_ratio") for monitor in (beside, plain))
    assert all(small[place] < 0.01 * large[place] for place in small if place[1] != "bias")


def test_a_step_that_is_not_finite_is_counted_between_looks():
    model, said = make("functional"), []
    x = X.copy()
    x[10, 0, 0] = np.nan
    monitor = GradientMonitor(every=100, say=said.append)
    clipping = GradientClipping()
    model.fit(x, Y, batch_size=3, shuffle=False, epochs=1, verbose=0, callbacks=[clipping, monitor])
    assert clipping.report()["skipped"] == 1
    assert values(monitor.records(), "not_finite", 4)["", "model"] == 1
    (finding,) = monitor.findings
    assert (finding.name, finding.step) == ("non-finite gradient", 4)
    assert said == [str(finding)]


def test_looks_every_so_many_steps():
    for options, steps in [({}, [1, 4, 7]), ({"steps_per_execution": 2}, [2, 6])]:
        monitor = GradientMonitor(every=3)
        fit(make("functional", **options), monitor, epochs=2, batch_size=3)
        assert sorted(set(monitor.records()["step"])) == steps


def test_accumulated_gradients_are_looked_at_when_weights_change():
    model = make("functional", keras.optimizers.SGD(0.1, gradient_accumulation_steps=3))
    monitor = GradientMonitor(every=1)
    fit(model, monitor, batch_size=4, epochs=2)
    records = monitor.records()
    assert sorted(set(records["step"])) == [3, 6]
    assert all(ratio > 0 for ratio in values(records, "update_ratio", 3).values())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    plain, mixed = (GradientMonitor(every=1) for _ in range(2))
    fit(make("functional"), plain, epochs=1)
    keras.config.set_dtype_policy(policy)
    try:
        model = make("functional")
    finally:
        keras.config.set_dtype_policy("float32")
    fit(model, mixed, epochs=1)
    expected, seen = (
        monitor.records().set_index(["layer", "kind", "quantity", "index"])["value"] for monitor in (plain, mixed)
    )
    chosen = expected.index.get_level_values("quantity") == "gradient_norm"
    assert chosen.sum() == 13
    np.testing.assert_allclose(seen[seen.index.get_level_values("quantity") == "gradient_norm"], expected[chosen], 0.1)


def test_a_shared_embedding_and_a_frozen_layer():
    model = keras.Sequential(
        [keras.layers.Embedding(9, 4), keras.layers.LSTM(4, trainable=False), keras.layers.Dense(1, name="dense")]
    )
    model.compile("sgd", "mse", jit_compile=False)
    monitor = GradientMonitor(every=1)
    model.fit(np.ones((4, 5)), np.ones((4, 1)), verbose=0, callbacks=[monitor])
    norms = values(monitor.records(), "gradient_norm")
    assert set(norms) == {("", "model"), ("embedding", "embeddings"), ("dense", "kernel"), ("dense", "bias")}
    assert values(monitor.records(), "zeros")["embedding", "embeddings"] == pytest.approx(8 / 9)


def test_pictures_and_tensorboard(tmp_path):
    monitor = GradientMonitor(tmp_path, every=1, tensorboard=tmp_path / "logs")
    fit(make("sequential"), monitor)
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"gradient_flow.png", "gradient_through_time.png"}
    tags = set()
    for event in tf.data.TFRecordDataset([str(path) for path in (tmp_path / "logs").iterdir()]):
        tags |= {value.tag for value in tf.compat.v1.Event.FromString(event.numpy()).summary.value}
    assert {"gradient_flow", "gradient_through_time", "gradients/model/model/gradient_norm"} <= tags
    assert "gradients/lstm/recurrent_kernel/gradient" in tags


def test_a_directory_that_cannot_be_is_refused_with_nothing_installed(tmp_path):
    (tmp_path / "file").touch()
    model = make("functional")
    with pytest.raises(OSError, match="file"):
        fit(model, GradientMonitor(tmp_path / "file"))
    assert is_bare(model)


def test_a_full_disk_does_not_end_training(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordFile, "append", full)
    monkeypatch.setattr("recur.callbacks.gradient_monitor.write_heat_maps", full)
    model, monitor = make("functional"), GradientMonitor(tmp_path, every=1)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        fit(model, monitor)
    assert sorted(set(monitor.records()["step"])) == [1, 2]
    assert is_bare(model)


class OddCell(keras.layers.Layer):
    """A custom cell that knows nothing of `training` and has a recurrent kernel that is no square."""

    state_size = 3

    def build(self, input_shape):
        self.recurrent_kernel = self.add_weight(shape=(3, 4), name="recurrent_kernel")
        self.projection = self.add_weight(shape=(4, 3), name="kernel")

    def call(self, inputs, states):
        output = keras.ops.tanh(inputs + states[0] @ self.recurrent_kernel @ self.projection)
        return output, [output]


def test_a_custom_cell():
    model = keras.Sequential([keras.Input((7, 3)), keras.layers.RNN(OddCell()), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    monitor = GradientMonitor(every=1)
    model.fit(X, Y[:, 0], epochs=1, verbose=0, callbacks=[monitor])
    assert ("rnn", "kernel") in values(monitor.records(), "gradient_norm")
    assert (monitor.records()["kind"] == "state").any()
    assert is_bare(model)


def test_a_killed_process_leaves_a_readable_file(tmp_path):
    script = f"""
        import keras, numpy as np
        from recur.callbacks import GradientClipping, GradientMonitor
        model = keras.Sequential([keras.layers.LSTM(4), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=False)
        x, y = np.zeros((2, 5, 3)), np.zeros((2, 1))
        model.fit(x, y, epochs=10**6, verbose=0, callbacks=[GradientMonitor({str(tmp_path)!r}, every=1)])
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT)
    try:
        deadline, path = time.monotonic() + 1800, tmp_path / "gradients.csv"
        while time.monotonic() < deadline and not (path.exists() and path.stat().st_size > 4000):
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert read_records(path)["step"].max() > 1
