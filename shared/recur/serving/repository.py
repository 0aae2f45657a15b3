"""A folder of exported models as TensorFlow Serving reads it: MODEL/VERSION, and the files that say how to serve them.

A server takes one `--batching_parameters_file`. With `--enable_per_model_batching_parameters` it takes from there only
the threads, which all models share, and the rest from `batching_params.pbtxt` in each version's folder; a version
without that file is then not batched. Requests are divided into batches of `max_execution_batch_size`.
`allowed_batch_sizes` is left out: to fill batches up to a size is of use only where shapes are compiled.
(tensorflow_serving/servables/tensorflow/session_bundle_config.proto, bundle_factory_util.cc and model_servers/main.cc.)
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from google.protobuf import text_format

from recur.errors import InputError
from recur.files import atomically
from recur.serving.saved_model import GRAPH
from recur.training.application import Batching

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where TensorFlow Serving looks for them in a version."""
MODELS_CONFIG = "models.config"
BATCHING_PARAMETERS = "batching_parameters.txt"
VERSION_BATCHING = "batching_params.pbtxt"
SERVER_FOLDER = "/models"
"""Where a container of the official image has the models."""
MOST_ROWS = 1024
"""Of one request that is batched."""
MOST_WAITING = 4096
"""Rows that wait for a thread, of all requests for a signature. More are refused: UNAVAILABLE, or 503."""
CHECKSUMS = "SHA256SUMS"
"""In a version's folder: what `sha256sum` writes and checks."""
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def versions(model: Path) -> list[int]:
    """The versions of a model in order: the folders that TensorFlow Serving would look into."""
    folders = (path for path in model.iterdir() if path.name.isdecimal())
    return sorted({int(path.name) for path in folders if path.is_dir() and str(int(path.name)) == path.name})


def served_models(folder: Path) -> list[str]:
    """The names of the models in a folder that have a version with a graph."""
    models = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(
        model.name for model in models if any((model / str(number) / GRAPH).is_file() for number in versions(model))
    )


def find_version(path: Path) -> Path:
    """The folder of one version, from itself or from that of its model, whose newest is meant.

    Raises:
        InputError: It is neither.
    """
    if (path / GRAPH).is_file():
        return path
    if not path.is_dir():
        raise InputError(f"there is no folder {path}; name an exported model, say saved_models/NAME or one version")
    numbers = [number for number in versions(path) if (path / str(number) / GRAPH).is_file()]
    if not numbers:
        hint = f"there are: {', '.join(names)}" if (names := served_models(path)) else "export one first"
        raise InputError(f"{path} is no exported model (it has neither {GRAPH} nor versions); {hint}")
    return path / str(numbers[-1])


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
    rows = min(batching.rows for batching in several)
    least = Batching(rows, min(batching.wait_microseconds for batching in several))
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
    known = {model.name: model for model in earlier.model_config_list.config}
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


def write_checksums(folder: Path) -> Path:
    """Writes the file, which `sha256sum -c SHA256SUMS` verifies in that folder; every other file below has a line."""
    path = folder / CHECKSUMS
    lines = [f"{_digest(folder / name)}  {name}\n" for name in _names(folder)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def checksum_faults(folder: Path) -> list[str] | None:
    """What has changed since the file was written: a line a fault, none where all is well.

    Returns:
        None where there is no such file.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return None
    matches = [_LINE.fullmatch(line) for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    if not all(matches):
        return [f"{CHECKSUMS} is damaged"]
    listed = {match[2]: match[1] for match in matches if match}
    names = _names(folder)
    faults = [f"{name} is missing" for name in listed if name not in names]
    faults += [f"{name} is not in {CHECKSUMS}" for name in names if name not in listed]
    return faults + [
        f"{name} has changed" for name in names if name in listed and _digest(folder / name) != listed[name]
    ]


def _names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files if path != folder / CHECKSUMS)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
