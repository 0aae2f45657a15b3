"""Every example in a docstring of the library, the applications and the development server says what is so."""

import doctest
import importlib
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[3]


def modules_with_examples() -> list[str]:
    """The dotted names of the modules whose text has a prompt; they are not imported to tell."""
    names = []
    for root, package in ((ROOT, "apps"), (ROOT / "shared", "recur"), (ROOT / "shared", "tfserving_dev")):
        for path in sorted((root / package).rglob("*.py")):
            if ">>> " in path.read_text("utf-8"):
                names.append(".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))
    return names


@pytest.mark.slow
@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.clear_session()  # or layers without a name would be called after those of other examples
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
