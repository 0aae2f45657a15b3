"""A development server that speaks TensorFlow Serving's protocol, for machines that have no TensorFlow Serving.

What it is: the REST and gRPC interfaces of TensorFlow Serving, its model configuration, versions, labels, warm-up and
batching, answered by TensorFlow's own C++ session (`tfserving_dev.session`), which is also what TensorFlow Serving
runs. A client, an export or a configuration that works here is meant to work there, and what fails here with an error
of TensorFlow's fails there with the same one.

What it is not: TensorFlow Serving. Requests are read and answers written by Python, one interpreter for all of them,
so it is slower where requests are many and small. It has no TLS, no authentication, no GPU settings, no request logging
and no signature defaults; a model with sparse, ragged or bfloat16 tensors in a signature does not load. It listens on
this machine alone unless told otherwise. For anything but development use TensorFlow Serving itself; `deploy/` has what
is needed.

Where it differs on purpose: a request body has a largest size (413), a client must send its request in a certain time
(408), integers that do not fit their type are refused instead of being cut, requests that cannot be put into one batch
run by themselves instead of failing (unless they are divided), and when a batch fails its requests run again one by
one, so that only the faulty one fails. A version that failed to load is tried again when its files change, instead of
after a minute. A model that cannot be loaded when the server starts, or whose folder is not there, is missing, and the
others are served, where TensorFlow Serving would end, or wait. Inputs of unlike shapes are not filled up
(`pad_variable_length_inputs`), but run apart. Numbers in JSON have the fewest digits that tell single precision apart,
not nine, and are not pretty-printed; of a key that is there twice the last counts.

The sources followed: TensorFlow Serving's pages on its REST interface and its configuration, and its source for what
the pages leave open (http_rest_api_handler.cc, json_tensor.cc, predict_util.cc, availability_preserving_policy.cc).
"""

import importlib
from typing import Any

_MODULES = {
    **{"ServerSettings": "settings", "DevelopmentServer": "server", "serve": "launcher"},
    **{"NativeSavedModel": "session", "Signature": "session", "NativeError": "session"},
    **{"InputError": "errors", "NoModelsError": "errors"},
}
__all__ = ["ServerSettings", "DevelopmentServer", "serve", "NativeSavedModel", "Signature", "NativeError", "InputError",
           "NoModelsError"]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and TensorFlow with it, no sooner than that."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
