"""What is served at the moment: versions of models, loaded, and what is said of them."""

import contextlib
import dataclasses
import enum
import functools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from tfserving_dev.batching import Arrays, BatchQueue, BatchScheduler
from tfserving_dev.configuration import BatchingParameters
from tfserving_dev.errors import Code, ServingError, invalid
from tfserving_dev.metrics import Metrics
from tfserving_dev.session import GRAPH, NativeError, NativeSavedModel

_FIELD = "signature_def"


class Servable:
    """A SavedModel in a session, with the queues of its signatures. Threads may use it at once; close it after use.

    Args:
        name: The model's name.
        version: Its version.
        path: The folder of the version.
        scheduler: Runs the batches.
        parameters: How requests are put together; `None` keeps them apart.
        most_waiting: How many requests may wait for a signature where they are kept apart.
        metrics: What counts runs.

    Attributes:
        signature_defs: What each signature takes and returns, as the SavedModel says it.
        signatures: The same of those that can be run.

    Raises:
        ServingError: It cannot be loaded.
    """

    def __init__(
        self,
        name: str,
        version: int,
        path: Path,
        scheduler: BatchScheduler,
        parameters: BatchingParameters | None,
        most_waiting: int,
        metrics: Metrics,
    ):
        self.name, self.version = name, version
        self._scheduler, self._metrics = scheduler, metrics
        self._leases, self._returned = 0, threading.Condition()
        try:
            self._model = NativeSavedModel(path)
            self.signature_defs = _signature_defs(path)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this version's
            raise _loading_error(path, error) from None
        self.signatures = {name: self.signature_defs[name] for name in self._model.signatures}
        self._queues = {
            signature: BatchQueue(functools.partial(self.run, signature), parameters, most_waiting)
            for signature in self.signatures
        }

    def types(self, signature: str) -> dict[str, np.dtype]:
        """The type of each input of a signature, by the input's name."""
        return {name: dtype for name, (dtype, _) in self._model.signatures[signature].inputs.items()}

    def submit(self, signature: str, inputs: Arrays) -> "Future[dict[str, np.ndarray]]":
        """Runs a signature when its turn comes. The servable stays loaded until it has.

        Raises:
            ServingError: Too many requests wait already.
        """
        self._acquire()
        try:
            future = self._scheduler.submit(self._queues[signature], inputs)
        except BaseException:
            self._release()
            raise
        future.add_done_callback(lambda _: self._release())
        return future

    def run(self, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """Runs a signature now, in this thread.

        Raises:
            ServingError: TensorFlow failed, with its own code and message.
        """
        start = time.perf_counter()
        try:
            return self._model.run(inputs, signature)
        except NativeError as error:
            raise ServingError(Code(error.code), str(error)) from None
        except ValueError as error:
            raise invalid(str(error)) from None
        finally:
            self._metrics.ran(self.name, time.perf_counter() - start)

    @contextlib.contextmanager
    def lease(self) -> Iterator["Servable"]:
        """Keeps it loaded for a while. Only for what knows that it is not yet being closed."""
        self._acquire()
        try:
            yield self
        finally:
            self._release()

    def close(self) -> None:
        """Waits for the requests that it has, then frees it."""
        with self._returned:
            self._returned.wait_for(lambda: self._leases == 0)
        self._model.close()

    def _acquire(self) -> None:
        with self._returned:
            self._leases += 1

    def _release(self) -> None:
        with self._returned:
            self._leases -= 1
            if not self._leases:
                self._returned.notify_all()


def _signature_defs(path: Path) -> Mapping[str, meta_graph_pb2.SignatureDef]:
    saved_model = saved_model_pb2.SavedModel.FromString((path / GRAPH).read_bytes())
    graph = next(graph for graph in saved_model.meta_graphs if set(graph.meta_info_def.tags) == {"serve"})
    return dict(graph.signature_def)


def _loading_error(path: Path, error: Exception) -> ServingError:
    if isinstance(error, NativeError):
        return ServingError(Code(error.code), str(error))
    if isinstance(error, FileNotFoundError):
        return ServingError(Code.NOT_FOUND, f"Could not find SavedModel .pb at supplied export directory path: {path}")
    if isinstance(error, DecodeError):
        return ServingError(Code.DATA_LOSS, f"Can't parse {path / GRAPH} as binary proto")
    if isinstance(error, OSError):
        return ServingError(Code.UNAVAILABLE, f"cannot read {path}: {error.strerror or error}")
    return ServingError(Code.FAILED_PRECONDITION, str(error))


class State(enum.IntEnum):
    """Where a version is in its life; the numbers of `ModelVersionStatus.State`."""

    START = get_model_status_pb2.ModelVersionStatus.START
    LOADING = get_model_status_pb2.ModelVersionStatus.LOADING
    AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    UNLOADING = get_model_status_pb2.ModelVersionStatus.UNLOADING
    END = get_model_status_pb2.ModelVersionStatus.END


@dataclasses.dataclass(frozen=True)
class Version:
    """What became of one version of a model."""

    state: State
    servable: Servable | None = None
    """While it is available."""
    error: ServingError | None = None
    """Why it could not be loaded."""


class Catalogue:
    """Finds the version of a model that a request is for. Threads may use it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, dict[int, Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}

    @contextlib.contextmanager
    def lease(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """The version that a `ModelSpec` means, which stays loaded meanwhile: the latest, unless it says otherwise.

        Raises:
            ServingError: It names no model, or one that is not served, a version that is not available, or no label.
        """
        with contextlib.ExitStack() as stack:
            with self._lock:
                servable = self._find(spec)
                stack.enter_context(servable.lease())
            yield servable

    def _find(self, spec: model_pb2.ModelSpec) -> Servable:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        wanted = spec.version.value if choice == "version" else None
        if choice == "version_label":
            wanted = self._labels.get(spec.name, {}).get(spec.version_label)
            if wanted is None:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        versions = self._models.get(spec.name, {})
        available = {number: version.servable for number, version in versions.items() if version.servable}
        if available and wanted is None:
            return available[max(available)]
        if wanted in available:
            return available[wanted]
        meant = f"Latest({spec.name})" if wanted is None else f"Specific({spec.name}, {wanted})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {meant}")

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """What became of a version, or of all that are known, newest first. Labels do not count, as in the real server.

        Raises:
            ServingError: Nothing is known of it.
        """
        versions = self.versions(spec.name)
        if not versions:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        if spec.HasField("version"):
            number = spec.version.value
            if number not in versions:
                raise ServingError(Code.NOT_FOUND, f"Could not find version {number} of model {spec.name}")
            versions = {number: versions[number]}
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, version in sorted(versions.items(), reverse=True):
            _fill(response.model_version_status.add(), number, version)
        return response

    def models(self) -> list[str]:
        """The names of all models of which something is known."""
        with self._lock:
            return sorted(self._models)

    def versions(self, model: str) -> Mapping[int, Version]:
        """What became of each version of a model so far."""
        with self._lock:
            return dict(self._models.get(model, {}))

    def set(self, model: str, number: int, version: Version) -> None:
        """Notes what became of a version; from now on requests find it, or find it no more."""
        with self._lock:
            self._models.setdefault(model, {})[number] = version

    def check_labels(self, labels: Mapping[str, Mapping[str, int]]) -> None:
        """Refuses to move a label to a version that is not available; a new one may say what is yet to be loaded.

        Args:
            labels: Versions by label, by model.

        Raises:
            ServingError: A label would move there.
        """
        with self._lock:
            for model, numbers in labels.items():
                for label, number in numbers.items():
                    version = self._models.get(model, {}).get(number)
                    moves = self._labels.get(model, {}).get(label, number) != number
                    if moves and not (version and version.servable):
                        what = f"Request to assign label to version {number} of model {model}"
                        message = f"{what}, which is not currently available for inference"
                        raise ServingError(Code.FAILED_PRECONDITION, message)

    def set_labels(self, labels: Mapping[str, Mapping[str, int]]) -> None:
        """Labels of versions, by model; those of before are forgotten."""
        with self._lock:
            self._labels = {model: dict(numbers) for model, numbers in labels.items()}


def _fill(status: Message, number: int, version: Version) -> None:
    status.version, status.state = number, int(version.state)
    status.status.error_code = int(version.error.code) if version.error else 0
    status.status.error_message = version.error.message if version.error else ""


def check_metadata_request(request: get_model_metadata_pb2.GetModelMetadataRequest) -> None:
    """Refuses requests for no field, or for one that is not there.

    Raises:
        ServingError: It is refused.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != _FIELD:
            raise invalid(f"Metadata field {field} is not supported")


def metadata(servable: Servable) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The model, its version and all its signatures."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name, response.model_spec.version.value = servable.name, servable.version
    response.metadata[_FIELD].Pack(_signatures(servable))
    return response


def metadata_body(servable: Servable) -> bytes:
    """The same as JSON, with the signatures where `Any` would have a type and bytes."""
    spec = metadata(servable).model_spec
    named = {"model_spec": _as_json(spec), "metadata": {_FIELD: _as_json(_signatures(servable))}}
    return json.dumps(named, indent=1).encode()


def status_body(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """A status as JSON; versions are strings there, for JSON's numbers have fewer digits."""
    return json.dumps(_as_json(response), indent=1).encode()


def _signatures(servable: Servable) -> get_model_metadata_pb2.SignatureDefMap:
    return get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)


def _as_json(message: object) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
