"""Training that was stopped, in whatever way, ends with the weights of training that was not."""

import contextlib
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.text_generation.application import APPLICATION
from apps.text_generation.model import CharacterLanguageModel
from recur.cli.application import main
from recur.errors import InputError
from recur.training import optimization
from recur.training.config import TrainingConfig
from recur.training.runs import Run, being_trained, create_run
from recur.training.task import Datasets
from recur.training.trainer import Trainer, steps_per_epoch
from tests.checkout import ROOT

pytestmark = pytest.mark.slow

STEPS, EPOCHS = 40, 2
FLAGS = {
    "--preset": "quick",
    "--units": "24",
    "--layers": "2",
    "--embedding-units": "8",
    "--batch-size": "4",
    "--window": "16",
    "--epochs": str(EPOCHS),
    "--steps-per-epoch": str(STEPS),
    "--dropout": "0.3",
    "--ema-momentum": "0.9",
    "--checkpoint-minutes": "0.000001",  # after every step
}


def start(*words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "apps.text_generation", "train", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """A file ends at this many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def finish(process: subprocess.Popen) -> tuple[int, str]:
    _, errors = process.communicate(timeout=1800)
    return process.returncode, errors


def checkpoint(run: Run) -> tuple[dict, list[np.ndarray]]:
    with np.load(run.checkpoint) as state:
        names = sorted(set(state.files) - {"progress"})
        return json.loads(state["progress"].tobytes()), [state[name] for name in names]


def saved_weights(run: Run) -> list[np.ndarray]:
    model = keras.saving.load_model(run.model)
    assert isinstance(model, CharacterLanguageModel)
    return model.get_weights()


def wait_until_in_epoch(process: subprocess.Popen, run: Run, epoch: int) -> None:
    deadline, seen = time.monotonic() + 1800, 0
    while time.monotonic() < deadline and process.poll() is None:
        written = run.checkpoint.stat().st_mtime_ns if run.checkpoint.exists() else 0
        if written != seen and epoch * STEPS < checkpoint(run)[0]["step"] < (epoch + 1) * STEPS - 5:
            return
        seen = written
        time.sleep(0.005)
    pytest.fail(f"training never was in the middle of epoch {epoch}: {finish(process)}")


def wait_until_writing(process: subprocess.Popen, run: Run) -> None:
    deadline = time.monotonic() + 1800
    while time.monotonic() < deadline and process.poll() is None:
        if any(run.checkpoint.parent.glob(".*.state.npz")):
            return
    pytest.fail("no checkpoint was being written")


def test_stopped_by_interrupt_kill_and_full_disk_equals_never_stopped(
    tiny_text: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    flags = [word for pair in FLAGS.items() for word in pair]
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    assert main(APPLICATION, ["train", "--data", str(tiny_text), *flags, "--out", str(whole.path)]) == 0

    process = start("--data", str(tiny_text), *flags, "--out", str(broken.path))
    wait_until_in_epoch(process, broken, 0)
    process.send_signal(signal.SIGINT)
    status, errors = finish(process)
    assert status == 130
    assert errors.splitlines()[-1] == "error: interrupted"
    assert "--resume" in errors
    assert "Traceback" not in errors

    before = checkpoint(broken)
    capsys.readouterr()
    with full_disk(10_000):
        status = main(APPLICATION, ["train", "--resume", str(broken.path)])
    errors = capsys.readouterr().err
    assert status == 1, errors
    assert errors.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in errors
    assert checkpoint(broken)[0] == before[0], "a full disk must leave the checkpoint before"
    assert not list(broken.path.rglob(".*")), "and nothing half written"

    process = start("--resume", str(broken.path))
    wait_until_in_epoch(process, broken, 1)
    wait_until_writing(process, broken)
    process.kill()
    finish(process)
    assert 0 < checkpoint(broken)[0]["step"] < EPOCHS * STEPS, "a killed writer must leave the checkpoint before"

    assert main(APPLICATION, ["train", "--resume", str(broken.path)]) == 0
    assert not list(broken.path.rglob(".*"))

    (progress, variables), (expected_progress, expected) = checkpoint(broken), checkpoint(whole)
    for found, wanted in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    for row, wanted in zip(progress["history"], expected_progress["history"], strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in wanted.items() if k != "seconds"}
    for found, wanted in zip(saved_weights(broken), saved_weights(whole), strict=True):
        np.testing.assert_array_equal(found, wanted)


def regression(learning_rate: float = 0.05, **settings: float) -> tuple[TrainingConfig, Datasets]:
    """y = 2x, endless and by step."""
    config = TrainingConfig(
        epochs=4, steps_per_epoch=25, warmup_steps=5, learning_rate=learning_rate, clip_norm=0.0, **settings
    )

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.random.stateless_normal([8, 1], [config.seed, step])
        return x, 2 * x

    x = tf.linspace(-1.0, 1.0, 16)[:, None]
    validation = tf.data.Dataset.from_tensor_slices((x, 2 * x)).batch(8)
    return config, Datasets(lambda first: tf.data.Dataset.range(first, 10**9).map(batch), 25, validation)


def linear() -> keras.Model:
    return keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])


class SilentBar:
    def update(self) -> None: ...
    def set_postfix(self, **_: object) -> None: ...
    def write(self, *_: object, **__: object) -> None: ...


def trainer(
    path: Path, config: TrainingConfig, data: Datasets, metrics: list[str] | None = None, callbacks: list | None = None
) -> Trainer:
    keras.utils.set_random_seed(config.seed)
    best, model = linear(), linear()
    optimizer = optimization.build_optimizer(config, steps_per_epoch(config, data) * config.epochs)
    model.compile(optimizer, loss="mse", metrics=metrics)
    return Trainer(model, best, data, config, create_run("test", path), callbacks=callbacks)


def test_training_learns_and_keeps_a_row_an_epoch(tmp_path: Path) -> None:
    config, data = regression()
    made = trainer(tmp_path / "run", config, data)
    made.train(SilentBar())
    assert [row["epoch"] for row in made.progress.history] == [1, 2, 3, 4]
    assert made.progress.best == min(row["val_loss"] for row in made.progress.history) < 0.5


def test_timing_leaves_no_trace(tmp_path: Path) -> None:
    config, data = regression()
    made = trainer(tmp_path / "run", config, data)
    before = [variable.numpy() for variable in made.variables()]
    assert made.seconds_per_step() > 0
    for variable, value in zip(made.variables(), before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_same_seed_same_history_and_another_seed_another(tmp_path: Path) -> None:
    histories = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        config, data = regression(seed=seed)
        made = trainer(tmp_path / name, config, data)
        made.train(SilentBar())
        histories.append([row["loss"] for row in made.progress.history])
    assert histories[0] == histories[1] != histories[2]


def test_averaged_weights_are_validated_kept_and_taken_back(tmp_path: Path) -> None:
    config, data = regression(ema_momentum=0.9)
    made = trainer(tmp_path / "run", config, data)
    made.train(SilentBar())
    raw = made.model.get_weights()[0]
    with optimization.averaged_weights(made.model):
        averaged = made.model.get_weights()[0]
        loss = made.model.evaluate(data.validation, verbose=0)
    assert loss == pytest.approx(made.progress.history[-1]["val_loss"])
    assert averaged != raw
    np.testing.assert_array_equal(made.model.get_weights()[0], raw)


def test_the_best_weights_are_kept_and_training_stops_when_validation_has_not_improved(tmp_path: Path) -> None:
    config, data = regression(patience=2)
    opposite = Datasets(data.train, data.steps_per_pass, data.validation.map(lambda x, y: (x, -y)))  # worse and worse
    made = trainer(tmp_path / "run", config, opposite)
    made.train(SilentBar())
    losses = [row["val_loss"] for row in made.progress.history]
    assert losses == sorted(losses)
    assert len(losses) == 3, "the first epoch and two without improvement"
    saved = keras.saving.load_model(made.run.model)
    saved.compile(loss="mse")
    assert saved.evaluate(opposite.validation, verbose=0) == pytest.approx(losses[0])


def test_an_improvement_starts_the_count_of_patience_again(tmp_path: Path) -> None:
    config, data = regression(patience=2)
    made = trainer(tmp_path / "run", config, data)
    made.progress.epochs_since_best = 1
    made.train(SilentBar())
    assert len(made.progress.history) == 4


def test_a_callback_may_stop_training_and_sees_validation(tmp_path: Path) -> None:
    seen: list[str] = []

    class Stop(keras.callbacks.Callback):
        def on_test_end(self, logs: dict | None = None) -> None:
            seen.append("validated")

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs: dict | None = None) -> None:
            seen.append("ended")

    config, data = regression()
    made = trainer(tmp_path / "run", config, data, callbacks=[Stop()])
    made.train(SilentBar())
    assert seen == ["validated", "validated", "ended"]


def test_validation_that_is_no_number_stops_training(tmp_path: Path) -> None:
    config, data = regression()
    worse = Datasets(data.train, data.steps_per_pass, data.validation.map(lambda x, y: (x, y * np.nan)))
    with pytest.raises(FloatingPointError, match="val_loss is nan"):
        trainer(tmp_path / "run", config, worse).train(SilentBar())


def test_a_checkpoint_holds_the_metrics_too(tmp_path: Path) -> None:
    config, data = regression()
    made = trainer(tmp_path / "run", config, data, metrics=["mae"])
    made.train(SilentBar())
    again = trainer(tmp_path / "other", config, data, metrics=["mae"])
    again.run = made.run
    again.restore_checkpoint()
    assert again.progress == made.progress
    assert {"mae", "val_mae"} <= set(made.progress.history[0])
    for found, wanted in zip(again.variables(), made.variables(), strict=True):
        np.testing.assert_array_equal(found.numpy(), wanted.numpy())


def test_two_processes_do_not_train_one_run(tmp_path: Path) -> None:
    run = create_run("test", tmp_path / "run")
    (run.path / ".0123abcd.model.keras").touch()
    with being_trained(run), pytest.raises(InputError, match="another process is training"), being_trained(run):
        pass
    assert not (run.path / ".0123abcd.model.keras").exists()


def test_a_loss_that_is_no_number_stops_training_and_says_what_to_do(tmp_path: Path) -> None:
    config, data = regression(learning_rate=1e30)
    made = trainer(tmp_path / "run", config, data)
    with pytest.raises(FloatingPointError, match=r"20 steps in a row were not finite; .*learning rate \(step 2\d\)"):
        made.train(SilentBar())


def test_a_batch_that_is_not_finite_is_skipped_named_and_counted(tmp_path: Path, capsys) -> None:
    config, data = regression()

    def poisoned(first: int) -> tf.data.Dataset:
        steps = tf.data.Dataset.range(first, 10**9)
        return tf.data.Dataset.zip(steps, data.train(first)).map(
            lambda step, batch: (tf.where(step == 30, np.inf, batch[0]), batch[1])
        )

    made = trainer(tmp_path / "run", config, Datasets(poisoned, data.steps_per_pass, data.validation))
    made.train(SilentBar())
    assert [row["skipped"] for row in made.progress.history] == [0, 1, 0, 0]
    assert made.clipping.report() == {"updates": 99, "clipped": 0.0, "clip_scale": 1.0, "skipped": 1}
    assert made.progress.best < 0.5
    assert "non-finite gradient: 1 step so far" in capsys.readouterr().err
    assert {"gradient_flow.png"} <= {path.name for path in made.run.plots.iterdir()}


def test_clipped_steps_are_counted(tmp_path: Path) -> None:
    config, data = regression()
    made = trainer(tmp_path / "run", dataclasses.replace(config, clip_norm=1e-3), data)
    made.train(SilentBar())
    report = made.clipping.report()
    assert report["clipped"] > 0.9
    assert report["clip_scale"] < 0.1
    assert np.mean([row["clipped"] for row in made.progress.history]) == pytest.approx(report["clipped"])


def test_learning_rate_warms_up_to_the_peak_and_falls_along_a_cosine() -> None:
    config = TrainingConfig(learning_rate=1.0, warmup_steps=10, final_learning_rate=0.1)
    schedule = optimization.learning_rate_schedule(config, 110)
    rates = [float(schedule(step)) for step in (0, 5, 10, 60, 110)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.55, 0.1])
