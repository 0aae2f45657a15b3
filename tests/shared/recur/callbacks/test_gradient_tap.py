"""What callbacks see of the gradients of a training step, and that they leave nothing behind."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recur.callbacks.gradient_tap import GradientTap

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def compiled(optimizer: keras.optimizers.Optimizer, **settings) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **settings)
    return model


def gradients_of(model: keras.Model, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x) - y))
    return [gradient.numpy() for gradient in tape.gradient(loss, [v.value for v in model.trainable_variables])]


class Seen:
    """Keeps what a tap passes by, from within the graph."""

    def __init__(self, model: keras.Model):
        self.calls = tf.Variable(0)
        self.gradients = [tf.Variable(tf.zeros(v.shape)) for v in model.trainable_variables]
        self.change = tf.Variable(0.0)

    def __call__(self, gradients, variables):
        self.calls.assign_add(1)
        self.before = [tf.identity(variable.value) for variable in variables]
        for kept, gradient in zip(self.gradients, gradients, strict=True):
            kept.assign(gradient)
        return gradients

    def after_update(self, variables):
        changes = [tf.reduce_sum(tf.abs(v.value - b)) for v, b in zip(variables, self.before, strict=True)]
        self.change.assign(tf.add_n(changes))


def left_on(model: keras.Model) -> set[str]:
    """What of the tap is still there."""
    names = {"apply", "_clip_gradients", "_stateful_handle_non_finite_grads", "fit", "_gradient_tap"}
    owners = (model, model.optimizer, GradientTap.optimizer_of(model))
    return {name for owner in owners for name in vars(owner) if name in names}


SGD, SCALED = {"learning_rate": 0.1}, {"learning_rate": 0.1, "loss_scale_factor": 64.0}
ACCUMULATED = {"learning_rate": 0.1, "gradient_accumulation_steps": 2}


@pytest.mark.parametrize(
    ("settings", "dynamic", "mode"),
    [
        (SGD, False, {"jit_compile": True}),
        (SCALED, False, {"jit_compile": False}),
        (SCALED | ACCUMULATED, False, {"jit_compile": False}),
        (SCALED | ACCUMULATED, False, {"run_eagerly": True}),
        (ACCUMULATED, True, {"jit_compile": False}),
        (ACCUMULATED, True, {"jit_compile": True}),
        (SGD | {"global_clipnorm": 0.01}, False, {"jit_compile": False}),
    ],
)
def test_a_tap_sees_the_gradients_unscaled_accumulated_and_unclipped(settings: dict, dynamic: bool, mode: dict):
    optimizer, accumulated = keras.optimizers.SGD(**settings), settings.get("gradient_accumulation_steps", 1)
    model = compiled(keras.optimizers.LossScaleOptimizer(optimizer) if dynamic else optimizer, **mode)
    expected, before = gradients_of(model, X, Y), model.get_weights()
    seen = Seen(model)
    GradientTap.of(model).add("seen", seen, after_update=seen.after_update)
    batches = iter(tf.data.Dataset.from_tensor_slices((X, Y)).batch(len(X) // accumulated))
    for _ in range(accumulated):
        model.train_function(batches)
    assert int(seen.calls) == 1
    for kept, gradient in zip(seen.gradients, expected, strict=True):
        np.testing.assert_allclose(kept, gradient, rtol=1e-4, atol=1e-6)
    change = sum(np.abs(after - earlier).sum() for after, earlier in zip(model.get_weights(), before, strict=True))
    assert change > 0
    np.testing.assert_allclose(seen.change, change, rtol=1e-4)


def test_functions_run_in_order_and_first_sees_what_nothing_has_changed():
    model = compiled(keras.optimizers.SGD(1.0))
    expected = gradients_of(model, X, Y)
    before = model.get_weights()
    tap, seen, last = GradientTap.of(model), Seen(model), Seen(model)
    tap.add("double", lambda gradients, variables: [2 * gradient for gradient in gradients])
    tap.add("last", last)
    tap.add("seen", seen, first=True)
    assert GradientTap.of(model) is tap
    model.train_on_batch(X, Y)
    for raw, doubled, gradient in zip(seen.gradients, last.gradients, expected, strict=True):
        np.testing.assert_allclose(raw, gradient, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(doubled, 2 * gradient, rtol=1e-5, atol=1e-7)
    for after, earlier, gradient in zip(model.get_weights(), before, expected, strict=True):
        np.testing.assert_allclose(after, earlier - 2 * gradient, rtol=1e-5, atol=1e-6)


def test_nothing_is_left_after_the_last_removal_and_a_second_fit_is_that_of_an_untouched_model():
    model, other = (compiled(keras.optimizers.Adam(0.1)) for _ in range(2))
    tap, seen = GradientTap.of(model), Seen(model)
    tap.add("seen", seen)
    tap.add("none", lambda gradients, variables: [0 * gradient for gradient in gradients])
    tap.remove("seen")
    tap.remove("seen")
    assert "apply" in left_on(model)
    tap.remove("none")
    assert not left_on(model)
    for trained in (model, other):
        trained.fit(X, Y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    assert int(seen.calls) == 0
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_an_interrupted_fit_left_behind_is_gone_in_the_next():
    class Interrupted(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            GradientTap.of(self.model).add("seen", seen)

        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = compiled(keras.optimizers.SGD(0.1))
    seen = Seen(model)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[Interrupted()])
    assert int(seen.calls) == 1
    model.fit(X, Y, verbose=0)
    assert int(seen.calls) == 1
    assert not left_on(model)


def test_several_steps_per_execution_are_all_seen():
    model = compiled(keras.optimizers.SGD(0.1), steps_per_execution=2)
    seen = Seen(model)
    GradientTap.of(model).add("seen", seen)
    batches = iter(tf.data.Dataset.from_tensor_slices((X, Y)).batch(2))
    for _ in range(2):
        model.train_function(batches)
    assert int(seen.calls) == 4


def test_a_new_compile_is_tapped_anew():
    model = compiled(keras.optimizers.SGD(0.1))
    GradientTap.of(model).add("one", Seen(model))
    old = model.optimizer
    model.compile(keras.optimizers.SGD(0.1), "mse")
    seen = Seen(model)
    GradientTap.of(model).add("two", seen)
    assert "apply" not in vars(old)
    model.train_on_batch(X, Y)
    assert int(seen.calls) == 1


def test_what_cannot_be_tapped_is_refused():
    with pytest.raises(ValueError, match="compile"):
        GradientTap.of(keras.Sequential([keras.layers.Dense(1)])).add("a", lambda gradients, variables: gradients)
    model = compiled(keras.optimizers.SGD(0.1))
    GradientTap.of(model).add("a", Seen(model))
    with pytest.raises(ValueError, match="already"):
        GradientTap.of(model).add("a", Seen(model))
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = compiled(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="MirroredStrategy"):
        GradientTap.of(model).add("a", Seen(model))
    assert not left_on(model)
