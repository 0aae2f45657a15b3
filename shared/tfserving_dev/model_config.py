"""Which models are served from where: `models.config`, or every folder that has versions."""

import re
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from recur.errors import InputError
from tfserving_dev.serving_error import ServingError, invalid

CONFIG_FILE = "models.config"
"""The file in the folder of models that says which are served, a `ModelServerConfig` as text."""
_LABEL = re.compile(r"\w+", re.ASCII)


def read_models(models: Path, config_file: Path | None = None) -> list[model_server_config_pb2.ModelConfig]:
    """The models to serve, each with a folder that is there or may come to be.

    A relative path in the file is taken from the file's folder. An absolute one that is not there is taken to be
    written for a container, where the models are elsewhere: the folder of that name among the models is served instead.

    Args:
        models: The folder of all models.
        config_file: The configuration; `models.config` in the folder by default. Without one every folder is served
            that has a version.

    Raises:
        InputError: The configuration cannot be read or contradicts itself.
    """
    file = config_file or models / CONFIG_FILE
    if config_file is None and not file.is_file():
        return [_model_config(folder.name, folder) for folder in sorted(models.iterdir()) if _has_versions(folder)]
    try:
        config = text_format.Parse(file.read_text(encoding="utf-8"), model_server_config_pb2.ModelServerConfig())
        check_models(config)
    except (OSError, UnicodeDecodeError, text_format.ParseError, ServingError) as error:
        raise InputError(f"cannot read the model configuration {file}: {error}; mend it or name another") from None
    for model in config.model_config_list.config:
        path = file.parent / model.base_path
        if not path.is_dir() and (models / path.name).is_dir():
            path = models / path.name
        model.base_path = str(path.absolute())
    return list(config.model_config_list.config)


def check_models(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Refuses what TensorFlow Serving does: other kinds of configuration, a model twice, an unknown platform or none.

    Raises:
        ServingError: The configuration is not accepted.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("ServerModelConfig type not supported. Only ModelConfigList is currently supported")
    seen: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in seen:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        if not model.name or not model.base_path:
            raise invalid("every model needs a name and a base_path")
        if not model.model_platform and model.model_type != model_server_config_pb2.TENSORFLOW:
            what = "ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform"
            raise invalid(f"Illegal setting neither {what}, model name is {model.name}")
        if model.model_platform not in ("tensorflow", ""):
            raise invalid(f"Model {model.name} requests unsupported platform {model.model_platform}")
        for label in model.version_labels:
            if not _LABEL.fullmatch(label):
                raise invalid(f"a version label is made of letters, digits and underscores, not {label!r}")
        seen.add(model.name)


def _model_config(name: str, path: Path) -> model_server_config_pb2.ModelConfig:
    absolute = str(path.absolute())
    return model_server_config_pb2.ModelConfig(name=name, base_path=absolute, model_platform="tensorflow")


def _has_versions(folder: Path) -> bool:
    return folder.is_dir() and any(each.name.isdecimal() and each.is_dir() for each in folder.iterdir())
