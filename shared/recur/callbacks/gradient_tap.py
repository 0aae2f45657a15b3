"""The one way in which callbacks see and change the gradients of a compiled Keras model while it trains."""

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any

import keras
import tensorflow as tf

Gradients = list[tf.Tensor | tf.IndexedSlices]
Function = Callable[[Gradients, list[keras.Variable]], Gradients | tuple[Gradients, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class _Hook:
    function: Function
    after_update: Callable[[list[keras.Variable]], None] | None
    after_overflow: Callable[[], None] | None


class GradientTap:
    """Functions that a model's training step runs on its gradients, just before its optimizer uses them.

    They become part of the traced step, at the point where Keras's own optimizer clips: after the loss scale is divided
    out, after accumulation and only when the weights are about to change. It works for every Keras 3 model on
    TensorFlow, with XLA or without, and with every optimizer. While nothing is added nothing is installed.

    Adding and removing forces the step to be traced anew. A `fit` that was interrupted calls no `on_train_end`; what
    it left behind is removed when the next `fit` begins.

    Example:
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> tap = GradientTap.of(model)
        >>> tap.add("halve", lambda gradients, variables: [gradient / 2 for gradient in gradients])
        >>> tap.remove("halve")
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._hooks: dict[Hashable, _Hook] = {}
        self._kept: list[tuple[Any, str, Any]] = []
        self._optimizer: keras.optimizers.Optimizer | None = None
        self._final: Gradients | None = None

    @classmethod
    def of(cls, model: keras.Model) -> "GradientTap":
        """Returns the tap of a model: one and the same for all callbacks, while anything is added to it."""
        return vars(model).get("_gradient_tap") or cls(model)

    @staticmethod
    def optimizer_of(model: keras.Model) -> keras.optimizers.Optimizer:
        """Returns the optimizer that changes the weights: the one within, where another scales the loss.

        Raises:
            ValueError: The model is not compiled with an optimizer.
        """
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            raise ValueError("the model has no optimizer; call `model.compile` first")
        while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = optimizer.inner_optimizer
        return optimizer

    def add(
        self,
        key: Hashable,
        function: Function,
        *,
        first: bool = False,
        after_update: Callable[[list[keras.Variable]], None] | None = None,
        after_overflow: Callable[[], None] | None = None,
    ) -> None:
        """Adds a function to the training step; the functions are called in the order in which they were added.

        Adding what is there already has no effect.

        Args:
            key: The name by which it is removed.
            function: Called in the graph with the gradients, unscaled and accumulated, and with their variables
                (those without a gradient left out). It returns the gradients to use; or those and a boolean scalar:
                where that is False the update is skipped, and weights, moving averages, the optimizer's variables and
                its iterations stay as they are (accumulation begins anew).
            first: Whether it comes before those already there, and so sees the gradients that nothing has changed.
            after_update: Called in the graph with the variables after the update, or after it was skipped. It may use
                tensors of the same call of `function`.
            after_overflow: Called in the graph when Keras's `LossScaleOptimizer` skips a step because the scaled
                gradients overflow; `function` is not called then.

        Raises:
            ValueError: Another function has the key, the model is not compiled, or a strategy distributes it.
        """
        if key in self._hooks and self._hooks[key].function == function:
            return
        if key in self._hooks:
            raise ValueError(f"this model has a function for {key!r} already; remove it first")
        hook = _Hook(function, after_update, after_overflow)
        if self._optimizer is not self.optimizer_of(self._model):  # `compile` makes a new one
            self._uninstall()
            self._install()
        self._hooks = {key: hook} | self._hooks if first else self._hooks | {key: hook}
        self._model.make_train_function(force=True)

    def remove(self, key: Hashable) -> None:
        """Removes a function; without effect where it is not there."""
        if self._hooks.pop(key, None) is None:
            return
        if not self._hooks:
            self._uninstall()
        self._model.make_train_function(force=True)

    def _install(self) -> None:
        model, optimizer = self._model, self.optimizer_of(self._model)
        strategy = model.distribute_strategy
        if strategy.num_replicas_in_sync > 1 or isinstance(strategy, tf.distribute.MirroredStrategy):
            # Replicas sum their gradients only after the point where Keras clips, and cannot do so within a branch.
            raise ValueError(
                f"gradients cannot be tapped under {type(strategy).__name__}; train without a distribution strategy"
            )
        if model.built and not model.optimizer.built:
            # Otherwise Keras builds it in the first trace of the step, and TensorFlow traces all of it once more.
            model.optimizer.build(model.trainable_variables)
        self._optimizer = optimizer
        self._replace(optimizer, "apply", self._apply)
        self._replace(optimizer, "_clip_gradients", self._clip_gradients)
        self._replace(model, "fit", self._fit)
        if model.optimizer is not optimizer:
            self._replace(model.optimizer, "_stateful_handle_non_finite_grads", self._overflow)
        model._gradient_tap = self

    def _replace(self, owner: Any, name: str, method: Callable[..., Any]) -> None:
        self._kept.append((owner, name, getattr(owner, name)))
        setattr(owner, name, method)

    def _uninstall(self) -> None:
        for owner, name, _ in self._kept:
            delattr(owner, name)
        if self._kept:
            del self._model._gradient_tap
        self._kept, self._optimizer = [], None

    def _original(self, name: str) -> Callable[..., Any]:
        return next(method for _, kept, method in self._kept if kept == name)

    def _fit(self, *args: Any, **settings: Any) -> Any:
        """Takes the place of the model's `fit`, where what is still here was left behind: no callback had its turn."""
        fit = self._original("fit")
        self._hooks = {}
        self._uninstall()
        self._model.make_train_function(force=True)
        return fit(*args, **settings)

    def _clip_gradients(self, gradients: Gradients) -> Gradients:
        return self._original("_clip_gradients")(gradients if self._final is None else self._final)

    def _overflow(self) -> None:
        self._original("_stateful_handle_non_finite_grads")()
        for hook in self._hooks.values():
            if hook.after_overflow is not None:
                hook.after_overflow()

    def _apply(self, gradients: Any, trainable_variables: Any = None) -> None:
        """Takes the place of the optimizer's `apply`, and calls it."""
        optimizer, gradients = self._optimizer, list(gradients)
        assert optimizer is not None  # it is installed
        variables = list(optimizer._trainable_variables if trainable_variables is None else trainable_variables)
        if not optimizer.built:
            optimizer.build(variables)  # variables cannot be made in a branch of the graph

        def update() -> None:
            self._original("apply")(gradients, variables)

        pairs = [
            (gradient if optimizer.loss_scale_factor is None else gradient / optimizer.loss_scale_factor, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None and not optimizer._overwrite_variable_with_gradient(variable)
        ]
        steps = optimizer.gradient_accumulation_steps
        if not pairs:
            update()
        elif not steps:
            self._run_hooks(pairs, update, lambda: None)
        else:

            def tapped() -> None:
                self._run_hooks([(_mean(optimizer, g, v), v) for g, v in pairs], update, restart)

            def restart() -> None:
                optimizer._backend_reset_gradient_accumulators()
                optimizer._iterations.assign_sub(steps - 1)

            tf.cond((optimizer._iterations + 1) % steps == 0, tapped, update)

    def _run_hooks(self, pairs, update, skip) -> None:
        gradients, variables = [gradient for gradient, _ in pairs], [variable for _, variable in pairs]
        wanted = []
        for hook in self._hooks.values():
            result = hook.function(gradients, variables)
            if isinstance(result, tuple):
                result, keep = result
                wanted.append(keep)
            gradients = list(result)
        self._final = gradients
        try:
            if wanted:
                tf.cond(tf.reduce_all(tf.stack(wanted)), update, skip)
            else:
                update()
        finally:
            self._final = None
        for hook in self._hooks.values():
            if hook.after_update is not None:
                hook.after_update(variables)


def _mean(optimizer: keras.optimizers.Optimizer, gradient: Any, variable: keras.Variable) -> tf.Tensor:
    """Returns the mean over the batches accumulated, the last of which is not in the accumulator yet."""
    accumulated = optimizer._accumulated_gradients[optimizer._get_variable_index(variable)]
    return (gradient + accumulated) / optimizer.gradient_accumulation_steps
