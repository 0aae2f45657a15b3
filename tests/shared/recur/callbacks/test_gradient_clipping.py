"""Training with `GradientClipping` is what a loop written by hand would do; a bad step changes nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recur.callbacks import GradientClipping

pytestmark = pytest.mark.slow

rng = np.random.default_rng(0)
X = rng.normal(size=(32, 5, 3)).astype("float32")
Y = X.sum(axis=(1, 2), keepdims=False)[:, None]
BAD = np.where(np.arange(32)[:, None, None] == 9, np.float32("inf"), X)  # in the second of four batches
INPUT = (5, 3)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.recurrent, self.head = keras.layers.SimpleRNN(4), keras.layers.Dense(1)

    def call(self, x):
        return self.head(self.recurrent(x))


def functional() -> keras.Model:
    inputs = keras.Input(INPUT)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.SimpleRNN(4)(inputs)))


def sequential() -> keras.Model:
    layers = [keras.layers.Flatten(), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)]
    return keras.Sequential([keras.layers.Input(INPUT), *layers])


def compiled(optimizer: keras.optimizers.Optimizer, build=sequential, **settings) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = build()
    model.compile(optimizer, "mse", **settings)
    return model


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback, x: np.ndarray = X, epochs: int = 1, **settings):
    targets = {} if isinstance(x, tf.data.Dataset) else {"y": Y, "batch_size": 8}
    arguments = {"epochs": epochs, "shuffle": False, "verbose": 0} | targets | settings
    return model.fit(x, callbacks=list(callbacks), **arguments)


def state(model: keras.Model) -> list[np.ndarray]:
    """Weights and everything the optimizer holds, without the loss scale and the place in an accumulation."""
    apart = ("dynamic_scale", "step_counter", "loss_scale_optimizer")
    return [v.numpy() for v in model.variables + model.optimizer.variables if not any(name in v.path for name in apart)]


def scale(model: keras.Model) -> float:
    return float(model.optimizer.dynamic_scale.numpy())


def equal(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def scaled(gradients: list[tf.Tensor], threshold: float) -> tuple[list[tf.Tensor], float]:
    norm = np.sqrt(sum(float(tf.reduce_sum(gradient**2)) for gradient in gradients))
    scale = min(1.0, threshold / norm)
    return [gradient * scale for gradient in gradients], scale


@pytest.mark.parametrize(("accumulated", "jit_compile"), [(1, False), (1, True), (2, False)])
def test_fit_equals_a_loop_written_by_hand(accumulated: int, jit_compile: bool):
    steps = accumulated if accumulated > 1 else None
    model = compiled(
        keras.optimizers.Adam(0.01, gradient_accumulation_steps=steps), functional, jit_compile=jit_compile
    )
    by_hand, optimizer = compiled("sgd", functional), keras.optimizers.Adam(0.01)
    clipping = GradientClipping("global_norm", threshold=15.0)
    targets = Y * np.repeat(np.float32([[0.1], [10.0]]), 16, axis=0)  # the gradients of the second half are large
    history = fit(model, clipping, y=targets, epochs=3).history

    scales, size = [], 8 * accumulated
    for begin in [*range(0, len(X), size)] * 3:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(by_hand(X[begin : begin + size]) - targets[begin : begin + size]))
        variables = by_hand.trainable_variables
        gradients, scale = scaled(tape.gradient(loss, [v.value for v in variables]), 15.0)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        scales.append(scale)

    for one, two in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)
    scales = np.array(scales)
    assert np.mean(scales < 1) == 0.5
    report = clipping.report()
    assert (report["updates"], report["skipped"]) == (len(scales), 0)
    np.testing.assert_allclose(report["clipped"], np.mean(scales < 1))
    np.testing.assert_allclose(report["clip_scale"], scales.mean(), rtol=1e-5)
    by_epoch = scales.reshape(3, -1)
    np.testing.assert_allclose(history["clip_scale"], by_epoch.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(history["clipped"], (by_epoch < 1).mean(axis=1))
    assert history["skipped"] == [0, 0, 0]


def test_clipping_by_the_global_norm_equals_that_of_the_optimizer():
    model = compiled(keras.optimizers.Adam(0.01))
    other = compiled(keras.optimizers.Adam(0.01, global_clipnorm=0.5))
    fit(model, GradientClipping(threshold=0.5), epochs=2)
    fit(other, epochs=2)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)


def test_successive_fits_with_and_without_the_callback_each_do_what_they_say():
    model, other = (compiled(keras.optimizers.SGD(0.01)) for _ in range(2))
    clipping = GradientClipping("value", 1e-3)
    for callbacks in ([clipping], [], [clipping]):
        before = model.get_weights()
        fit(model, *callbacks)
        moved = max(np.abs(a - b).max() for a, b in zip(model.get_weights(), before, strict=True))
        assert (moved <= 4 * 0.01 * 1e-3 * 1.01) == bool(callbacks)
        if not callbacks:
            other.set_weights(before)
            fit(other)
            assert equal(model.get_weights(), other.get_weights())
    assert clipping.report()["updates"] == 8
    left = {*vars(model.optimizer), *vars(model)}
    assert not left & {"apply", "_clip_gradients", "fit", "_gradient_tap"}


@pytest.mark.parametrize("mode", [{"jit_compile": False}, {"jit_compile": True}, {"run_eagerly": True}])
@pytest.mark.parametrize("accumulated", [None, 2])
def test_a_step_without_finite_gradients_changes_nothing(accumulated: int | None, mode: dict):
    def build() -> keras.Model:
        # Keras itself applies constraints and averages weights with every batch that is only accumulated.
        layer = keras.layers.Dense(1, kernel_constraint=None if accumulated else "unit_norm")
        return keras.Sequential([keras.layers.Input(INPUT), keras.layers.Flatten(), keras.layers.Dense(4), layer])

    def trained(*batches: np.ndarray) -> tuple[keras.Model, GradientClipping]:
        optimizer = keras.optimizers.AdamW(0.01, use_ema=not accumulated, gradient_accumulation_steps=accumulated)
        model, clipping = compiled(optimizer, build, **mode), GradientClipping()
        data = tf.data.Dataset.from_tensor_slices((np.concatenate(batches), np.ones([8 * len(batches), 1], "float32")))
        fit(model, clipping, x=data.batch(8))
        return model, clipping

    first, second, bad = [X[:8], X[8:16]], [X[16:24], X[24:]], [X[:8], BAD[8:16]]
    if not accumulated:
        first, second, bad = first[:1], second[:1], bad[1:]
    model, clipping = trained(*first, *bad, *second)
    other, _ = trained(*first, *second)
    assert equal(state(model), state(other))
    report = clipping.report()
    assert (report["updates"], report["skipped"]) == (2, 1)
    assert np.isfinite(report["clip_scale"])


@pytest.mark.parametrize(
    ("build", "jit_compile"), [(sequential, True), (functional, False), (Subclassed, True), (Subclassed, False)]
)
def test_any_model_in_mixed_precision_skips_with_the_loss_scale_falling(build, jit_compile: bool):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled(keras.optimizers.Adam(0.01), build, jit_compile=jit_compile)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    clipping, kept = GradientClipping(threshold=0.1), []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append((state(model), scale(model))))
    data = tf.data.Dataset.from_tensor_slices((np.concatenate([X, X, X, np.full_like(X, np.nan)]), np.tile(Y, [4, 1])))
    history = fit(model, clipping, keep, x=data.batch(8).repeat(), epochs=4, steps_per_epoch=4).history
    skipped = sum(history["skipped"][:3])
    report = clipping.report()
    assert report["updates"] == 12 - skipped == int(model.optimizer.iterations) > 0
    assert report["clipped"] > 0
    (before, scale_before), (after, scale_after) = kept[2:]
    assert scale_before == 2.0 ** (15 - skipped)
    assert equal(after, before)
    assert history["skipped"][3] == 4
    assert scale_after == scale_before / 16


def test_clipping_is_by_the_unscaled_and_accumulated_gradient():
    def trained(optimizer: keras.optimizers.Optimizer, size: int) -> list[np.ndarray]:
        model = compiled(optimizer)
        fit(model, GradientClipping(threshold=0.5), epochs=2, batch_size=size)
        return model.get_weights()

    expected = trained(keras.optimizers.SGD(0.1), 16)
    both = {"loss_scale_factor": 1024.0, "gradient_accumulation_steps": 2}
    dynamic = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    for weights in (trained(keras.optimizers.SGD(0.1, **both), 8), trained(dynamic, 8)):
        for one, two in zip(weights, expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", ["value", "norm", "global_norm", "pascanu", "autoclip", "agc"])
def test_every_rule_trains(rule: str):
    model = compiled(keras.optimizers.Adam(0.01))
    before = model.get_weights()
    clipping = GradientClipping(rule)
    fit(model, clipping, epochs=2)
    assert not equal(model.get_weights(), before)
    report = clipping.report()
    assert report["updates"] == 8
    assert 0 < report["clip_scale"] <= 1
    assert (report["clipped"] > 0) == (report["clip_scale"] < 1)
    assert all(np.isfinite(variable.numpy()).all() for variable in clipping.variables)


@pytest.mark.parametrize(
    ("clips", "wrapped"), [("clipnorm", False), ("clipvalue", False), ("global_clipnorm", False), ("clipnorm", True)]
)
def test_an_optimizer_that_clips_already_is_refused(clips: str, wrapped: bool):
    optimizer = keras.optimizers.Adam(**{clips: 1.0})
    model = compiled(keras.optimizers.LossScaleOptimizer(optimizer) if wrapped else optimizer)
    with pytest.raises(ValueError, match=rf"Adam clips gradients already \({clips}=1.0\); compile the model without"):
        fit(model, GradientClipping())
    assert "apply" not in vars(optimizer)


def test_a_second_clipping_is_refused_and_settings_that_cannot_be():
    with pytest.raises(ValueError, match="already"):
        fit(compiled("sgd"), GradientClipping(), GradientClipping("value"))
    with pytest.raises(ValueError, match="max_skipped"):
        GradientClipping(max_skipped=0)
    with pytest.raises(ValueError, match="clipping rules are: value"):
        GradientClipping("values")


@pytest.mark.parametrize("optimizer", ["adam", "scaling"])
def test_training_stops_after_too_many_skipped_steps_in_a_row(optimizer: str):
    adam = keras.optimizers.Adam(0.01)
    model = compiled(keras.optimizers.LossScaleOptimizer(adam, 1.0) if optimizer == "scaling" else adam)
    clipping = GradientClipping(max_skipped=3)
    fit(model, clipping, x=BAD, epochs=4)
    assert clipping.failure is None
    with pytest.warns(RuntimeWarning, match="3 steps in a row were not finite"):
        history = fit(model, clipping, x=np.full_like(X, np.inf), epochs=4).history
    assert "look for NaN" in clipping.failure
    assert history["skipped"] == [3]
    assert clipping.report()["skipped"] == 7
    fit(model, clipping)
    assert clipping.failure is None


def test_a_loop_of_ones_own_installs_it_before_the_step_is_traced():
    model = compiled(keras.optimizers.SGD(0.01))
    clipping = GradientClipping()
    clipping.install(model)
    batches = iter(tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).repeat())
    step = model.train_function
    step(batches)
    callbacks = keras.callbacks.CallbackList([clipping], model=model)
    callbacks.on_train_begin()
    assert model.train_function is step
    step(batches)
    callbacks.on_train_end()
    assert clipping.report()["updates"] == 2
    model.train_function(batches)
    assert clipping.report()["updates"] == 2
