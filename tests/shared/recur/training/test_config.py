"""A configuration is what was written, or is refused by name."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.text_generation.application import APPLICATION
from apps.text_generation.config import TextGenerationConfig
from recur.errors import InputError
from recur.training.config import TrainingConfig, checked, config_from_dict

fractions = st.floats(0, 1, exclude_max=True)
not_negative = st.floats(0, allow_infinity=False)
positive = st.floats(0, exclude_min=True, allow_infinity=False)
counts = st.integers(0, 2**31 - 1)
sizes = st.integers(1, 2**31 - 1)

configurations = st.builds(
    TextGenerationConfig,
    seed=counts,
    epochs=sizes,
    learning_rate=positive,
    weight_decay=not_negative,
    ema_momentum=fractions,
    validation_fraction=fractions,
    batching=st.sampled_from(["streams", "windows"]),
    cell=st.sampled_from(["simple_rnn", "lstm", "gru"]),
    tie_output=st.booleans(),
)


@given(configurations)
def test_what_is_written_as_json_is_read_back(config):
    written = json.dumps(dataclasses.asdict(config), allow_nan=False)
    assert config_from_dict(TextGenerationConfig, json.loads(written)) == config


@given(configurations)
def test_values_within_bounds_are_left_alone(config):
    assert checked(config) == config


@pytest.mark.parametrize("preset", APPLICATION.presets)
def test_every_preset_is_within_bounds(preset):
    assert checked(APPLICATION.presets[preset]) == APPLICATION.presets[preset]


@pytest.mark.parametrize(
    ("key", "hint"),
    [("epoch", "did you mean epochs?"), ("Units", "did you mean units?"), ("zzz", "the settings are: seed, epochs")],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(key, hint):
    with pytest.raises(InputError, match=f"unknown setting '{key}'") as refusal:
        config_from_dict(TextGenerationConfig, {"seed": 1, key: 1})
    assert hint in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("units", 0),
        ("units", -1),
        ("units", 2**31),
        ("units", 1.5),
        ("units", "many"),
        ("units", None),
        ("seed", -1),
        ("seed", 2**32),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", math.nan),
        ("learning_rate", 0.0),
        ("learning_rate", -1.0),
        ("learning_rate", math.inf),
        ("learning_rate", math.nan),
        ("weight_decay", math.inf),
        ("clip_norm", math.nan),
        ("cell", "transformer"),
        ("tie_output", "perhaps"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_flag(name, value):
    with pytest.raises(InputError) as refusal:
        config_from_dict(TextGenerationConfig, {name: value})
    assert str(refusal.value).startswith(f"`{name}` should be ")
    assert str(refusal.value).endswith(f", not {value!r}")


def test_every_wrong_value_is_named_at_once():
    with pytest.raises(InputError) as refusal:
        checked(TextGenerationConfig(units=0, learning_rate=-1.0))
    assert "`units`" in str(refusal.value)
    assert "`learning_rate`" in str(refusal.value)


def test_a_setting_without_a_default_must_be_there():
    @dataclasses.dataclass(frozen=True)
    class Translation(TrainingConfig):
        source: str = dataclasses.field(kw_only=True)

    with pytest.raises(InputError, match=r"^`source` is missing$"):
        config_from_dict(Translation, {})
