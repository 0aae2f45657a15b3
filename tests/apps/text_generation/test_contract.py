"""Text generation keeps the contract of an application."""

import pytest

from apps.text_generation.application import APPLICATION
from apps.text_generation.config import TextGenerationConfig
from recur.testing import check_application

pytestmark = pytest.mark.slow


def test_the_contract_is_kept(tmp_path, monkeypatch, tiny_text):
    monkeypatch.chdir(tmp_path)
    config = TextGenerationConfig(
        epochs=2, steps_per_epoch=4, units=8, embedding_units=4, batch_size=4, window=16, test_fraction=0.1
    )
    check_application(APPLICATION, tmp_path, config, str(tiny_text), ["", "MIRA:\n", "the grey cat " * 9])
