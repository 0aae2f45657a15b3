"""Training on tasks of long memory: what is recorded, when it stops, and what is not computed twice."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.memory import long_memory
from benchmarks.memory.tasks import Adding, Copying
from benchmarks.memory.training import CELLS, Network, Settings, train
from recur.layers.loop import sequence_loop

pytestmark = pytest.mark.slow

LENGTH = 8


def small(task, cell, **others):
    return Settings.of(task, cell, **({"units": 6, "batch": 4, "call": 5, "validate_every": 10} | others))


@pytest.mark.parametrize(("cell", "segment"), [("irnn", 3), ("lstm", 256)])
def test_the_gradient_through_time_is_that_of_the_newest_step(cell, segment, monkeypatch):
    monkeypatch.setattr(sequence_loop, "SEGMENT", segment)
    task = Adding(LENGTH)
    network = Network(task, small(task, cell, call=1))
    network.train(tf.constant(0, tf.int64))
    x, y = task.batch(tf.constant([0, 1], tf.int64), 4)
    states = [tf.zeros([4, 6])] * len(tf.nest.flatten(network.layer.cell.state_size))
    passed = []
    with tf.GradientTape() as tape:
        for t in range(LENGTH):
            _, states = network.layer.cell(x[:, t], states)
            passed.append(states[0])
        loss = task.loss(y, network.model.layers[-1](states[0]))
    expected = [tf.norm(gradient) for gradient in tape.gradient(loss, passed)]
    network.train(tf.constant(1, tf.int64))
    np.testing.assert_allclose(network.through_time, expected, rtol=1e-4)


def test_several_steps_in_one_call_are_the_same_steps():
    task = Copying(3)
    one, five = (Network(task, small(task, "gru", call=call)) for call in (1, 5))
    losses = [float(one.train(tf.constant(step, tf.int64))) for step in range(5)]
    assert float(five.train(tf.constant(0, tf.int64))) == pytest.approx(np.mean(losses), rel=1e-5)
    for left, right in zip(one.model.get_weights(), five.model.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_cells_begin_as_their_papers_say():
    task = Adding(50)
    layers = {cell: Network(task, Settings.of(task, cell)).layer for cell in CELLS}
    kernel, recurrent_kernel, bias = layers["irnn"].get_weights()
    assert 0 < np.abs(kernel).max() < 0.01
    np.testing.assert_array_equal(recurrent_kernel, np.eye(128))
    assert not bias.any()
    assert layers["irnn"].activation is keras.activations.relu
    assert layers["tanh"].activation is keras.activations.tanh
    _, _, bias = layers["lstm"].get_weights()
    np.testing.assert_array_equal(bias, np.repeat([0, 1, 0, 0], 64))
    i, f, g, o = np.split(layers["chrono"].get_weights()[2], 4)
    np.testing.assert_array_equal(i, -f)
    assert f.min() >= 0
    assert math.log(10) < f.max() <= math.log(49)
    assert not np.any([g, o])


@pytest.mark.parametrize(
    ("cell", "solved_at", "rate", "minutes", "outcome"),
    [("gru", 100.0, 1e-3, 1, "solved"), ("gru", 0.0, 1e-3, 0, "out of time"), ("irnn", 0.0, 1e30, 1, "diverged")],
)
def test_when_training_stops(cell, solved_at, rate, minutes, outcome, monkeypatch):
    monkeypatch.setattr(Adding, "solved_at", solved_at)
    task = Adding(LENGTH)
    result, gradient = train(task, small(task, cell, learning_rate=rate), minutes)
    assert result["outcome"] == outcome
    assert result["steps"] == gradient["step"][-1] == 5 * len(gradient["norm"])
    assert gradient["norm"].shape[1] == LENGTH
    # The weights that are measured are the best, so that these are numbers even when training went astray.
    assert math.isfinite(result["validation"])
    assert math.isfinite(result["test"])
    assert result["curve"]["step"] == {"solved": [10], "out of time": [5], "diverged": []}[outcome]


def test_results_are_kept_and_shown(tmp_path, capsys, monkeypatch):
    for task in (Adding, Copying):
        monkeypatch.setattr(task, "held_out_sizes", {"validation": 100, "test": 200})
    options = {"task": "adding|copying", "cell": "tanh", "length": 4, "minutes": 0.0, "out": tmp_path}
    long_memory.main(**options)
    table = capsys.readouterr().out
    assert "constant 1 0.16" in table
    assert sum(line.startswith("| tanh RNN |") for line in table.splitlines()) == 2
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "long_memory.json",
        "long_memory.md",
        "long_memory_curves.png",
        "long_memory_gradients.png",
    }
    assert (tmp_path / "long_memory.md").read_text() == table
    trained = []

    def once_more(task, settings, minutes):
        trained.append(settings.cell)
        return train(task, settings, minutes)

    monkeypatch.setattr(long_memory, "train", once_more)
    long_memory.main(**options, json=True)
    results = json.loads(capsys.readouterr().out)["results"]
    assert list(results) == ["adding 4 tanh", "copying 4 tanh"]
    assert trained == []
    long_memory.main(**options | {"task": "adding", "cell": "tanh"}, again=True)
    assert trained == ["tanh"]


def test_a_result_stands_for_the_same_settings_and_no_more_time():
    settings = Settings.of(Adding(), "lstm")
    result = {"settings": dict(vars(settings)), "minutes": 5.0, "outcome": "out of time"}
    assert long_memory.stands(result, settings, 5.0)
    assert not long_memory.stands(result, settings, 6.0)
    assert long_memory.stands(result | {"outcome": "solved"}, settings, 6.0)
    assert not long_memory.stands(result, Settings.of(Adding(), "lstm", seed=1), 5.0)
    assert not long_memory.stands(None, settings, 5.0)


@pytest.mark.parametrize("options", [{"task": "subtracting"}, {"cell": "("}, {"length": 0}], ids=str)
def test_bad_usage_is_one_line(options, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: .*$"):
        long_memory.main(**options, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
