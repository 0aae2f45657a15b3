"""Planted faults are named within 200 steps of training at the monitor's defaults; healthy runs are silent."""

import keras
import numpy as np
import pytest
from keras import layers
from keras.initializers import Constant, Orthogonal
from keras.optimizers import SGD, Adam

from recur.callbacks.gradient_monitor import GradientMonitor
from recur.layers import recurrent

pytestmark = pytest.mark.slow


def forecast(layer, steps=30, optimizer=None):
    """Regression from the last three of some steps."""
    x = np.random.default_rng(0).normal(size=(512, steps, 4)).astype("float32")
    model = keras.Sequential([keras.Input((steps, 4)), layer, layers.Dense(1)])
    return model, optimizer or Adam(1e-3), "mse", x, x[:, -3:, :1].sum(axis=1)


def characters(layer, optimizer=None):
    """Prediction of each next symbol, a loss at every step."""
    text = np.cumsum(np.random.default_rng(0).integers(0, 3, size=256 * 32 + 1)) % 30
    head = [layers.Dropout(0.2), layers.Dense(30)]
    model = keras.Sequential([keras.Input((32,)), layers.Embedding(30, 16), layer, *head])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, optimizer or Adam(3e-3), loss, text[:-1].reshape(256, 32), text[1:].reshape(256, 32)


def sentiment():
    """Classification of padded sequences."""
    generator = np.random.default_rng(0)
    x = generator.integers(1, 200, size=(512, 60)) * (np.arange(60) < generator.integers(5, 60, size=(512, 1)))
    y = np.isin(x, range(1, 20)).sum(axis=1, keepdims=True) > np.isin(x, range(20, 39)).sum(axis=1, keepdims=True)
    body = [layers.Embedding(200, 32, mask_zero=True), layers.Bidirectional(recurrent.LSTM(32, dropout=0.2))]
    head = [layers.Dense(16, "relu"), layers.Dropout(0.5), layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((60,)), *body, *head])
    return model, Adam(2e-3), "binary_crossentropy", x, y.astype("float32")


def rectifiers(bias):
    """A network without time."""
    x = np.random.default_rng(0).normal(size=(512, 8)).astype("float32")
    hidden = [layers.Dense(16, "relu"), layers.Dense(16, "relu", bias_initializer=Constant(bias), name="middle")]
    return keras.Sequential([keras.Input((8,)), *hidden, layers.Dense(1)]), Adam(1e-3), "mse", x, x[:, :1] ** 2


def with_infinity():
    model, optimizer, loss, x, y = forecast(recurrent.LSTM(16))
    x[100, 3, 1] = np.inf
    return model, optimizer, loss, x, y


def solved():
    """A hinge loss that reaches zero, and with it every gradient."""
    x = np.random.default_rng(0).normal(size=(512, 4)).astype("float32")
    x += 3 * np.sign(x[:, :1])
    hidden = [layers.Dense(16, "tanh"), layers.Dense(1)]
    return keras.Sequential([keras.Input((4,)), *hidden]), Adam(0.02), "hinge", x, np.sign(x[:, :1])


def straight():
    """Linear regression, whose first step is a large one."""
    x = np.random.default_rng(0).normal(size=(512, 6)).astype("float32")
    return keras.Sequential([keras.Input((6,)), layers.Dense(1)]), SGD(0.05), "mse", x, x.sum(axis=1, keepdims=True)


def plain(**options):
    return recurrent.SimpleRNN(16, name="rnn", **options)


def train(case):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    model, optimizer, loss, x, y = case()
    model.compile(optimizer, loss, jit_compile=False)
    said = []
    monitor = GradientMonitor(say=said.append)
    model.fit(x, y, batch_size=32, epochs=-(-200 * 32 // len(x)), verbose=0, callbacks=[monitor])
    assert [str(finding) for finding in monitor.findings] == said
    return monitor.findings


FAULTS = {
    "kernel x 0.5": (lambda: forecast(plain(recurrent_initializer=Orthogonal(0.5))), "vanishing gradient", "rnn"),
    "kernel x 0.5, a loss a step": (
        lambda: characters(plain(recurrent_initializer=Orthogonal(0.5), return_sequences=True)),
        "vanishing gradient",
        "rnn",
    ),
    "kernel x 0.5, Keras's layer": (
        lambda: forecast(layers.SimpleRNN(16, recurrent_initializer=Orthogonal(0.5), name="rnn")),
        "vanishing gradient",
        "rnn",
    ),
    "kernel x 1.6": (lambda: forecast(plain(recurrent_initializer=Orthogonal(1.6))), "exploding gradient", "rnn"),
    "kernel x 1.6, ReLU": (
        lambda: forecast(plain(activation="relu", recurrent_initializer=Orthogonal(1.6))),
        "exploding gradient",
        "rnn",
    ),
    "rate x 100": (lambda: forecast(recurrent.LSTM(16), optimizer=Adam(0.1)), "learning rate too high", ""),
    "rate x 100, SGD": (lambda: forecast(recurrent.LSTM(16), optimizer=SGD(1.0)), "learning rate too high", ""),
    "rate x 100, a loss a step": (
        lambda: characters(recurrent.GRU(32, return_sequences=True), Adam(0.3)),
        "learning rate too high",
        "",
    ),
    "rate / 1000": (lambda: forecast(recurrent.LSTM(16), optimizer=Adam(1e-6)), "learning rate too low", ""),
    "rate / 1000, a loss a step": (
        lambda: characters(recurrent.LSTM(32, return_sequences=True), Adam(3e-6)),
        "learning rate too low",
        "",
    ),
    "bias -10": (lambda: rectifiers(-10.0), "dead units", "middle"),
    "one inf": (with_infinity, "non-finite gradient", ""),
    "50 sigmoid steps": (lambda: forecast(plain(activation="sigmoid"), 50), "vanishing gradient", "rnn"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named_within_200_steps(fault):
    case, name, layer = FAULTS[fault]
    (only,) = [finding for finding in train(case) if (finding.name, finding.layer) == (name, layer)]
    assert only.step <= 200


HEALTHY = {
    "sentiment": sentiment,
    "characters, LSTM": lambda: characters(recurrent.LSTM(64, return_sequences=True)),
    "characters, GRU": lambda: characters(recurrent.GRU(64, return_sequences=True)),
    "forecasting, GRU": lambda: forecast(layers.GRU(16), optimizer=Adam(3e-3)),
    "forecasting, LSTM": lambda: forecast(recurrent.LSTM(32), 60, Adam(3e-3)),
    "forecasting, tanh": lambda: forecast(recurrent.SimpleRNN(32), 20),
    "IRNN": lambda: forecast(recurrent.SimpleRNN(32, activation="relu", recurrent_initializer="identity"), 50),
    "without time": lambda: rectifiers(0.0),
    "solved": solved,
    "straight": straight,
}


@pytest.mark.parametrize("case", HEALTHY)
def test_a_healthy_run_is_silent(case):
    assert train(HEALTHY[case]) == []
