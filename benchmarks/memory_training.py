"""Trains one recurrent cell on one task of long memory, and records the gradient through time while it does."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.memory_tasks import Task
from recur.layers import BlockIdentity, ChronoBias, recurrent_layer

EVALUATION_BATCH = 100


@dataclasses.dataclass(frozen=True)
class Cell:
    """A recurrent layer as a paper has it, and the learning rate that it is trained with.

    Attributes:
        title: As tables and plots call it.
        layer: A name of `recur.layers.builders.CELLS`.
        units: Of the layer; chosen so that all but GRU have about 17,000 parameters.
        learning_rate: Of Adam (Kingma & Ba 2015).
        options: From units and the steps to remember to further arguments of the layer.
    """

    title: str
    layer: str
    units: int
    learning_rate: float
    options: Callable[[int, int], dict[str, Any]] = lambda units, steps: {}


def small(units: int, steps: int) -> dict[str, Any]:
    """Small random weights (deviation 0.05), usual before Glorot & Bengio 2010: a spectral radius of about 0.6."""
    return {"recurrent_initializer": keras.initializers.RandomNormal(stddev=0.05)}


def glorot(units: int, steps: int) -> dict[str, Any]:
    """Glorot & Bengio 2010: a spectral radius of about 1."""
    return {"recurrent_initializer": "glorot_uniform"}


def irnn(units: int, steps: int) -> dict[str, Any]:
    """Le et al. 2015, §3: rectifiers, the identity as recurrent matrix, small inputs (deviation 0.001), no bias."""
    return {
        "activation": "relu",
        "recurrent_initializer": BlockIdentity(),
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.001),
    }


def chrono(units: int, steps: int) -> dict[str, Any]:
    """Tallec & Ollivier 2018: forget gates with time constants up to the length of the task."""
    return {"bias_initializer": ChronoBias(units, t_max=max(steps, 2)), "unit_forget_bias": False}


CELLS = {
    "tanh": Cell("tanh RNN", "simple_rnn", 128, 1e-4, small),
    "glorot": Cell("tanh RNN, Glorot", "simple_rnn", 128, 1e-4, glorot),
    "orthogonal": Cell("tanh RNN, orthogonal", "simple_rnn", 128, 1e-4),
    "irnn": Cell("IRNN", "simple_rnn", 128, 1e-4, irnn),
    "gru": Cell("GRU", "gru", 64, 5e-3),
    "lstm": Cell("LSTM", "lstm", 64, 5e-3),
    "chrono": Cell("LSTM, chrono", "lstm", 64, 5e-3, chrono),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a cell is trained; with the same settings it is trained the same way.

    Attributes:
        task: A task's name.
        length: Its length.
        cell: A name in `CELLS`.
        units: Of the one recurrent layer.
        learning_rate: Of Adam.
        batch: Examples a step.
        clip_norm: The gradient is scaled down to this global norm (Pascanu et al. 2013).
        seed: Of weights and examples.
        call: Steps made by one call of the graph; the gradient through time is kept of the last.
        validate_every: Steps from one validation to the next.
    """

    task: str
    length: int
    cell: str
    units: int
    learning_rate: float
    batch: int = 32
    clip_norm: float = 1.0
    seed: int = 0
    call: int = 25
    validate_every: int = 250

    @classmethod
    def of(cls, task: Task, cell: str, **others: Any) -> "Settings":
        """The settings of a cell on a task.

        Args:
            task: A task.
            cell: A name in `CELLS`.
            **others: Settings that differ from the cell's own or from the default.
        """
        own = {"units": CELLS[cell].units, "learning_rate": CELLS[cell].learning_rate}
        return cls(task.name, task.length, cell, **(own | others))


