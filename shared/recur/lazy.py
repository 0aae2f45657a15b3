"""Packages whose names are loaded when they are asked for, and not before."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def door(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package (PEP 562) behind which modules wait until one of their names is wanted.

    So whoever takes a light function from a package does not wait for what another of its modules needs. The package
    also imports the same names `if TYPE_CHECKING` and lists them in `__all__`: for type checkers and for a star import.

    Args:
        package: Its `__name__`.
        names: What each of its modules gives, by the module's name inside the package.

    Example:
        >>> load = door("recur.metrics", {"calibration": ["wilson_interval"]})
        >>> load("wilson_interval").__module__
        'recur.metrics.calibration'
    """
    module_of = {name: module for module, given in names.items() for name in given}

    def load(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)  # the next time it is there
        return value

    return load
