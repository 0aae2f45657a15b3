"""Exported models: a tiny one of text generation, for what is the same for all."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_models(made_once: Callable[..., Path], tiny_run: Path) -> Path:
    """A folder of exported models with one version of text generation. Do not write to it."""
    from apps.text_generation.application import APPLICATION
    from shared.commands import export

    return made_once("tiny-models", lambda folder: export(APPLICATION, str(tiny_run), folder))
