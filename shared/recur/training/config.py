"""Configuration: frozen dataclasses that are read, written and checked, and that refuse unknown keys."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import pydantic
from pydantic import Field

from recur.errors import InputError, suggestion

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Size = Annotated[int, Field(gt=0, lt=2**31)]

ConfigT = TypeVar("ConfigT", bound="DataclassInstance")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """What every application's training can be told; an application's configuration extends it."""

    seed: Count = 0
    """Seed of the initial weights, the order of the data and dropout."""
    epochs: Size = 10
    """Epochs; after each the model is validated and the best one kept."""
    steps_per_epoch: Count = 0
    """Steps in an epoch; 0 for one pass over the training data."""
    batch_size: Size = 32
    """Examples in a batch."""
    learning_rate: Positive = 1e-3
    """Peak learning rate, reached after the warm-up and then lowered along a half cosine."""
    warmup_steps: Count = 100
    """Steps in which the learning rate rises linearly from 0 to its peak."""
    final_learning_rate: Fraction = 0.01
    """Learning rate at the last step, as a fraction of the peak."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay (AdamW)."""
    clip_norm: NonNegative = 1.0
    """Global norm to which larger gradients are scaled down; 0 for no clipping (NaN and infinity are skipped still)."""
    ema_momentum: Fraction = 0.0
    """Momentum of the moving average of the weights that is validated and kept; 0 keeps the weights themselves."""
    patience: Count = 0
    """Epochs without improvement after which training stops early; 0 for never."""
    checkpoint_minutes: Positive = 5.0
    """Minutes between the checkpoints that --resume continues from (one is also written after every epoch)."""


def checked(config: ConfigT) -> ConfigT:
    """Checks every field against its declared type and bounds.

    Args:
        config: An instance of a configuration dataclass.

    Returns:
        The configuration itself, with numbers converted to the declared type.

    Raises:
        InputError: A field is out of bounds or of another type; all such fields are named.
    """
    return config_from_dict(type(config), dataclasses.asdict(config))


def config_from_dict(config_type: type[ConfigT], values: dict[str, Any]) -> ConfigT:
    """Builds a configuration, refusing unknown keys and values out of bounds.

    Example:
        >>> config_from_dict(TrainingConfig, {"epochs": 3}).epochs
        3

    Raises:
        InputError: A key is unknown (the nearest valid one is suggested) or a value is not valid.
    """
    known = [field.name for field in dataclasses.fields(config_type)]
    for key in values:
        if key not in known:
            hint = suggestion(key, known, f"the settings are: {', '.join(known)}")
            raise InputError(f"unknown setting {key!r}; {hint}")
    try:
        return pydantic.TypeAdapter(config_type).validate_python(values)
    except pydantic.ValidationError as error:
        raise InputError("; ".join(_explain(detail) for detail in error.errors())) from None


def _explain(detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "missing":
        return f"`{name}` is missing"
    message = detail["msg"].removeprefix("Input ").split(", unable to parse")[0]
    return f"`{name}` {message}, not {detail['input']!r}" if name else detail["msg"].removeprefix("Value error, ")
