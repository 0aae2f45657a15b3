"""Measurements: speed beside peers, and published tables reproduced; a folder a subject."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

FORMER_NAMES = {
    "captioning_serving": "serving/captioning",
    "ett": "long_horizon/ett",
    "generation": "decoding/generation",
    "gradient_overhead": "gradients/overhead",
    "long_memory": "memory/long_memory",
    "recurrent_layers": "layers/speed",
    "recurrent_memory": "layers/peak_memory",
    "sentiment_serving": "serving/sentiment",
    "serving_load": "serving/load",
    "stock_edge": "serving/edge",
    "stock_serving": "serving/stocks",
    "translation_decoding": "decoding/beam_search",
}
"""Of commands that were published: `python -m benchmarks.generation` goes on working."""


class _FormerNames(importlib.abc.MetaPathFinder):
    """Finds a benchmark by the name that it had before the folders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's specification, under its former name."""
        package, _, name = fullname.partition(".")
        if package != __name__ or name not in FORMER_NAMES:
            return None
        return importlib.util.spec_from_file_location(fullname, Path(__file__).parent / f"{FORMER_NAMES[name]}.py")


sys.meta_path.append(_FormerNames())
