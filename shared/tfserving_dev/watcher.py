"""Looks at the folders of the models again and again; loads, warms up and unloads versions as they come and go.

The rules are TensorFlow Serving's (file_system_storage_path_source.cc, availability_preserving_policy.cc).
"""

import logging
import threading
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from tfserving_dev.catalogue import Catalogue, Servable, State, Version
from tfserving_dev.errors import Code, InputError, ServingError, invalid
from tfserving_dev.examples import classify_call, multi_inference_calls, regress_call
from tfserving_dev.predict import ModelCall, predict_call

Policy: TypeAlias = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
"""In a version's folder."""
MOST_RECORDS = 1000
_LOG = logging.getLogger(__name__)
Models = Sequence[model_server_config_pb2.ModelConfig]


class Action(NamedTuple):
    """To load a version, or else to unload it."""

    load: bool
    version: int


def versions_on_disk(base_path: Path) -> dict[int, Path] | None:
    """The folders whose names are whole numbers, by number; `None` where the base path is not there.

    A base path that is gone for a while is no order to unload everything.
    """
    try:
        names = sorted(entry.name for entry in base_path.iterdir())
    except OSError:
        return None
    return {int(name): base_path / name for name in names if name.isdecimal() and name.isascii()}


def aspired_versions(on_disk: Collection[int], policy: Policy) -> set[int]:
    """The versions that should be served: the latest (one, unless said otherwise), all, or those that are named.

    Example:
        >>> aspired_versions([1, 2, 3], Policy(latest={"num_versions": 2}))
        {2, 3}
    """
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return set(on_disk)
    if choice == "specific":
        return set(on_disk) & set(policy.specific.versions)
    return set(sorted(on_disk)[-max(policy.latest.num_versions, 1) :])


def next_action(aspired: Collection[int], states: Mapping[int, State], failed: Collection[int] = ()) -> Action | None:
    """The next step, such that something is served as long as something should be.

    A version that is no longer wanted is unloaded when one that is wanted is available, or when none is wanted, or when
    it is not the last of the unwanted; until then the newest version that is wanted is loaded.

    Args:
        aspired: Versions that should be served.
        states: Those that are known, whatever became of them.
        failed: Those that cannot be loaded as they are.

    Returns:
        What to do, or `None` when there is nothing to do.
    """
    available = {version for version, state in states.items() if state is State.AVAILABLE}
    unwanted = available - set(aspired)
    if unwanted and (not aspired or available & set(aspired) or len(unwanted) > 1):
        return Action(False, min(unwanted))
    busy = {version for version, state in states.items() if state in (State.LOADING, State.UNLOADING)}
    new = set(aspired) - available - busy - set(failed)
    return Action(True, max(new)) if new else None


def warm_up(servable: Servable, folder: Path) -> int:
    """Runs every warm-up record of a version, in this thread.

    Args:
        servable: The version, loaded.
        folder: Its folder.

    Returns:
        The number of records; 0 where there is no file of them.

    Raises:
        ServingError: A record is damaged, asks what the model does not answer, or is one too many.
    """
    path = folder / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            count += 1
            if count > MOST_RECORDS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}")
            for call in _calls(prediction_log_pb2.PredictionLog.FromString(record), servable):
                call.answer(servable.run(call.signature, call.inputs))
    except (tf.errors.DataLossError, DecodeError) as error:
        message = f"{error}. Please verify your warmup data is in TFRecord format."
        raise ServingError(Code.DATA_LOSS, message) from None
    return count


def _calls(log: prediction_log_pb2.PredictionLog, servable: Servable) -> list[ModelCall]:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        return [predict_call(log.predict_log.request, servable)]
    if kind == "classify_log":
        return [classify_call(log.classify_log.request, servable)]
    if kind == "regress_log":
        return [regress_call(log.regress_log.request, servable)]
    if kind == "multi_inference_log":
        return multi_inference_calls(log.multi_inference_log.request, servable)
    raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")


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
        failed = {number: version.error for number, version in self._catalogue.versions(name).items() if version.error}
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
            states = {number: version.state for number, version in self._catalogue.versions(name).items()}
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
    files = []
    try:
        for path in folder.rglob("*"):
            status = path.stat()
            files.append((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
    except OSError:  # a file that is being replaced at this moment
        return None
    return tuple(sorted(files))
