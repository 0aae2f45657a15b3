"""A development server that speaks TensorFlow Serving's protocol, for machines that have no TensorFlow Serving.

README.md says what it is, what it is not, and where it differs from TensorFlow Serving on purpose.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for those who read; at run time TensorFlow is imported no sooner than it is needed
    from tfserving_dev.errors import InputError, NoModelsError
    from tfserving_dev.launcher import serve
    from tfserving_dev.server import DevelopmentServer
    from tfserving_dev.session import NativeError, NativeSavedModel, Signature
    from tfserving_dev.settings import ServerSettings

__all__ = [
    "DevelopmentServer",
    "InputError",
    "NativeError",
    "NativeSavedModel",
    "NoModelsError",
    "ServerSettings",
    "Signature",
    "serve",
]
_MODULES = {
    **dict.fromkeys(["InputError", "NoModelsError"], "errors"),
    **dict.fromkeys(["NativeError", "NativeSavedModel", "Signature"], "session"),
    **{"DevelopmentServer": "server", "ServerSettings": "settings", "serve": "launcher"},
}


def __getattr__(name: str) -> Any:
    """Imports a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
