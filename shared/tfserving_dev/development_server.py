"""Everything together: the watcher, the batches, REST and gRPC."""

import contextlib
import dataclasses
import logging
import os
import resource
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from recur.errors import InputError
from tfserving_dev.batch_scheduler import BatchScheduler
from tfserving_dev.batching_parameters import (
    FILE_OF_A_MODEL,
    BatchingParameters,
    read_batching_parameters,
)
from tfserving_dev.catalogue import Catalogue
from tfserving_dev.grpc_answers import GrpcAnswers
from tfserving_dev.metrics import Metrics
from tfserving_dev.model_config import read_models
from tfserving_dev.model_service import ModelService
from tfserving_dev.prediction_service import PredictionService
from tfserving_dev.rest_interface import RestInterface
from tfserving_dev.rest_server import RestServer
from tfserving_dev.servable import Servable
from tfserving_dev.watcher import Watcher

_LOG = logging.getLogger(__name__)
_GRPC_THREADS, _MOST_CALLS = 128, 1024
BATCHING_FILE = "batching_parameters.txt"


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """What the server is told."""

    models: Path
    """Folder of all models."""
    host: str = "127.0.0.1"
    """The address to listen at."""
    rest_port: int = 8501
    """Of HTTP; 0 takes any that is free."""
    grpc_port: int = 8500
    """Of gRPC; 0 takes any that is free."""
    config_file: Path | None = None
    """Which models are served; `models.config` in the folder by default."""
    batching: bool = True
    """Put requests that wait together into batches, where a file says how."""
    batching_file: Path | None = None
    """The file; `batching_parameters.txt` in the folder by default."""
    poll_seconds: float = 1.0
    """How often the folders are looked at for new versions."""
    most_waiting: int = 1000
    """Requests that may wait for a signature where they are not put together."""
    largest_body: int = 32 << 20
    """Bytes of a request."""
    client_seconds: float = 60.0
    """In which a request must have arrived."""
    request_seconds: float = 30.0
    """In which a model must have answered a REST request."""
    drain_seconds: float = 30.0
    """In which requests that are being answered at the end may finish."""
    last_seconds: float = 0.5
    """In which clients with an open connection are told that it is the end."""


class DevelopmentServer:
    """Serves from `start` to `stop`.

    Args:
        settings: What it is told.

    Attributes:
        rest_port: Where it listens for HTTP, once started.
        grpc_port: Where it listens for gRPC.
    """

    def __init__(self, settings: ServerSettings):
        self._settings = settings
        self.rest_port, self.grpc_port = settings.rest_port, settings.grpc_port
        self._undo = contextlib.ExitStack()

    def start(self) -> None:
        """Loads and warms up every model, then listens.

        Raises:
            InputError: There are no models, a file is wrong, or a port is taken.
        """
        settings = self._settings
        if not settings.models.is_dir():
            raise InputError(f"there is no folder {settings.models}; export a model into it, or name another: --models")
        parameters = self._batching_parameters()
        models = read_models(settings.models, settings.config_file)
        if not models:
            raise InputError(f"there are no models in {settings.models}; export one: python -m apps.NAME export latest")
        _raise_file_limit()
        with contextlib.ExitStack() as undo:
            listener = undo.enter_context(_listener(settings.host, settings.rest_port))
            self.rest_port = listener.getsockname()[1]
            catalogue, metrics = Catalogue(), Metrics()
            scheduler = BatchScheduler(parameters.num_batch_threads if parameters else os.cpu_count() or 1)
            undo.callback(scheduler.close)

            def load(name: str, number: int, path: Path) -> Servable:
                own, chosen = path / FILE_OF_A_MODEL, parameters
                if settings.batching and own.is_file():
                    chosen = read_batching_parameters(own)
                return Servable(name, number, path, scheduler, chosen, settings.most_waiting, metrics)

            watcher = Watcher(catalogue, load, lambda: read_models(settings.models, settings.config_file))
            undo.callback(watcher.close)
            watcher.look()
            self._start_grpc(catalogue, watcher, metrics, undo)
            interface = RestInterface(
                catalogue, metrics, settings.largest_body, settings.client_seconds, settings.request_seconds
            )
            server = RestServer(
                interface, listener, settings.client_seconds, settings.drain_seconds, settings.last_seconds
            )
            server.start()
            undo.callback(server.stop)
            watcher.start(settings.poll_seconds)
            self._undo = undo.pop_all()

    def stop(self) -> None:
        """Takes no new requests, answers those that it has, and frees everything; twice is no error."""
        self._undo.close()

    def _batching_parameters(self) -> BatchingParameters | None:
        if not self._settings.batching:
            return None
        file = self._settings.batching_file or self._settings.models / BATCHING_FILE
        if self._settings.batching_file or file.is_file():
            return read_batching_parameters(file)
        return None

    def _start_grpc(self, catalogue: Catalogue, watcher: Watcher, metrics: Metrics, undo: contextlib.ExitStack) -> None:
        options = [
            ("grpc.max_receive_message_length", self._settings.largest_body),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
        threads = ThreadPoolExecutor(_GRPC_THREADS, thread_name_prefix="grpc")
        undo.callback(threads.shutdown)
        server = grpc.server(threads, options=options, maximum_concurrent_rpcs=_MOST_CALLS)
        answers = GrpcAnswers(catalogue, metrics)
        prediction, model = PredictionService(catalogue, answers), ModelService(catalogue, watcher, answers)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(model, server)
        try:
            self.grpc_port = server.add_insecure_port(f"{self._settings.host}:{self._settings.grpc_port}")
        except RuntimeError:
            raise _taken(self._settings.host, self._settings.grpc_port, "--grpc-port") from None
        server.start()
        undo.callback(lambda: server.stop(self._settings.drain_seconds).wait())


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise _taken(host, port, "--rest-port") from None
    return listener


def _taken(host: str, port: int, flag: str) -> InputError:
    return InputError(f"cannot listen at {host}:{port}: it is taken or not allowed; choose another with {flag}")


def _raise_file_limit() -> None:
    """A connection is an open file, and the usual limit of 1,024 is that of another time."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
