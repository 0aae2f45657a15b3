"""Raw inputs to answers, whoever holds the model: the serving module here, an export, or a server."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.application import Application

if TYPE_CHECKING:
    import tensorflow as tf

Ask = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""From the name of a signature and its inputs to its outputs."""


def ask_module(module: "tf.Module") -> Ask:
    """Asks a serving module: what `predict` does, and in the same graph what an export does."""
    import tensorflow as tf  # not for those who ask a server

    def ask(signature: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        outputs = module.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return ask


def answers(
    application: Application[Any, Any, Any], ask: Ask, inputs: Iterable[str], options: Any
) -> Iterator[dict[str, Any]]:
    """Answers raw inputs in order, `application.answer_batch` at a time, as they come.

    Raises:
        InputError: An input cannot be used.
    """
    remaining = iter(inputs)
    while batch := list(itertools.islice(remaining, application.answer_batch)):
        signature, request = application.request(batch, options)
        yield from application.records(batch, ask(signature, request))
