"""One version of a model, loaded."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from recur.serving.native import NativeError, NativeSavedModel
from tfserving_dev.batch_queue import BatchQueue
from tfserving_dev.batch_scheduler import BatchScheduler
from tfserving_dev.batching import Arrays
from tfserving_dev.batching_parameters import BatchingParameters
from tfserving_dev.metrics import Metrics
from tfserving_dev.serving_error import ServingError, invalid
from tfserving_dev.status import Code


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
            signature: BatchQueue(
                lambda inputs, signature=signature: self.run(signature, inputs), parameters, most_waiting
            )
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
    saved_model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    graph = next(each for each in saved_model.meta_graphs if set(each.meta_info_def.tags) == {"serve"})
    return dict(graph.signature_def)


def _loading_error(path: Path, error: Exception) -> ServingError:
    if isinstance(error, NativeError):
        return ServingError(Code(error.code), str(error))
    if isinstance(error, FileNotFoundError):
        return ServingError(Code.NOT_FOUND, f"Could not find SavedModel .pb at supplied export directory path: {path}")
    if isinstance(error, DecodeError):
        return ServingError(Code.DATA_LOSS, f"Can't parse {path / 'saved_model.pb'} as binary proto")
    if isinstance(error, OSError):
        return ServingError(Code.UNAVAILABLE, f"cannot read {path}: {error.strerror or error}")
    return ServingError(Code.FAILED_PRECONDITION, str(error))
