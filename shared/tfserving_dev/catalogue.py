"""What is served at the moment: models, their versions and what became of them."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping

from google.protobuf.message import Message
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from tfserving_dev.servable import Servable
from tfserving_dev.serving_error import ServingError, invalid
from tfserving_dev.status import Code
from tfserving_dev.versions import State


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
        available = {number: each.servable for number, each in versions.items() if each.servable}
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
            for model, each in labels.items():
                for label, number in each.items():
                    version = self._models.get(model, {}).get(number)
                    moves = self._labels.get(model, {}).get(label, number) != number
                    if moves and not (version and version.servable):
                        what = f"Request to assign label to version {number} of model {model}"
                        message = f"{what}, which is not currently available for inference"
                        raise ServingError(Code.FAILED_PRECONDITION, message)

    def set_labels(self, labels: Mapping[str, Mapping[str, int]]) -> None:
        """Labels of versions, by model; those of before are forgotten."""
        with self._lock:
            self._labels = {model: dict(each) for model, each in labels.items()}


def _fill(status: Message, number: int, version: Version) -> None:
    status.version, status.state = number, int(version.state)
    status.status.error_code = int(version.error.code) if version.error else 0
    status.status.error_message = version.error.message if version.error else ""
