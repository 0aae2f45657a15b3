"""The official stubs of TensorFlow Serving, without all of TensorFlow: 0.2 seconds instead of 8 (measured on 2 cores).

`tensorflow_serving.apis` imports protocol buffers from `tensorflow.core`, and so first runs the whole package
`tensorflow`, Keras included. Where nobody has imported it yet, an empty package stands in for it while the stubs are
imported, and is taken away again. Who imports TensorFlow afterwards gets all of it, with the same classes of messages,
because protobuf has one class a message.
"""

import functools
import importlib
import importlib.util
import sys
import types
from typing import NamedTuple


class Stubs(NamedTuple):
    """The modules.

    Attributes:
        predict: `PredictRequest` and `PredictResponse`.
        service: `PredictionServiceStub`.
        metadata: `GetModelMetadataRequest`, and `SignatureDefMap`.
    """

    predict: types.ModuleType
    service: types.ModuleType
    metadata: types.ModuleType


@functools.cache
def stubs() -> Stubs:
    """Imports the stubs, once."""
    names = ("predict_pb2", "prediction_service_pb2_grpc", "get_model_metadata_pb2")
    if "tensorflow" in sys.modules:
        return Stubs(*(importlib.import_module(f"tensorflow_serving.apis.{name}") for name in names))
    spec = importlib.util.find_spec("tensorflow")
    empty = types.ModuleType("tensorflow")
    empty.__path__ = list(spec.submodule_search_locations) if spec and spec.submodule_search_locations else []
    sys.modules["tensorflow"] = empty
    try:
        return Stubs(*(importlib.import_module(f"tensorflow_serving.apis.{name}") for name in names))
    finally:
        for name in [each for each in sys.modules if each == "tensorflow" or each.startswith("tensorflow.")]:
            del sys.modules[name]
