"""A development server that speaks TensorFlow Serving's protocol, for machines that have no TensorFlow Serving.

README.md says what it is, what it is not, and where it differs from TensorFlow Serving on purpose.
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
