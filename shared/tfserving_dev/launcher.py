"""Serves a folder of models: with TensorFlow Serving where it is, and otherwise with the development server."""

import contextlib
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tfserving_dev.configuration import (
    BATCHING_PARAMETERS,
    MODELS_CONFIG,
    VERSION_BATCHING,
    check_folder,
    models_to_serve,
    read_models,
)
from tfserving_dev.errors import InputError
from tfserving_dev.server import DevelopmentServer
from tfserving_dev.settings import METRICS_PATH, ServerSettings
from tfserving_dev.watcher import aspired_versions, versions_on_disk

BINARY = "tensorflow_model_server"
_THREADS = ("--grpc_max_threads=256", "--rest_api_num_threads=128")
"""A request that waits for its batch holds a thread: by itself the server has 4 for each processor."""
_CONTAINER_MODELS, _CONTAINER_CONFIG = "/models", "/config"
_MONITORING = "monitoring.config"


def serve(settings: ServerSettings) -> None:
    """Serves until the process is told to stop (SIGTERM, Ctrl-C), and says on standard error with what.

    Args:
        settings: Folder, ports and so on; TensorFlow Serving takes those of them that it knows.

    Raises:
        InputError: What is asked for is not there, or there is nothing to serve.
        SystemExit: TensorFlow Serving ended by itself, with its status.
    """
    check_folder(settings.models)
    kind = settings.server
    binary = shutil.which(BINARY) if kind in ("auto", "binary") else None
    if kind == "binary" and not binary:
        raise InputError(f"{BINARY} is not on the PATH; install TensorFlow Serving, or leave out --server")
    if binary:
        _say(f"serving with {binary}, which listens at every address of this machine")
        with _configuration(settings, None) as folder:
            _run(binary_command(binary, settings, folder))
    elif kind == "docker" or (kind == "auto" and _docker_runs()):
        if not _docker_runs():
            raise InputError("docker does not run here; start it, or leave out --server")
        _say(f"serving with the container {settings.image}")
        with _configuration(settings, Path(_CONTAINER_MODELS)) as folder:
            _run(docker_command(settings, folder))
    else:
        _develop(settings)


def binary_command(binary: str, settings: ServerSettings, folder: Path) -> list[str]:
    """TensorFlow Serving's command line, with its configuration files in a folder."""
    flags = [f"--port={settings.grpc_port}", f"--rest_api_port={settings.rest_port}"]
    return [binary, *flags, *_common_flags(settings, folder, str(folder))]


def docker_command(settings: ServerSettings, folder: Path) -> list[str]:
    """The command line that starts the container, with the models and its configuration files mounted read-only."""
    command = ["docker", "run", "--rm", "--init"]
    for outside, inside in ((settings.rest_port, 8501), (settings.grpc_port, 8500)):
        command += ["--publish", f"{settings.host}:{outside}:{inside}"]
    for source, target in ((settings.models.absolute(), _CONTAINER_MODELS), (folder, _CONTAINER_CONFIG)):
        command += ["--mount", f"type=bind,source={source},target={target},readonly"]
    return [*command, settings.image, *_common_flags(settings, folder, _CONTAINER_CONFIG)]


def _common_flags(settings: ServerSettings, folder: Path, seen_as: str) -> list[str]:
    flags = [f"--model_config_file={seen_as}/{MODELS_CONFIG}", f"--monitoring_config_file={seen_as}/{_MONITORING}"]
    flags += [f"--file_system_poll_wait_seconds={max(1, round(settings.poll_seconds))}"]
    flags += [f"--rest_api_timeout_in_ms={round(settings.request_seconds * 1000)}"]
    flags += ["--allow_version_labels_for_unavailable_models=true", *_THREADS]
    if (folder / BATCHING_PARAMETERS).is_file():
        flags += ["--enable_batching=true", f"--batching_parameters_file={seen_as}/{BATCHING_PARAMETERS}"]
        if _have_their_own(settings):
            flags += ["--enable_per_model_batching_parameters=true"]
    return flags


def _have_their_own(settings: ServerSettings) -> bool:
    """Whether every version that is served has batching parameters: one without them would not be batched."""
    folders: list[Path] = []
    for model in read_models(settings.models, settings.config):
        on_disk = versions_on_disk(Path(model.base_path)) or {}
        folders += [on_disk[version] for version in aspired_versions(on_disk, model.model_version_policy)]
    return bool(folders) and all((folder / VERSION_BATCHING).is_file() for folder in folders)


@contextlib.contextmanager
def _configuration(settings: ServerSettings, inside: Path | None) -> Iterator[Path]:
    """A folder with the files that TensorFlow Serving reads; the models are at `inside` for a container."""
    models = models_to_serve(settings.models, settings.config)
    for model in models:
        model.model_platform = "tensorflow"
        model.ClearField("model_type")  # one or the other
        if inside:
            model.base_path = str(inside / _among_models(Path(model.base_path), settings.models))
    config = model_server_config_pb2.ModelServerConfig(model_config_list={"config": models})
    with tempfile.TemporaryDirectory(prefix="serve-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the container's user is another
        (folder / MODELS_CONFIG).write_text(text_format.MessageToString(config), encoding="utf-8")
        monitoring = f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'
        (folder / _MONITORING).write_text(monitoring, encoding="utf-8")
        batching = settings.batching_parameters or settings.models / BATCHING_PARAMETERS
        if settings.batching and batching.is_file():
            shutil.copyfile(batching, folder / BATCHING_PARAMETERS)
        yield folder


def _among_models(path: Path, models: Path) -> Path:
    try:
        return path.resolve().relative_to(models.resolve())
    except ValueError:
        raise InputError(f"{path} is not in {models}, so the container cannot see it; move it there") from None


def _docker_runs() -> bool:
    if not shutil.which("docker"):
        return False
    command = ["docker", "version", "--format", "{{json .Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=False)
        return done.returncode == 0 and bool(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, OSError, ValueError):
        return False


def _run(command: Sequence[str]) -> None:
    """Runs a server until it ends; what this process is told to do, it is told."""
    told: list[int] = []
    process: subprocess.Popen | None = None

    def tell(number: int, _: object) -> None:
        told.append(number)
        if process:
            process.send_signal(number)

    with _handling(tell):
        process = subprocess.Popen(command)
        for number in told:  # before there was a process to tell
            process.send_signal(number)
        status = process.wait()
    if status and -status not in told:
        raise SystemExit(status if status > 0 else 128 - status)


@contextlib.contextmanager
def _handling(handler: Callable[[int, object], object]) -> Iterator[None]:
    """Handles the two ways in which a process is told to stop."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _develop(settings: ServerSettings) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    sys.setswitchinterval(0.001)  # a thread that has an answer to send should not wait long for the others
    server, told = DevelopmentServer(settings), threading.Event()
    _say("serving with the development server: for development, not for production")
    with _handling(lambda *_: told.set()):
        server.start()
        _say(f"REST at http://{settings.host}:{server.rest_port}, gRPC at {settings.host}:{server.grpc_port}")
        told.wait()
    _say("finishing what has been asked")  # a second Ctrl-C ends it at once
    server.stop()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201
