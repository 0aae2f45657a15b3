"""What TensorFlow Serving is told beside the models: `models.config` and its batching parameters.

A server takes one `--batching_parameters_file`. With `--enable_per_model_batching_parameters` it takes from there only
the threads, which all models share, and the rest from `batching_params.pbtxt` in each version's folder; a version
without that file is then not batched. Requests are divided into batches of `max_execution_batch_size`.
`allowed_batch_sizes` is left out: to fill batches up to a size is of use only where shapes are compiled.
(tensorflow_serving/servables/tensorflow/session_bundle_config.proto, bundle_factory_util.cc and model_servers/main.cc.)
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from google.protobuf import text_format

from recur.errors import InputError
from recur.files import atomically
from recur.serving.versions import served_models
from recur.training.application import Batching

MODELS_CONFIG = "models.config"
BATCHING_PARAMETERS = "batching_parameters.txt"
VERSION_BATCHING = "batching_params.pbtxt"
SERVER_FOLDER = "/models"
"""Where a container of the official image has the models."""

MOST_ROWS = 1024
"""Of one request that is batched."""
MOST_WAITING = 4096
"""Rows that wait for a thread, of all requests for a signature. More are refused: UNAVAILABLE, or 503."""


def version_batching(batching: Batching) -> str:
    """A `BatchingParameters` for one version of a model, as text; its threads are the server's."""
    execution = f"max_execution_batch_size {{ value: {batching.rows} }}\n"
    return (
        f"max_batch_size {{ value: {MOST_ROWS} }}\n"
        f"enable_large_batch_splitting {{ value: true }}\n{execution}"
        f"batch_timeout_micros {{ value: {batching.wait_microseconds} }}\n"
        f"max_enqueued_batches {{ value: {-(-MOST_WAITING // batching.rows)} }}\n"
    )


def batching_parameters(batchings: Iterable[Batching], threads: int | None = None) -> str:
    """A `BatchingParameters` for a server with several models, as text: the least of what each would have.

    Args:
        batchings: Of the models.
        threads: Batches that are computed at once; None for as many as the server's machine has processors.
    """
    several = list(batchings) or [Batching()]
    least = Batching(min(each.rows for each in several), min(each.wait_microseconds for each in several))
    pool = 'thread_pool_name { value: "batches" }\n'
    return pool + (f"num_batch_threads {{ value: {threads} }}\n" if threads else "") + version_batching(least)


def models_config(names: Iterable[str], base: str = SERVER_FOLDER, before: str = "") -> str:
    """A `ModelServerConfig` of some models, as text.

    Args:
        names: Of the models.
        base: The folder of the models as the server sees it.
        before: An earlier one: what it says of these models' versions and labels is kept.

    Raises:
        InputError: The earlier one is damaged.
    """
    from tensorflow_serving.config import model_server_config_pb2  # loads TensorFlow

    earlier, config = model_server_config_pb2.ModelServerConfig(), model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(before, earlier)
    except text_format.ParseError as error:
        raise InputError(f"{MODELS_CONFIG} is damaged (line {error}); mend it, or remove it") from None
    known = {each.name: each for each in earlier.model_config_list.config}
    for name in names:
        entry = config.model_config_list.config.add()
        if name in known:
            entry.CopyFrom(known[name])
        entry.name, entry.base_path, entry.model_platform = name, f"{base.rstrip('/')}/{name}", "tensorflow"
    return text_format.MessageToString(config)


def updated_models_config(folder: Path, base: str = SERVER_FOLDER) -> str:
    """The `models.config` of all models that are in a folder now, as text.

    Raises:
        InputError: The one there is damaged.
    """
    path = folder / MODELS_CONFIG
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return models_config(served_models(folder) if folder.is_dir() else [], base, before)


def write_server_config(
    folder: Path, batchings: Sequence[Batching], base: str = SERVER_FOLDER, threads: int | None = None
) -> list[Path]:
    """Writes `models.config` of all models in a folder and `batching_parameters.txt`, each whole.

    Args:
        folder: Of the models.
        batchings: Of the applications.
        base: That folder as the server sees it.
        threads: Batches that are computed at once; None for as many as the server's machine has processors.

    Returns:
        The files.

    Raises:
        InputError: An earlier `models.config` is damaged.
    """
    contents = {
        folder / MODELS_CONFIG: updated_models_config(folder, base),
        folder / BATCHING_PARAMETERS: batching_parameters(batchings, threads),
    }
    for file, content in contents.items():
        with atomically(file) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return list(contents)
