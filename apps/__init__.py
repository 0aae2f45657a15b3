"""The applications: one folder each, found by name."""

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Sequence

from recur.errors import InputError, suggestion
from recur.training.application import Application

os.environ.setdefault("MPLBACKEND", "agg")  # pictures go to files
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is first imported: its start-up notes are noise


def applications() -> dict[str, Application]:
    """Every application by name: each folder here with an `application` module."""
    packages = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    names = [name for name in packages if importlib.util.find_spec(f"apps.{name}.application")]
    return {name: importlib.import_module(f"apps.{name}.application").APPLICATION for name in names}


def choose(names: Sequence[str]) -> list[Application]:
    """Applications by name; all when there is no name.

    Raises:
        InputError: There is no such application.
    """
    known = applications()
    for name in names:
        if name not in known:
            hint = suggestion(name, known, f"there are: {', '.join(known)}")
            raise InputError(f"there is no application {name!r}; {hint}")
    return [known[name] for name in names or known]