class Network:
    """A recurrent layer and a dense one, with the graphs that train and measure it.

    Args:
        task: What to learn.
        settings: How.
    """

    def __init__(self, task: Task, settings: Settings):
        keras.utils.set_random_seed(settings.seed)
        cell = CELLS[settings.cell]
        self.task, self.settings = task, settings
        self.layer = recurrent_layer(
            cell.layer,
            settings.units,
            return_sequences=task.every_step,
            **cell.options(settings.units, task.steps),
        )
        self.model = keras.Sequential(
            [keras.Input((task.steps, task.features)), self.layer, keras.layers.Dense(task.outputs)]
        )
        self.optimizer = keras.optimizers.Adam(settings.learning_rate, global_clipnorm=settings.clip_norm)
        self.optimizer.build(self.model.trainable_variables)
        # ‖∂L/∂h_t‖ of the newest step, t = 1 … steps.
        self.through_time = tf.Variable(tf.zeros([task.steps]), trainable=False)
        self.layer.watch_gradient = self._watch

    def _watch(self, norms: tf.Tensor, begin: int = 0) -> None:
        self.through_time[begin : begin + norms.shape[0]].assign(norms)

    @tf.function
    def train(self, first: tf.Tensor) -> tf.Tensor:
        """Makes `settings.call` training steps, of which the first has the number `first`; returns their mean loss."""
        total = tf.zeros([])
        variables = self.model.trainable_variables
        for step in tf.range(first, first + self.settings.call):
            x, y = self.task.batch(tf.stack([tf.constant(self.settings.seed, tf.int64), step]), self.settings.batch)
            with tf.GradientTape() as tape:
                loss = self.task.loss(y, self.model(x, training=True))
            self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            total += loss
        return total / self.settings.call

    @tf.function
    def _measure(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return self.task.measure(y, self.model(x, training=False))

    def measure(self, part: str) -> float:
        """The task's metric on a part that is held out."""
        x, y = self.task.held_out(part)
        begins = range(0, len(x), EVALUATION_BATCH)
        return float(np.mean([self._measure(x[b : b + EVALUATION_BATCH], y[b : b + EVALUATION_BATCH]) for b in begins]))


def train(task: Task, settings: Settings, minutes: float) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Trains until the task is solved, the loss is no number any more, or time is over.

    Args:
        task: What to learn.
        settings: How.
        minutes: How long at most.

    Returns:
        The result: `outcome` (`solved`, `diverged` or `out of time`), `steps`, `seconds`, `validation` and `test` (the
        metric at the weights that were best in validation, of which solving is judged), `parameters` and `curve`; and
        the gradient through time: `step`, `[rows]`, and `norm`, ‖∂L/∂h_t‖, `[rows, task.steps]`.
    """
    begin = time.perf_counter()
    network = Network(task, settings)
    curve: dict[str, list] = {"step": [], "training": [], "validation": []}
    outcome, best, weights = None, None, network.model.get_weights()
    norms, losses, step = [], [], 0
    while outcome is None:
        losses.append(float(network.train(tf.constant(step, tf.int64))))
        norms.append(network.through_time.numpy())
        step += settings.call
        time_is_over = time.perf_counter() - begin >= 60 * minutes
        if not math.isfinite(losses[-1]):
            outcome = "diverged"
        elif time_is_over or step % settings.validate_every == 0:
            validation = network.measure("validation")
            if not math.isfinite(validation):
                outcome = "diverged"
                continue
            if best is None or task.better(validation, best):
                best, weights = validation, network.model.get_weights()
            for name, value in {"step": step, "training": np.mean(losses), "validation": validation}.items():
                curve[name].append(float(value))
            losses = []
            report(task, settings, curve, time.perf_counter() - begin)
            outcome = "solved" if task.solved(validation) else "out of time" if time_is_over else None
    seconds = time.perf_counter() - begin
    network.model.set_weights(weights)
    return {
        "outcome": outcome,
        "steps": step,
        "seconds": seconds,
        "validation": network.measure("validation") if best is None else best,
        "test": network.measure("test"),
        "parameters": network.model.count_params(),
        "curve": curve,
    }, {"step": np.arange(1, len(norms) + 1) * settings.call, "norm": np.stack(norms)}


def report(task: Task, settings: Settings, curve: dict[str, list], seconds: float) -> None:
    """Prints how training goes, to standard error."""
    step, loss, validation = (curve[name][-1] for name in ("step", "training", "validation"))
    print(
        f"{settings.task} {settings.length} {settings.cell}: step {step:,.0f}, {step / seconds:.1f} steps/s, "
        f"loss {loss:.4f}, validation {task.metric} {validation:.4f}, {seconds:.0f} s",
        file=sys.stderr,
        flush=True,
    )
