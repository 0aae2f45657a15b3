"""Image captioning keeps the contract of an application."""

import dataclasses

import pytest

from apps.image_captioning.application import APPLICATION
from recur.testing import check_application

pytestmark = pytest.mark.long


def test_the_contract_is_kept(tmp_path, monkeypatch, squares):
    monkeypatch.chdir(tmp_path)
    config = dataclasses.replace(
        APPLICATION.presets["quick"],
        epochs=2,
        steps_per_epoch=4,
        minimum_count=1,
        units=8,
        embedding_units=8,
        batch_size=8,
    )
    check_application(
        APPLICATION, tmp_path, config, str(squares), [str(path) for path in sorted(squares.glob("*.png"))[:3]]
    )
