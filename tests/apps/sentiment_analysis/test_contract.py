"""Sentiment analysis keeps the contract of an application."""

import dataclasses

import pytest

from apps.sentiment_analysis.application import APPLICATION
from recur.testing import check_application

pytestmark = pytest.mark.long


def test_the_contract_is_kept(tmp_path, monkeypatch, tiny_reviews):
    monkeypatch.chdir(tmp_path)
    config = dataclasses.replace(
        APPLICATION.presets["quick"], epochs=2, steps_per_epoch=4, units=8, embedding_units=8, batch_size=8, longest=32
    )
    check_application(APPLICATION, tmp_path, config, str(tiny_reviews))
