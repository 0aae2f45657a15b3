"""The threads that run batches of all models."""

import collections
import logging
import threading
import time
from concurrent.futures import Future

import numpy as np

from tfserving_dev.batch_queue import BatchQueue
from tfserving_dev.batching import Arrays
from tfserving_dev.serving_error import ServingError
from tfserving_dev.status import Code

_LOG = logging.getLogger(__name__)


class BatchScheduler:
    """A number of threads that take the batches of many queues in turn. Close it after use.

    Args:
        threads: How many batches run at a time.
    """

    def __init__(self, threads: int):
        self._condition = threading.Condition()
        self._busy: collections.OrderedDict[int, BatchQueue] = collections.OrderedDict()  # the queues with requests
        self._closing = False
        self._threads = [threading.Thread(target=self._work, name=f"batch-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, queue: BatchQueue, inputs: Arrays) -> "Future[dict[str, np.ndarray]]":
        """Lets a request wait in its queue.

        Returns:
            What becomes of it: the outputs by name, or an error.

        Raises:
            ServingError: The queue is full, the request too large, or the scheduler closed.
        """
        with self._condition:
            if self._closing:
                raise ServingError(Code.UNAVAILABLE, "the server is shutting down")
            future = queue.add(inputs, time.monotonic())
            self._busy[id(queue)] = queue
            self._condition.notify()
        return future

    def close(self) -> None:
        """Finishes what waits, then ends the threads."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._condition:
                while not (batch := self._next_batch()):
                    if self._closing and not self._busy:
                        return
                    self._condition.wait(self._seconds_to_wait())
            queue, tasks = batch
            try:
                queue.process(tasks)
            except Exception as error:  # noqa: BLE001 - a thread that ended would take its share of the work with it
                _LOG.error("a batch failed: %s: %s", type(error).__name__, error)
            del batch, queue, tasks  # a thread that waits holds on to no request

    def _next_batch(self) -> tuple[BatchQueue, list] | None:
        now = float("inf") if self._closing else time.monotonic()
        for key, queue in self._busy.items():
            if tasks := queue.take(now):
                del self._busy[key]
                if queue:
                    self._busy[key] = queue  # behind the others
                    self._condition.notify()
                return queue, tasks
        return None

    def _seconds_to_wait(self) -> float | None:
        if not self._busy:
            return None
        return max(0.0, min(queue.ready_at() for queue in self._busy.values()) - time.monotonic())
