"""Translation keeps the contract of an application."""

import dataclasses

import pytest

from apps.translation.application import APPLICATION
from recur.testing import check_application

pytestmark = pytest.mark.long


def test_the_contract_is_kept(tmp_path, monkeypatch, tiny_pairs):
    monkeypatch.chdir(tmp_path)
    config = dataclasses.replace(
        APPLICATION.presets["quick"],
        source="en",
        target="xx",
        epochs=2,
        steps_per_epoch=4,
        units=8,
        embedding_units=8,
        vocabulary_size=150,
        batch_tokens=256,
    )
    check_application(
        APPLICATION,
        tmp_path,
        config,
        str(tiny_pairs),
        ["The cat sees the old dog.", "", "The small bird hears the red horse."],
    )
