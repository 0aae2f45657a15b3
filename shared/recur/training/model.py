"""A Keras model whose hyperparameters are the fields of its application's configuration, written nowhere else."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import keras

from recur.training.config import TrainingConfig, config_from_dict

ConfigT = TypeVar("ConfigT", bound=TrainingConfig)


class ConfiguredModel(keras.Model, Generic[ConfigT]):
    """Takes its hyperparameters from a configuration by name, and keeps them in its own: `model.config.units`.

    A subclass names its `config_type`, and passes on what its layers need to know besides: the size of a vocabulary
    for one. What is saved is flat, so that files hold the names of the settings.

    Args:
        config: The configuration; its defaults where it is left out.
        sizes: What is not in a configuration, by the names that the subclass's constructor has for it.
        **settings: Fields of the configuration by name, in place of the configuration's; and Keras's own arguments.

    Example:
        >>> class Doubling(ConfiguredModel):
        ...     config_type = TrainingConfig
        ...     def __init__(self, config=None, *, width: int, **settings):
        ...         super().__init__(config, {"width": width}, **settings)
        >>> model = Doubling.from_config(Doubling(width=3, batch_size=8).get_config())
        >>> model.config.batch_size, model.sizes
        (8, {'width': 3})
    """

    config_type: ClassVar[type[Any]]
    renamed: ClassVar[Mapping[str, str]] = {}
    """From the names that saved models of earlier versions have for settings to today's."""

    def __init__(self, config: ConfigT | None = None, sizes: Mapping[str, Any] | None = None, **settings: Any):
        fields = {field.name for field in dataclasses.fields(self.config_type)}
        settings = {self.renamed.get(name, name): value for name, value in settings.items()}
        named = {name: settings.pop(name) for name in list(settings) if name in fields}
        super().__init__(**settings)
        values = dataclasses.asdict(config) if config is not None else {}
        self.config: ConfigT = config_from_dict(self.config_type, values | named)
        self.sizes = dict(sizes or {})

    def get_config(self) -> dict[str, Any]:
        """The sizes and all settings, flat; of the same name, as a vocabulary's size can be, it is the size."""
        return super().get_config() | dataclasses.asdict(self.config) | self.sizes
