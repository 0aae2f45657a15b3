"""Everything together: the watcher, the batches, REST and gRPC."""

import contextlib
import os
import resource
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tfserving_dev.batching import BatchScheduler
from tfserving_dev.catalogue import Catalogue, Servable
from tfserving_dev.configuration import (
    BATCHING_PARAMETERS,
    VERSION_BATCHING,
    BatchingParameters,
    check_folder,
    models_to_serve,
    read_batching_parameters,
    read_models,
)
from tfserving_dev.errors import InputError
from tfserving_dev.grpc_services import ModelService, PredictionService
from tfserving_dev.metrics import Metrics
from tfserving_dev.rest import RestInterface, RestServer
from tfserving_dev.settings import ServerSettings
from tfserving_dev.watcher import Watcher

_GRPC_THREADS, _MOST_CALLS = 128, 1024


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
        check_folder(settings.models)
        parameters = self._batching_parameters()
        models_to_serve(settings.models, settings.config)
        _raise_file_limit()
        with contextlib.ExitStack() as undo:
            listener = undo.enter_context(_listener(settings.host, settings.rest_port))
            self.rest_port = listener.getsockname()[1]
            catalogue, metrics = Catalogue(), Metrics()
            scheduler = BatchScheduler(parameters.num_batch_threads if parameters else os.cpu_count() or 1)
            undo.callback(scheduler.close)

            def load(name: str, number: int, path: Path) -> Servable:
                own, chosen = path / VERSION_BATCHING, parameters
                if settings.batching and own.is_file():
                    chosen = read_batching_parameters(own)
                return Servable(name, number, path, scheduler, chosen, settings.max_waiting, metrics)

            watcher = Watcher(catalogue, load, lambda: read_models(settings.models, settings.config))
            undo.callback(watcher.close)
            watcher.look()
            self._start_grpc(catalogue, watcher, metrics, undo)
            server = RestServer(RestInterface(catalogue, metrics, settings), listener, settings)
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
        file = self._settings.batching_parameters or self._settings.models / BATCHING_PARAMETERS
        if self._settings.batching_parameters or file.is_file():
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
        prediction, model = PredictionService(catalogue, metrics), ModelService(catalogue, metrics, watcher)
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
