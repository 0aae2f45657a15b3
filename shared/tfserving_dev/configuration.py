"""The files that say what is served and how: `models.config`, and the parameters of batching."""

import dataclasses
import functools
import os
import re
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from tfserving_dev.errors import InputError, NoModelsError, ServingError, invalid

MODELS_CONFIG = "models.config"
"""The file in the folder of models that says which are served, a `ModelServerConfig` as text."""
BATCHING_PARAMETERS = "batching_parameters.txt"
"""The file there that says how requests are put together: `tensorflow.serving.BatchingParameters` as text."""
VERSION_BATCHING = "batching_params.pbtxt"
"""The file in a version's folder that stands above the server's own parameters."""
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
    file = config_file or models / MODELS_CONFIG
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


def check_folder(models: Path) -> None:
    """Refuses a folder of models that is not there.

    Raises:
        InputError: It is not.
    """
    if not models.is_dir():
        raise InputError(f"there is no folder {models}; export a model into it, or name another: --models")


def models_to_serve(models: Path, config_file: Path | None = None) -> list[model_server_config_pb2.ModelConfig]:
    """As `read_models`, for a server that starts: there must be some.

    Raises:
        InputError: There is no such folder, or the configuration cannot be read or contradicts itself.
        NoModelsError: There are none.
    """
    check_folder(models)
    configured = read_models(models, config_file)
    if not configured:
        raise NoModelsError(f"there are no models in {models}; export one")
    return configured


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
    return folder.is_dir() and any(path.name.isdecimal() and path.is_dir() for path in folder.iterdir())


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """How requests that wait are put together. The defaults are TensorFlow Serving's."""

    max_batch_size: int = 1000
    """Rows of a request, and of a batch where requests are not divided; a request of more is refused."""
    batch_timeout_micros: int = 0
    """How long a request waits for others, when a thread is free to run it."""
    max_enqueued_batches: int = 10
    """Batches of a signature that may wait; further requests are refused as UNAVAILABLE."""
    num_batch_threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    """Batches, of all models, that run at a time."""
    allowed_batch_sizes: tuple[int, ...] = ()
    """Where there are any, a batch is filled up to the next of them."""
    enable_large_batch_splitting: bool = False
    """Divide requests, so that batches are full and no larger than `max_execution_batch_size`."""
    max_execution_batch_size: int = 0
    """Rows of a batch where requests are divided; 0 is `max_batch_size`."""

    @property
    def execution_rows(self) -> int:
        """Rows of a batch."""
        divided = self.max_execution_batch_size if self.enable_large_batch_splitting else 0
        return divided or self.max_batch_size


def read_batching_parameters(path: Path) -> BatchingParameters:
    """Reads a parameter file.

    Raises:
        InputError: It cannot be read, or says what cannot be.
    """
    try:
        message = text_format.Parse(path.read_text(encoding="utf-8"), _message_class()())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(f"cannot read the batching parameters {path}: {error}; mend or remove the file") from None
    given: dict[str, Any] = {}
    for field, value in message.ListFields():
        given[field.name] = getattr(value, "value", value)
    given["allowed_batch_sizes"] = tuple(given.get("allowed_batch_sizes", ()))
    known = {field.name for field in dataclasses.fields(BatchingParameters)}
    parameters = BatchingParameters(**{name: value for name, value in given.items() if name in known})
    if fault := _fault(parameters):
        raise InputError(f"{path}: {fault}")
    return parameters


def _fault(parameters: BatchingParameters) -> str | None:
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if getattr(parameters, name) < 1:
            return f"{name} should be at least 1, not {getattr(parameters, name)}"
    sizes = parameters.allowed_batch_sizes
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1):
        return f"allowed_batch_sizes should increase, not {list(sizes)}"
    if sizes and sizes[-1] != parameters.max_batch_size:
        return (
            f"the last of allowed_batch_sizes should be max_batch_size ({parameters.max_batch_size}), not {sizes[-1]}"
        )
    if parameters.execution_rows > parameters.max_batch_size:
        return f"max_execution_batch_size should be at most max_batch_size ({parameters.max_batch_size})"
    if parameters.batch_timeout_micros < 0:
        return f"batch_timeout_micros should be at least 0, not {parameters.batch_timeout_micros}"
    return None


@functools.cache
def _message_class() -> Any:
    """The message's class: the stubs of `tensorflow-serving-api` lack it, so it is described here."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="batching_parameters.proto", package="tensorflow.serving")
    file.syntax = "proto3"
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name="BatchingParameters")
    numbers = {"max_batch_size": 1, "batch_timeout_micros": 2, "max_enqueued_batches": 3, "num_batch_threads": 4}
    wrapped = {name: (number, "Int64Value") for name, number in numbers.items()}
    wrapped |= {"thread_pool_name": (5, "StringValue"), "enable_large_batch_splitting": (8, "BoolValue")}
    wrapped |= {"max_execution_batch_size": (9, "Int64Value")}
    for name, (number, kind) in wrapped.items():
        type_name = f".google.protobuf.{kind}"
        message.field.add(
            name=name, number=number, type=types.TYPE_MESSAGE, type_name=type_name, label=types.LABEL_OPTIONAL
        )
    message.field.add(name="allowed_batch_sizes", number=6, type=types.TYPE_INT64, label=types.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=7, type=types.TYPE_BOOL, label=types.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters"))
