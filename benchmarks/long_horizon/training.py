"""Trains a forecaster on windows of scaled series, and forecasts every window of a part."""

import dataclasses
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from benchmarks.long_horizon.data import Part, errors, first_targets, targets_of
from recur.callbacks import GradientClipping
from recur.training.config import TrainingConfig
from recur.training.optimization import build_optimizer

EVALUATION_BATCH = 1024


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a forecaster is trained.

    Attributes:
        window: L, rows seen.
        loss: `mse` or `mae`.
        learning_rate: Peak, of Adam; it falls along half a cosine.
        batch: Windows in a batch, each of one series.
        steps: In an epoch, at most: windows overlap, so that a sample of them says nearly what all do.
        epochs: At most.
        patience: Epochs without improvement on validation after which training stops.
        clip_norm: Of the gradient.
        seed: Of weights, order and dropout.
    """

    window: int
    loss: str
    learning_rate: float
    batch: int
    steps: int
    epochs: int
    patience: int
    clip_norm: float = 1.0
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of training.

    Attributes:
        validation: Errors there, at the best epoch.
        test: Errors there, with the weights of that epoch.
        epochs: How many were trained.
        best_epoch: From 1.
        parameters: Of the model.
        seconds: All in all.
    """

    validation: dict[str, float]
    test: dict[str, float]
    epochs: int
    best_epoch: int
    parameters: int
    seconds: float


def train(
    build: Callable[[], keras.Model],
    values: np.ndarray,
    horizon: int,
    settings: Settings,
    report: Callable[[int, dict[str, float]], None] = lambda epoch, logs: None,
) -> Result:
    """Trains on train, keeps the weights that are best on validation, and measures test once.

    Args:
        build: The model: from `window` [N, L] and `series` [N] to [N, horizon].
        values: float32 [rows, series], scaled.
        horizon: Rows ahead.
        settings: How.
        report: Called after each epoch with its number from 0 and Keras's logs.
    """
    begin = time.perf_counter()
    keras.utils.set_random_seed(settings.seed)
    model = build()
    model.build()
    train_part, validation = (dataset(values, part, horizon, settings) for part in ("train", "validation"))
    config = TrainingConfig(learning_rate=settings.learning_rate, warmup_steps=50)
    optimizer = build_optimizer(config, settings.epochs * len(train_part))
    model.compile(optimizer, loss=settings.loss, metrics=["mse"], jit_compile=False)
    stopping = keras.callbacks.EarlyStopping(
        "val_mse", patience=settings.patience, mode="min", restore_best_weights=True
    )
    callbacks = [
        stopping,
        GradientClipping("global_norm", settings.clip_norm),
        keras.callbacks.LambdaCallback(on_epoch_end=report),
    ]
    history = model.fit(
        train_part, validation_data=validation, epochs=settings.epochs, callbacks=callbacks, shuffle=False, verbose=0
    ).history["val_mse"]
    model.set_weights(stopping.best_weights)  # EarlyStopping does so only where it stopped early
    parts = {
        part: errors(
            forecast(model, values, part, horizon, settings),
            targets_of(values, first_targets(part, settings.window, horizon), horizon),
        )
        for part in ("validation", "test")
    }
    return Result(
        parts["validation"],
        parts["test"],
        len(history),
        int(np.argmin(history)) + 1,
        int(sum(np.prod(weight.shape) for weight in model.trainable_weights)),
        time.perf_counter() - begin,
    )


def dataset(values: np.ndarray, part: Part, horizon: int, settings: Settings) -> tf.data.Dataset:
    """Batches of windows and what came after them: of train shuffled anew each epoch, elsewhere in order.

    Args:
        values: float32 [rows, series], scaled.
        part: Which.
        horizon: Rows ahead.
        settings: Window, batch and seed.

    Returns:
        Of `window` [N, L] and `series` [N], and of targets [N, horizon]; of windows by series.
    """
    firsts, series = first_targets(part, settings.window, horizon), values.shape[1]
    places = np.stack(np.meshgrid(firsts, np.arange(series, dtype=np.int32), indexing="ij"), axis=-1).reshape(-1, 2)
    columns = tf.constant(values.T)  # [series, rows]
    training = part == "train"

    def gathered(place: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        rows = place[:, :1] + tf.range(-settings.window, horizon)
        both = tf.gather_nd(columns, tf.stack([tf.broadcast_to(place[:, 1:], tf.shape(rows)), rows], axis=-1))
        return {"window": both[:, : settings.window], "series": place[:, 1]}, both[:, settings.window :]

    batches = tf.data.Dataset.from_tensor_slices(places)
    if training:
        batches = batches.shuffle(len(places), seed=settings.seed)
    batches = batches.batch(settings.batch if training else EVALUATION_BATCH, drop_remainder=training)
    batches = batches.take(settings.steps) if training else batches
    return batches.map(gathered, num_parallel_calls=2).prefetch(2)


def forecast(model: keras.Model, values: np.ndarray, part: Part, horizon: int, settings: Settings) -> np.ndarray:
    """Forecasts of every window of a part, float32 [windows, series, horizon]."""
    call = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)
    parts = [call(inputs).numpy() for inputs, _ in dataset(values, part, horizon, settings)]
    return np.concatenate(parts).reshape(-1, values.shape[1], horizon)
