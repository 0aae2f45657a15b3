"""Raw inputs to answers, whoever holds the model: the serving module here, an export, or a server."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recur.training.application import Application, Shapes

if TYPE_CHECKING:
    import tensorflow as tf

    from recur.serving.session import SavedModelSession


class Asked(NamedTuple):
    """Whoever holds a model.

    Attributes:
        shapes: Of the inputs of each signature.
        ask: From the name of a signature and its inputs to its outputs.
    """

    shapes: Shapes
    ask: Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def ask_module(module: "tf.Module") -> Asked:
    """Asks a serving module: what `predict` does, and in the same graph what an export does."""
    import tensorflow as tf  # not for those who ask a server

    def ask(signature: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        outputs = module.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    shapes = {
        name: {
            key: tuple(parameter.type_constraint.shape) for key, parameter in function.function_type.parameters.items()
        }
        for name, function in module.signatures.items()
    }
    return Asked(shapes, ask)


def ask_saved_model(saved_model: "SavedModelSession") -> Asked:
    """Asks an export."""
    shapes = {
        name: {key: shape for key, (_, shape) in signature.inputs.items() if shape is not None}
        for name, signature in saved_model.signatures.items()
    }
    return Asked(shapes, lambda signature, inputs: saved_model.run(inputs, signature))


def answers(application: Application, asked: Asked, inputs: Iterable[str], options: Any) -> Iterator[dict[str, Any]]:
    """Answers raw inputs in order, `application.answer_batch` at a time, as they come.

    Raises:
        InputError: An input cannot be used.
    """
    remaining = iter(inputs)
    while batch := list(itertools.islice(remaining, application.answer_batch)):
        request = application.requests.parse(batch, options, asked.shapes)
        yield from application.requests.records(request, asked.ask(request.signature, request.arrays))


def same_answer(served: Any, predicted: Any) -> bool:
    """Whether two answers are equal, numbers up to rounding."""
    if isinstance(served, float):
        return math.isclose(served, predicted, rel_tol=1e-5, abs_tol=1e-6)
    if isinstance(served, dict):
        return served.keys() == predicted.keys() and all(same_answer(served[name], predicted[name]) for name in served)
    if isinstance(served, list):
        return len(served) == len(predicted) and all(map(same_answer, served, predicted))
    return served == predicted
