"""A callback that watches gradients and says what is wrong with them."""

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, SupportsFloat

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from recur.callbacks.gradient_recorder import GradientRecorder, GradientSummaries, labels
from recur.callbacks.gradient_tap import GradientTap
from recur.callbacks.recurrent_watch import RecurrentWatch
from recur.gradients.diagnosis import Finding, diagnose
from recur.gradients.heat_maps import write_heat_maps
from recur.gradients.records import FirstAndLast, Record, RecordFile, read_records, table
from recur.gradients.statistics import changes, spectral_radii, usual_norm

_KEY = "gradient monitor"
_KEPT = 100  # of the first looks, and of the last, that the diagnosis while training runs is made from
# Of how many looks one runs a few rows again and is judged, in the beginning and later on; and one computes radii.
_BEGINNING, _EARLY, _LATER, _RADIUS = 20, 3, 10, 25
_DRAWING = 50  # of what a picture for TensorBoard takes, before it is drawn again: two percent of the time
_LAGS = 128  # of a sequence that are written down; of a longer one, as many evenly spaced


class GradientMonitor(keras.callbacks.Callback):
    """Watches the gradients of any Keras model, through time where it is recurrent, and names what goes wrong.

    Every so many steps it looks: at the norm of each gradient and weight, the size of the update beside the weight,
    the share of zeros and of dead units; for recurrent layers at ‖∂L/∂h_t‖ for every step t of the sequence, at how
    much of a gradient is carried back over k steps, at the share of saturated gates and, now and then, the spectral
    radius of the recurrent kernel. Gradients are those that training computed, before any clipping. Non-finite ones are
    counted at every step. What it finds it says once, in words, on standard error (see `recur.gradients.diagnosis`).

    The model trains exactly as it would without, and after `fit` nothing is left in it.

    Args:
        directory: Where to write `gradients.csv`, a row a number, as training goes; and at the end
            `plots/gradient_flow.png` and `plots/gradient_through_time.png`. None writes nothing.
        every: Steps from one look to the next.
        tensorboard: Where to write scalars, histograms and heat maps for TensorBoard. None writes none.
        say: What is called with each finding, a line of text; by default it is printed on standard error.

    Attributes:
        findings: What was found, in the order in which it was; before training was resumed, too.

    Raises:
        ValueError: When training begins: the model has another `GradientMonitor`, or no optimizer.

    Example:
        >>> model = keras.Sequential([keras.layers.LSTM(4), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> monitor = GradientMonitor(every=1)
        >>> _ = model.fit(tf.ones((8, 5, 2)), tf.zeros((8, 1)), callbacks=[monitor], verbose=0)
        >>> sorted(set(monitor.records().layer))
        ['', 'dense', 'lstm']
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        every: int = 20,
        tensorboard: str | Path | None = None,
        say: Callable[[str], None] | None = None,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        self.directory = None if directory is None else Path(directory)
        self.every, self.tensorboard, self.say = every, tensorboard, say or _print
        self.findings: list[Finding] = []
        self._tap: GradientTap | None = None
        self._watches: list[RecurrentWatch] = []
        self._changes = tf.function(changes, autograph=False)

    def records(self) -> pd.DataFrame:
        """All that was written down: step, layer, kind, quantity, index, value (see `recur.gradients.records`)."""
        return table(self._all) if self._file is None else read_records(self._file.path)

    def install(self, model: keras.Model) -> None:
        """Makes the monitor part of the training step now, where `on_train_begin` would; the model must be built.

        Raises:
            ValueError: The model has another monitor, or no optimizer.
        """
        if self._tap is not None and GradientTap.of(model) is self._tap:
            return
        self._recorder = GradientRecorder(model, samples=self.tensorboard is not None)
        self._tap, self._watches = GradientTap.of(model), []
        self._tap.add(_KEY, self._recorder.record, first=True)
        self._watch(model)

    def _watch(self, model: keras.Model) -> bool:
        """Watches the recurrent layers that are not watched yet; says whether there were any."""
        tap, known = self._tap, {id(watch.layer) for watch in self._watches}
        layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
        new = [layer for layer in layers if id(layer) not in known]
        for layer in new:
            self._watches.append(RecurrentWatch(layer, self._recorder.due, lambda: GradientTap.of(model) is tap))
        return bool(new)

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins to watch."""
        GradientTap.optimizer_of(self.model)  # raises where there is none
        self._step = self._next = int(self.model.optimizer.iterations)
        # Before anything is installed: it may be refused.
        self._file = None if self.directory is None else RecordFile(self.directory / "gradients.csv", self._step)
        self.install(self.model)
        self._looks = self._reported = 0
        self._before: list[tf.Tensor] | None = None
        self._labels: list[tuple[str, str]] = []
        self._sized: set[int] = set()
        self._recorder.reset()
        self._all: list[Record] = []
        self._kept = FirstAndLast(_KEPT)
        if self._file is not None and self._step:  # training goes on: what was said before is not said again
            self._kept.extend(read_records(self._file.path))
        self.findings = diagnose(self._kept.table())
        self._summaries = None if self.tensorboard is None else GradientSummaries(Path(self.tensorboard))
        self._drawn, self._drawing_seconds = time.monotonic(), 1.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Asks the step for its gradients, where it is time to."""
        self._batch = batch
        if self._step < self._next or self._before is not None:
            return
        self._recorder.due.assign(True)
        for watch in self._watches:
            watch.reset()
        self._scale, self._rate = _loss_scale(self.model.optimizer), float(self.model.optimizer.learning_rate)
        self._before = [tf.convert_to_tensor(variable.value) for variable in self._recorder.variables]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Writes down what the step showed."""
        steps = batch - self._batch + 1
        self._step += steps
        if not self._labels:
            self._name()
        # Where gradients are accumulated, or their scaled values overflow, the weights have not changed yet.
        if self._before is None or self._recorder.seen() == self._looks:
            return
        self._recorder.due.assign(False)
        self._write(self._look(steps, self._before))
        # A model that was built by this step has not shown what it changed.
        wait = self.every if len(self._before) == len(self._recorder.variables) else 1
        self._looks, self._before, self._next = self._recorder.seen(), None, self._step - steps + wait

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Gives TensorBoard its heat maps, unless that was a moment ago: to draw them takes a second."""
        begin = time.monotonic()
        if begin - self._drawn > _DRAWING * self._drawing_seconds:
            self._draw()
            self._drawn = time.monotonic()
            self._drawing_seconds = self._drawn - begin

    def _draw(self) -> None:
        if self._summaries is not None and self._looks:
            self._summaries.heat_maps(self._step, self.records())

    def on_train_end(self, logs: Any = None) -> None:
        """Ends watching, and draws."""
        for watch in self._watches:
            watch.remove()
        assert self._tap is not None  # training has begun
        self._tap.remove(_KEY)
        self._tap = None
        if rest := self._not_finite():
            self._write(rest)
        self._diagnose()
        self._draw()
        if self._summaries is not None:
            self._summaries.close()
        if self._file is not None and self._looks:
            plots = self._file.path.parent / "plots"
            try:
                write_heat_maps(self.records(), plots)
            except OSError as error:
                _warn(f"{plots} cannot be written ({error}); no picture is drawn")

    def _name(self) -> None:
        """Names what the first step has shown: a model may build itself, and layers of its own, as late as that."""
        if self._watch(self.model):
            self.model.make_train_function(force=True)
        recurrent = [watch.layer for watch in self._watches]
        self._labels = labels(self._recorder.variables, recurrent, self.model.name)
        names = {id(v): name for v, (name, _) in zip(self._recorder.variables, self._labels, strict=True)}
        self._names = []
        for layer in recurrent:
            own = [] if hasattr(layer.cell, "cells") else layer.trainable_variables
            self._names.append(names[id(own[0])] if own else layer.path or layer.name)

    def _look(self, steps: int, before: list[tf.Tensor]) -> list[Record]:
        """Everything there is to see of the step just made; the change of weights is that of one step of several."""
        step = self._step
        records: list[Record] = []

        def add(name: str, kind: str, quantity: str, value: SupportsFloat, index: int | None = None) -> None:
            records.append(Record(step, name, kind, quantity, index, float(value)))

        norms, zeros, dead = self._recorder.statistics()
        add("", "model", "gradient_norm", np.linalg.norm(norms))
        add("", "model", "learning_rate", self._rate)
        weights = [tf.convert_to_tensor(variable.value) for variable in self._recorder.variables]
        known = len(before) == len(weights)
        sizes, ratios = self._changes(before if known else weights, weights).numpy()
        for i in self._recorder.tapped:
            after = weights[i]
            add(*self._labels[i], "gradient_norm", norms[i])
            add(*self._labels[i], "weight_norm", sizes[i])
            if known:
                add(*self._labels[i], "update_ratio", ratios[i] / steps)
            if self._labels[i][1] != "bias" and len(after.shape) > 1 and i not in self._sized:
                add(*self._labels[i], "usual_norm", usual_norm(after.shape))
                self._sized.add(i)
            add(*self._labels[i], "zeros", zeros[i])
            add(*self._labels[i], "dead_units", dead[i])
            if self._looks % _RADIUS == 0 and _is_recurrent(self._labels[i][1], after.shape):
                for gate, radius in enumerate(spectral_radii(after).numpy()):
                    add(*self._labels[i], "spectral_radius", radius, gate)
        for name, watch in zip(self._names, self._watches, strict=True):
            through_time = watch.norms() / self._scale
            if len(through_time):
                add(name, "state", "steps", len(through_time))
            for lag in np.unique(np.linspace(0, len(through_time) - 1, min(len(through_time), _LAGS)).astype(int)):
                add(name, "state", "gradient_norm", through_time[len(through_time) - 1 - lag], lag)
            if self._thorough():
                carried, shares = watch.look()
                for lag, share in enumerate(carried):
                    add(name, "state", "carried", share, lag)
                for kind, share in shares.items():
                    add(name, kind, "saturated", share)
        if self._summaries is not None:
            self._summaries.write(records, self._labels, self._recorder)
        return records + self._not_finite()

    def _thorough(self) -> bool:
        """Whether this look is one of those that take their time: most faults show in the beginning."""
        return self._looks % (_EARLY if self._looks < _BEGINNING else _LATER) == 0

    def _not_finite(self) -> list[Record]:
        """How many updates had gradients that were not finite, and of which weights, where there are new ones."""
        updates, steps, counts = self._recorder.not_finite()
        if steps == self._reported:
            return []
        self._reported = steps
        records = [Record(self._step, "", "model", "updates", None, updates)]
        records.append(Record(self._step, "", "model", "not_finite", None, steps))
        pairs = zip(self._labels, counts, strict=True)
        return records + [Record(self._step, *label, "not_finite", None, int(n)) for label, n in pairs if n]

    def _write(self, records: list[Record]) -> None:
        if self._file is not None:
            try:
                self._file.append(records)
            except OSError as error:
                _warn(f"{self._file.path} cannot be written ({error}); what gradients show is kept in memory instead")
                self._file = None
        if self._file is None:
            self._all += records
        self._kept.append(records)
        if self._thorough() or records[-1].quantity == "not_finite":
            self._diagnose()

    def _diagnose(self) -> None:
        for finding in diagnose(self._kept.table()):
            if (finding.name, finding.layer) not in {(known.name, known.layer) for known in self.findings}:
                self.findings.append(finding)
                self.say(str(finding))


def _loss_scale(optimizer: keras.optimizers.Optimizer) -> float:
    """By what the loss, and every gradient within the model, is multiplied."""
    scale = getattr(optimizer, "dynamic_scale", None) if optimizer.built else getattr(optimizer, "initial_scale", None)
    return float(1.0 if scale is None else scale) * float(optimizer.loss_scale_factor or 1.0)


def _is_recurrent(kind: str, shape: tf.TensorShape) -> bool:
    """Whether a weight is a recurrent kernel, of square parts side by side."""
    return kind == "recurrent_kernel" and len(shape) == 2 and shape[1] % shape[0] == 0


def _warn(text: str) -> None:
    """Training goes on, whatever becomes of what is written about it."""
    warnings.warn(text, RuntimeWarning, stacklevel=2)


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
