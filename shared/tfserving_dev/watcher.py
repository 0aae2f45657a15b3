"""Looks at the folders of the models again and again, and loads and unloads versions as they come and go."""

import logging
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2

from recur.errors import InputError
from tfserving_dev.catalogue import Catalogue, Version
from tfserving_dev.servable import Servable
from tfserving_dev.serving_error import ServingError
from tfserving_dev.status import Code
from tfserving_dev.versions import State, aspired_versions, next_action, versions_on_disk
from tfserving_dev.warming import warm_up

_LOG = logging.getLogger(__name__)
Models = Sequence[model_server_config_pb2.ModelConfig]


class Watcher:
    """Keeps a catalogue as the folders and the configuration say. Close it after use.

    A new version is loaded and warmed up while the old one goes on answering; then requests go to the new one; the old
    one is freed when it has answered what it had.

    Args:
        catalogue: What is kept.
        load: Loads the version of a model, by name, number and folder.
        read_models: What should be served.
    """

    def __init__(
        self, catalogue: Catalogue, load: Callable[[str, int, Path], Servable], read_models: Callable[[], Models]
    ):
        self._catalogue, self._load, self._read_models = catalogue, load, read_models
        self._models: Models = ()  # of which something was last accepted
        self._failed: dict[tuple[str, int], Hashable] = {}  # with what their folders were like
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._unloading: set[threading.Thread] = set()
        self._thread: threading.Thread | None = None
        self._complaint = ""

    def start(self, seconds: float) -> None:
        """Looks every so many seconds from now on, in a thread."""
        self._thread = threading.Thread(target=self._watch, args=(seconds,), name="watcher", daemon=True)
        self._thread.start()

    def configure(self, models: Models) -> None:
        """Serves these models from now on, whatever the configuration file says; returns when they are loaded.

        Raises:
            ServingError: A label cannot move, and everything stays as it was; or no version of a model that the
                configuration before did not name could be loaded.
        """
        with self._lock:
            self._catalogue.check_labels(_labels(models))
            new = [model.name for model in models if model.name not in {model.name for model in self._models}]
            self._read_models = lambda: models
        self.look()
        missing = [name for name in new if not self._available(name)]
        if missing:
            faults = "".join(f"{{name: {name}{self._fault(name)}}}, " for name in missing)
            raise ServingError(Code.UNKNOWN, f"{len(missing)} model(s) did not become available: {{{faults}}}")

    def _available(self, name: str) -> bool:
        return any(version.state is State.AVAILABLE for version in self._catalogue.versions(name).values())

    def _fault(self, name: str) -> str:
        failed = {number: each.error for number, each in self._catalogue.versions(name).items() if each.error}
        number = max(failed, default=None)
        return "" if number is None else f" version: {number} due to error: {failed[number].message}"

    def look(self) -> None:
        """Loads and unloads until everything is as the folders say.

        Raises:
            InputError: The configuration cannot be read; everything stays as it was.
        """
        with self._lock:
            models, refused = self._accepted()
            folders = {model.name: versions_on_disk(Path(model.base_path)) for model in models}
            gone = [model for model in models if folders[model.name] is None]
            absent = f"could not find base path {gone[0].base_path} of {gone[0].name}" if gone else ""
            self._complain(refused or absent)
            self._catalogue.set_labels(_labels(models))  # before what a label has left is unloaded
            for model in models:
                on_disk = folders[model.name]
                if on_disk is not None:
                    self._bring_to(model.name, on_disk, aspired_versions(on_disk, model.model_version_policy))
            for name in set(self._catalogue.models()) - {model.name for model in models}:
                self._bring_to(name, {}, set())
            self._models = models

    def _accepted(self) -> tuple[Models, str]:
        """What should be served: what the configuration says, or said before it moved a label where it cannot be."""
        models = self._read_models()
        try:
            self._catalogue.check_labels(_labels(models))
        except ServingError as error:
            return self._models, error.message
        return models, ""

    def close(self) -> None:
        """Stops looking, and frees every version when it has answered what it had."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            for name in self._catalogue.models():
                self._bring_to(name, {}, set())
        for thread in list(self._unloading):
            thread.join()

    def _watch(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            try:
                self.look()
            except (InputError, OSError) as error:
                self._complain(str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may go well
                self._complain(f"{type(error).__name__}: {error}")

    def _complain(self, message: str) -> None:
        if message and message != self._complaint:  # not every second the same
            _LOG.error("%s", message)
        self._complaint = message

    def _bring_to(self, name: str, on_disk: dict[int, Path], aspired: set[int]) -> None:
        for version in [version for model, version in self._failed if model == name]:
            folder = on_disk.get(version)
            if folder is None or self._failed[name, version] != _likeness(folder):
                del self._failed[name, version]
        while not self._stop.is_set() or not aspired:
            states = {version: each.state for version, each in self._catalogue.versions(name).items()}
            failed = {version for model, version in self._failed if model == name}
            action = next_action(aspired, states, failed)
            if action is None:
                return
            if action.load:
                self._load_version(name, action.version, on_disk[action.version])
            else:
                self._unload_version(name, action.version)

    def _load_version(self, name: str, number: int, folder: Path) -> None:
        self._catalogue.set(name, number, Version(State.LOADING))
        likeness = _likeness(folder)
        try:
            servable = self._load(name, number, folder)
            try:
                records = warm_up(servable, folder)
            except BaseException:
                servable.close()
                raise
        except Exception as error:  # noqa: BLE001 - a version that cannot be loaded must not end the others
            fault = error if isinstance(error, ServingError) else ServingError(Code.INTERNAL, f"cannot load: {error}")
            self._failed[name, number] = likeness
            self._catalogue.set(name, number, Version(State.END, error=fault))
            _LOG.error("%s/%d cannot be loaded: %s: %s", name, number, fault.code.name, " ".join(fault.message.split()))
            return
        self._catalogue.set(name, number, Version(State.AVAILABLE, servable))
        _LOG.info("%s/%d is available (%d warm-up records)", name, number, records)

    def _unload_version(self, name: str, number: int) -> None:
        servable = self._catalogue.versions(name)[number].servable
        self._catalogue.set(name, number, Version(State.UNLOADING))

        def unload() -> None:
            if servable is not None:
                servable.close()
            self._catalogue.set(name, number, Version(State.END))
            _LOG.info("%s/%d is unloaded", name, number)
            self._unloading.discard(thread)

        thread = threading.Thread(target=unload, name=f"unload-{name}-{number}", daemon=True)
        self._unloading.add(thread)
        thread.start()


def _labels(models: Models) -> dict[str, Mapping[str, int]]:
    return {model.name: model.version_labels for model in models}


def _likeness(folder: Path) -> Hashable:
    """Changes when a file in a folder does: names, sizes and times."""
    found = []
    try:
        for path in folder.rglob("*"):
            status = path.stat()
            found.append((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
    except OSError:  # a file that is being replaced at this moment
        return None
    return tuple(sorted(found))
