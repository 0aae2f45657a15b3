"""What is exported: a module whose functions take raw inputs and return answers."""

import abc
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import keras
import tensorflow as tf

ModelT = TypeVar("ModelT", bound=keras.Model)


class ServingModule(tf.Module, abc.ABC, Generic[ModelT]):
    """Answers raw requests with trained models: `predict`, the export and the server all go through it.

    It owns the variables that its functions read: an export whose variables nobody owns loads, and fails when it is
    asked. The models themselves it hides, or Keras would be saved along, with all that only training needs. Tables and
    tokenizers have to be its attributes too: inside a dataclass TensorFlow does not see them.

    Keep the module while its functions are asked, which know it only weakly.

    Args:
        models: The models; several where their answers are averaged.
        variables: What the functions read; the models' trainable variables by default.
    """

    def __init__(self, models: Iterable[ModelT], variables: Iterable[keras.Variable] | None = None):
        super().__init__()
        models = tuple(models)
        if variables is None:
            variables = (variable for model in models for variable in model.trainable_variables)
        self._owned = list({id(variable): variable.value for variable in variables}.values())
        self._models: Callable[[], tuple[ModelT, ...]] = lambda: models

    @property
    def models(self) -> tuple[ModelT, ...]:
        """All models."""
        return self._models()

    @property
    def model(self) -> ModelT:
        """The model, or the first of several."""
        return self._models()[0]

    @property
    @abc.abstractmethod
    def signatures(self) -> Mapping[str, Callable[..., Any]]:
        """By name, `tf.function`s with an input signature, from raw inputs to a dictionary of answers."""
