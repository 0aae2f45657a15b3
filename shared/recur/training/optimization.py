"""How weights are changed: the learning rate, the optimizer, clipping, and the moving average of the weights."""

import contextlib
from collections.abc import Iterator

import keras

from recur.callbacks import GradientClipping
from recur.training.config import TrainingConfig

NEVER = 1e30  # a norm that no gradient of float32 has and is finite: such ones overflow when they are squared


def learning_rate_schedule(config: TrainingConfig, total_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up to the peak, then half a cosine down to a fraction of it (Loshchilov and Hutter 2017)."""
    warmup = min(config.warmup_steps, total_steps // 2)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else config.learning_rate,
        decay_steps=max(total_steps - warmup, 1),
        alpha=config.final_learning_rate,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def build_optimizer(config: TrainingConfig, total_steps: int) -> keras.optimizers.Optimizer:
    """Adam on the schedule, with decoupled weight decay (AdamW) and a moving average of the weights if asked."""
    return keras.optimizers.Adam(
        learning_rate_schedule(config, total_steps),
        weight_decay=config.weight_decay or None,  # of 0 Keras would take nothing from every weight at every step
        use_ema=config.ema_momentum > 0,
        ema_momentum=config.ema_momentum or 0.99,
    )


def build_clipping(config: TrainingConfig) -> GradientClipping:
    """Clipping by global norm; where none is asked for, steps with gradients that are not finite are skipped still."""
    return GradientClipping("global_norm", config.clip_norm or NEVER)


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Within the block the model has the moving average of its weights, where its optimizer keeps one."""
    if not model.optimizer.use_ema:
        yield
        return
    raw = [variable.numpy() for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, raw, strict=True):
            variable.assign(value)
