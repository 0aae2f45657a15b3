"""The one place that trains: the loop, validation, the best weights, checkpoints and exact resumption."""

import contextlib
import dataclasses
import json
import logging
import math
import signal
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd

from recur.callbacks import GradientMonitor
from recur.errors import InputError
from recur.files import atomically
from recur.training.config import TrainingConfig
from recur.training.optimization import averaged_weights, build_clipping
from recur.training.runs import Run
from recur.training.task import Datasets

logger = logging.getLogger(__name__)


class TrainingStoppedError(Exception):
    """Training was asked to stop; its checkpoint is written."""


@dataclasses.dataclass
class Progress:
    """How far training has come; with the variables, all that a checkpoint holds."""

    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    best: float = math.inf
    epochs_since_best: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


class Trainer:
    """Trains a compiled model on endless batches that are a function of the step.

    Keras's `fit` hides its iterator, so it cannot continue in the middle of an epoch; this loop runs the model's own
    `train_function` and keeps the position, so that training that was stopped and resumed ends with the weights of
    training that was not. Gradients are clipped, and watched; callbacks see what they would see in `fit`.

    Args:
        model: A compiled model.
        best: An uncompiled model of the same architecture: it takes the best weights and is what is saved.
        data: What to train and validate on.
        config: Settings of the training.
        run: Where the results go.
        monitor: The validation metric, lower is better, that chooses the best weights.
        callbacks: More Keras callbacks.
    """

    def __init__(
        self,
        model: keras.Model,
        best: keras.Model,
        data: Datasets,
        config: TrainingConfig,
        run: Run,
        monitor: str = "val_loss",
        callbacks: list[keras.callbacks.Callback] | None = None,
    ):
        self.model, self.best, self.data = model, best, data
        self.config, self.run, self.monitor = config, run, monitor
        self.steps_per_epoch = steps_per_epoch(config, data)
        self.clipping, watch = (
            build_clipping(config),
            GradientMonitor(run.path, tensorboard=run.logs, say=logger.warning),
        )
        self.callbacks = keras.callbacks.CallbackList(
            [self.clipping, watch, *(callbacks or [])],
            model=model,
            epochs=config.epochs,
            steps=self.steps_per_epoch,
            verbose=0,
        )
        self.progress = Progress()
        self._stop_requested = threading.Event()
        model.optimizer.build(model.trainable_variables)
        for part in (self.clipping, watch):  # before the step is traced: once will do
            part.install(model)
        model.make_train_function()
        with self._taken_back():  # compiles, and makes the variables of metrics, which come with the first batch
            model.train_function(iter(data.train(0)))
        model.reset_metrics()

    @property
    def total_steps(self) -> int:
        """Steps from the first to the last."""
        return self.steps_per_epoch * self.config.epochs

    def variables(self) -> list[keras.Variable]:
        """Everything that training changes: weights, dropout seeds, carried state, optimizer, metrics, clipping."""
        model = self.model
        candidates = model.variables + model.optimizer.variables + model.metrics_variables + self.clipping.variables
        return list({id(variable): variable for variable in candidates}.values())

    def save_checkpoint(self) -> None:
        """Writes variables and progress as one file, atomically: a process killed here leaves the previous one."""
        arrays = {f"variable_{i:04d}": variable.numpy() for i, variable in enumerate(self.variables())}
        progress = np.frombuffer(json.dumps(dataclasses.asdict(self.progress)).encode(), np.uint8)
        with atomically(self.run.checkpoint) as temporary, temporary.open("wb") as file:
            np.savez(file, progress=progress, **arrays)

    def restore_checkpoint(self) -> None:
        """Reads what `save_checkpoint` wrote.

        Raises:
            InputError: There is no checkpoint, or it belongs to another model.
        """
        try:
            with self.run.checkpoint.open("rb") as file, np.load(file) as state:
                self.progress = Progress(**json.loads(state["progress"].tobytes()))
                values = [state[f"variable_{i:04d}"] for i in range(len(state.files) - 1)]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.run.checkpoint} cannot be read ({error}); train again from the start") from None
        variables = self.variables()
        if [tuple(v.shape) for v in variables] != [v.shape for v in values]:
            raise InputError(f"the checkpoint of {self.run.path} is of another model; train it again from the start")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def seconds_per_step(self, steps: int = 4) -> float:
        """Times a few steps, and takes them back; they are made twice, for the first time compiles."""
        with self._taken_back():
            for _ in range(2):
                batches = iter(self.data.train(self.progress.step))
                begin = time.perf_counter()
                for _ in range(steps):
                    float(self.model.train_function(batches)["loss"])
                seconds = (time.perf_counter() - begin) / steps
        return seconds

    @contextlib.contextmanager
    def _taken_back(self) -> Iterator[None]:
        kept = [(variable, variable.numpy()) for variable in self.variables()]
        yield
        for variable, value in kept:
            variable.assign(value)

    def train(self, bar: Any) -> None:
        """Trains to the last step, or until validation has not improved for `patience` epochs.

        Args:
            bar: A `tqdm` bar over all steps.

        Raises:
            TrainingStoppedError: SIGINT or SIGTERM came; the checkpoint is written.
            FloatingPointError: Gradients are no longer numbers, or the validation metric is none.
        """
        self.model.stop_training = False
        with self._graceful_stop(), warnings.catch_warnings():
            # What clipping warns of when it gives up is raised as an error here.
            warnings.filterwarnings("ignore", "training stopped", RuntimeWarning)
            self.callbacks.on_train_begin()
            try:
                batches = iter(self.data.train(self.progress.step))
                while self.progress.epoch < self.config.epochs and not self._stop_early():
                    self._train_epoch(batches, bar)
                    self._validate(bar)
                    self.save_checkpoint()
            finally:
                self.callbacks.on_train_end()

    def _train_epoch(self, batches: Iterator[Any], bar: Any) -> None:
        progress, first = self.progress, self.progress.epoch * self.steps_per_epoch
        if progress.step == first:
            self.model.reset_metrics()
        counts = self.clipping.before_epoch.numpy()
        self.callbacks.on_epoch_begin(progress.epoch)
        if progress.step > first:  # resumed: the epoch began before
            self.clipping.before_epoch.assign(counts)
        written = begin = time.monotonic()
        already = progress.seconds
        for index in range(progress.step - first, self.steps_per_epoch):
            self.callbacks.on_train_batch_begin(index)
            logs = self.model.train_function(batches)
            progress.step += 1
            now = time.monotonic()
            progress.seconds = already + now - begin
            self.callbacks.on_train_batch_end(index, logs)
            if self.clipping.failure:
                raise FloatingPointError(f"{self.clipping.failure} (step {progress.step})")
            bar.update()
            bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)
            if self._stop_requested.is_set():
                self.save_checkpoint()
                raise TrainingStoppedError
            if now - written > 60 * self.config.checkpoint_minutes:
                self.save_checkpoint()
                written = now

    def _validate(self, bar: Any) -> None:
        begin = time.monotonic()
        progress = self.progress
        logs = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        with averaged_weights(self.model):
            results = self.model.evaluate(self.data.validation, verbose=0, return_dict=True, callbacks=self.callbacks)
            logs |= {f"val_{name}": float(value) for name, value in results.items()}
            if not math.isfinite(logs[self.monitor]):
                raise FloatingPointError(f"{self.monitor} is {logs[self.monitor]}; look for extreme values in the data")
            if improved := logs[self.monitor] < progress.best:
                self.best.set_weights(self.model.get_weights())
                with atomically(self.run.model) as temporary:
                    self.best.save(temporary)
        progress.best = min(progress.best, logs[self.monitor])
        progress.epochs_since_best = 0 if improved else progress.epochs_since_best + 1
        progress.seconds += time.monotonic() - begin
        shown = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        logs |= {name: value for name, value in self.clipping.report_of_epoch().items() if name != "updates"}
        self.callbacks.on_epoch_end(progress.epoch, logs)
        row = {"epoch": progress.epoch + 1, "step": progress.step, "seconds": round(progress.seconds, 1)} | logs
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        progress.history.append(row)
        with atomically(self.run.path / "history.csv") as temporary:
            pd.DataFrame(progress.history).to_csv(temporary, index=False)
        progress.epoch += 1
        bar.write(
            f"epoch {progress.epoch}/{self.config.epochs}  {shown}  "
            f"{progress.seconds / 60:.1f} min{'  best so far' if improved else ''}",
            file=sys.stderr,
        )

    def _stop_early(self) -> bool:
        return self.model.stop_training or 0 < self.config.patience <= self.progress.epochs_since_best

    @contextlib.contextmanager
    def _graceful_stop(self) -> Iterator[None]:
        """A first signal lets the step finish and writes the checkpoint; a second one has its ordinary effect."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ordinary = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def request_stop(number: int, _frame: Any) -> None:
            self._stop_requested.set()
            signal.signal(number, ordinary[signal.Signals(number)])

        for number in ordinary:
            signal.signal(number, request_stop)
        try:
            yield
        finally:
            for number, handler in ordinary.items():
                signal.signal(number, handler)


def steps_per_epoch(config: TrainingConfig, data: Datasets) -> int:
    """Steps in an epoch: as configured, or one pass over the training data."""
    return config.steps_per_epoch or data.steps_per_pass
