"""Stock forecasting keeps the contract of an application."""

import dataclasses

import pytest

from apps.stock_forecasting.application import APPLICATION
from recur.testing import check_application

pytestmark = pytest.mark.long


def test_the_contract_is_kept(tmp_path, monkeypatch, tiny_prices):
    monkeypatch.chdir(tmp_path)
    config = dataclasses.replace(
        APPLICATION.presets["quick"],
        epochs=2,
        steps_per_epoch=3,
        window=96,
        read=64,
        burn_in=32,
        horizon=5,
        units=4,
        batch_size=4,
        test_fraction=0.2,
        validation_fraction=0.2,
    )
    check_application(
        APPLICATION, tmp_path, config, str(tiny_prices), [str(path) for path in sorted(tiny_prices.glob("*.csv"))]
    )
