"""A SavedModel in a session of TensorFlow's on a graph of its own, as a server holds it.

A test that an export loads in a server takes the C++ loader instead: Python registers operations that a server lacks.
"""

import contextlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class Signature(NamedTuple):
    """What goes in and out: name -> (type, `object` for strings; shape, `None` where a size or the rank may vary)."""

    inputs: dict[str, tuple[np.dtype, tuple[int | None, ...] | None]]
    outputs: dict[str, tuple[np.dtype, tuple[int | None, ...] | None]]


class SavedModelSession(contextlib.AbstractContextManager):
    """A SavedModel that answers, with variables restored and tables initialised. Close it after use.

    Args:
        path: The folder that holds `saved_model.pb`: one version of a model, not the folder of its versions.
        tag: The tag of the graph to load.

    Attributes:
        signatures: What each signature takes and returns: a dictionary of `Signature` by name.

    Raises:
        OSError: There is no SavedModel.
        RuntimeError: It has no such graph.
        ValueError: A signature has a tensor that is sparse or ragged.
        tf.errors.OpError: It cannot be loaded, for want of an operation for example.
    """

    def __init__(self, path: str | Path, tag: str = "serve"):
        if importlib.util.find_spec("tensorflow_text"):
            importlib.import_module("tensorflow_text")  # registers the operations of TF.Text
        with contextlib.ExitStack() as undo:
            self._session = tf.compat.v1.Session(graph=tf.Graph())
            undo.callback(self._session.close)
            with self._session.graph.as_default():
                graph = tf.compat.v1.saved_model.load(self._session, [tag], str(path))
            self._definitions = {
                name: definition
                for name, definition in sorted(graph.signature_def.items())
                if not name.startswith("__saved_model")  # the initialising operation is listed like a signature
            }
            self.signatures = {
                name: Signature(_specs(definition.inputs), _specs(definition.outputs))
                for name, definition in self._definitions.items()
            }
            self._undo = undo.pop_all()

    def run(self, inputs: Mapping[str, Any], signature: str = "serving_default") -> dict[str, np.ndarray]:
        """Answers a request. Threads may call it at once. As in a server, it is the graph that checks shapes.

        Args:
            inputs: An array for each input; strings are arrays of `bytes` objects.
            signature: The name of the signature.

        Returns:
            An array for each output; strings are arrays of `bytes` objects.

        Raises:
            ValueError: The model has no such signature or input, or a value is of no such type.
            tf.errors.OpError: TensorFlow failed while running.
            RuntimeError: The model is closed.
        """
        if signature not in self.signatures:
            raise ValueError(f"no signature '{signature}': the model has {sorted(self.signatures)}")
        takes, returns = self.signatures[signature]
        if inputs.keys() != takes.keys():
            raise ValueError(f"signature '{signature}' takes {sorted(takes)}, not {sorted(inputs)}")
        definition = self._definitions[signature]
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        outputs = self._session.run({name: definition.outputs[name].name for name in returns}, feeds)
        return {name: np.asarray(outputs[name], dtype) for name, (dtype, _) in returns.items()}

    def close(self) -> None:
        """Frees the session with its variables and tables; closing twice is no error."""
        self._undo.close()

    def __exit__(self, *exception: object) -> None:
        self.close()


def _specs(infos: Mapping[str, Any]) -> dict[str, tuple[np.dtype, tuple[int | None, ...] | None]]:
    """Type and shape of each `TensorInfo`, by name."""
    for name, info in infos.items():
        if info.WhichOneof("encoding") != "name":
            raise ValueError(f"tensor '{name}' of a signature is sparse or ragged")
    return {
        name: (
            np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype),
            None
            if info.tensor_shape.unknown_rank
            else tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in sorted(infos.items())
    }
