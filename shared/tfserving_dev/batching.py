"""Requests that wait are put together into batches, run, and answered each with its own rows.

The first dimension of every input and output is the batch. What has no such dimension, or differs in another, cannot be
put together and runs by itself.
"""

import collections
import dataclasses
import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future

import numpy as np

from tfserving_dev.configuration import BatchingParameters
from tfserving_dev.errors import Code, ServingError, invalid

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], dict[str, np.ndarray]]
_LOG = logging.getLogger(__name__)


def rows_of(inputs: Arrays) -> int | None:
    """The size of the batch dimension that all inputs share; `None` where they do not, or have no element."""
    sizes = {array.shape[0] if array.ndim else None for array in inputs.values()}
    if len(sizes) != 1:
        return None
    return sizes.pop() or None


def form_of(inputs: Arrays) -> Hashable:
    """Equal for requests that can be put together: names, types, and shapes without the batch dimension."""
    return tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items()))


def padded_size(rows: int, allowed: Sequence[int]) -> int:
    """The first of the allowed sizes that holds so many rows; `rows` where none does.

    Example:
        >>> padded_size(5, (4, 8, 16))
        8
    """
    return next((size for size in allowed if size >= rows), rows)


def concatenate(requests: Sequence[Arrays], size: int) -> dict[str, np.ndarray]:
    """One batch of `size` rows: the requests' in order, then copies of a row that is known to be a row.

    As in TensorFlow Serving, that is the first row of the last request.
    """
    missing = size - sum(len(next(iter(request.values()))) for request in requests)
    batch = {}
    for name in requests[0]:
        parts = [request[name] for request in requests]
        if missing > 0:
            parts.append(np.repeat(parts[-1][:1], missing, axis=0))
        batch[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return batch


def split(outputs: Arrays, sizes: Sequence[int], size: int) -> list[dict[str, np.ndarray]] | None:
    """Each request's rows of a batch's outputs.

    Args:
        outputs: Arrays of the whole batch.
        sizes: Rows of each request.
        size: Rows of the batch, with those it was filled up with.

    Returns:
        Arrays for each request; `None` where an output's first dimension is not the batch.
    """
    if any(array.ndim == 0 or array.shape[0] != size for array in outputs.values()):
        return None
    ends = np.cumsum(sizes).tolist()
    return [
        {name: array[end - rows : end] for name, array in outputs.items()}
        for rows, end in zip(sizes, ends, strict=True)
    ]


class DividedRequest:
    """What becomes of a request whose parts, one or several, run in batches of their own, in several threads.

    Args:
        rows: Of each part.

    Attributes:
        future: The outputs by name, or the first error; it can be cancelled until a part runs, and is done when none
            runs any more.
    """

    def __init__(self, rows: Sequence[int]):
        self.future: Future[dict[str, np.ndarray]] = Future()
        self._rows, self._left, self._lock = tuple(rows), len(rows), threading.Lock()
        self._runs: bool | None = None  # None until a part is about to run
        self._outputs: list[Arrays] = [{}] * len(rows)
        self._error: Exception | None = None

    def begin(self) -> bool:
        """Whether a part shall run: the client still waits."""
        with self._lock:
            if self._runs is None:
                self._runs = self.future.set_running_or_notify_cancel()
            return self._runs

    def finish(self, part: int, outputs: Arrays | None, error: Exception | None = None) -> None:
        """Takes what a part came to; the last one answers the client."""
        with self._lock:
            self._outputs[part], self._error = outputs or {}, self._error or error
            self._left -= 1
            if self._left:
                return
        try:
            if self._error is not None:
                raise self._error
            self.future.set_result(joined(self._outputs, self._rows))
        except Exception as failure:  # noqa: BLE001 - it is the client's, whatever it is
            self.future.set_exception(failure)


def part_sizes(rows: int, open_rows: int, largest: int) -> list[int]:
    """Rows of each part of a request: the first fills up the batch that others have begun.

    Args:
        rows: Of the request.
        open_rows: Rows that wait in the last batch, less than `largest`.
        largest: Rows of a batch.

    Example:
        >>> part_sizes(20, 3, 8)
        [5, 8, 7]
    """
    ends = [*range(largest - open_rows, rows, largest), rows]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def joined(parts: Sequence[Arrays], rows: Sequence[int]) -> dict[str, np.ndarray]:
    """The outputs of a request from those of its parts.

    Raises:
        ServingError: An output is not of the batch, or its rows differ in size from part to part. TensorFlow Serving
            copies such parts one after the other all the same, and answers nonsense, or aborts.
    """
    if len(parts) == 1:
        return dict(parts[0])
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if any(array.ndim == 0 or len(array) != size for array, size in zip(arrays, rows, strict=True)):
            message = "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the"
            raise ServingError(Code.FAILED_PRECONDITION, f"{message} input tensors: {name}")
        if len({array.shape[1:] for array in arrays}) > 1:
            message = f"the rows of output {name} differ in size between the parts of a divided request"
            raise ServingError(Code.INTERNAL, f"{message}; ask for fewer rows")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclasses.dataclass(frozen=True)
class Task:
    """A request that waits, or a part of one."""

    inputs: Arrays
    rows: int
    """Rows that it takes in a batch; 1 for one that runs by itself."""
    added: float
    """When, in seconds of a clock."""
    request: DividedRequest
    """Of which it is a part."""
    part: int = 0
    """Which."""


class BatchQueue:
    """First come, first served, in batches of requests of one form. Not for several threads at once, but for `process`.

    Args:
        run: Runs the signature on a batch.
        parameters: How requests are put together; `None` runs each by itself.
        most_waiting: How many requests may wait where they are not put together.
    """

    def __init__(self, run: Run, parameters: BatchingParameters | None, most_waiting: int):
        self._run, self._parameters = run, parameters
        self._tasks: dict[Hashable, collections.deque[Task]] = {}
        self._waiting, self._number = 0, 0
        self._largest = parameters.execution_rows if parameters else 1
        self._room = self._largest * parameters.max_enqueued_batches if parameters else most_waiting
        self._splits = True  # until an output's first dimension turns out not to be the batch

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def add(self, inputs: Arrays, now: float) -> "Future[dict[str, np.ndarray]]":
        """Lets a request wait.

        Returns:
            What becomes of it.

        Raises:
            ServingError: Too many are waiting, or it alone has more rows than a request may have.
        """
        rows, form = self._place_of(inputs)
        divides = bool(self._parameters and self._parameters.enable_large_batch_splitting)
        if self._waiting + rows > self._room and (self._waiting or divides):
            message = "The batch scheduling queue to which this task was submitted is full"
            raise ServingError(Code.UNAVAILABLE, message)
        waiting = self._tasks.setdefault(form, collections.deque())
        sizes = [rows]
        if divides:
            sizes = part_sizes(rows, sum(task.rows for task in waiting) % self._largest, self._largest)
        request, ends = DividedRequest(sizes), list(itertools.accumulate(sizes))
        for part, (size, end) in enumerate(zip(sizes, ends, strict=True)):
            piece = {name: array[end - size : end] for name, array in inputs.items()} if len(sizes) > 1 else inputs
            waiting.append(Task(piece, size, now, request, part))
        self._waiting += rows
        return request.future

    def _place_of(self, inputs: Arrays) -> tuple[int, Hashable]:
        rows = rows_of(inputs) if self._parameters and self._splits else None
        if rows is None or self._parameters is None:
            self._number += 1
            return 1, self._number  # a form of its own
        largest = self._parameters.max_batch_size
        if rows > largest:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {largest}")
        return rows, form_of(inputs)

    def ready_at(self) -> float:
        """When the next batch is due, by the clock of `add`."""
        return min(self._due(tasks) for tasks in self._tasks.values())

    def _due(self, tasks: collections.deque[Task]) -> float:
        patience = self._parameters.batch_timeout_micros / 1e6 if self._parameters else 0.0
        if patience and sum(task.rows for task in tasks) >= self._largest:
            return 0.0
        return tasks[0].added + patience

    def take(self, now: float) -> list[Task]:
        """The requests of the next batch that is due, oldest first; none where none is."""
        form = next((form for form, tasks in self._tasks.items() if self._due(tasks) <= now), None)
        if form is None:
            return []
        waiting, rows = self._tasks.pop(form), 0
        taken: list[Task] = []
        while waiting and (not taken or rows + waiting[0].rows <= self._largest):
            taken.append(waiting.popleft())
            rows += taken[-1].rows
        if waiting:
            self._tasks[form] = waiting  # now behind the other forms
        self._waiting -= rows
        return taken

    def process(self, tasks: list[Task]) -> None:
        """Runs requests together and answers each; by itself where together fails."""
        tasks = [task for task in tasks if task.request.begin()]
        if not tasks:
            return
        answers = self._together(tasks)
        for number, task in enumerate(tasks):
            try:
                outputs = answers[number] if answers else self._run(task.inputs)
                task.request.finish(task.part, outputs)
            except Exception as error:  # noqa: BLE001 - it is the client's, whatever it is
                task.request.finish(task.part, None, error)

    def _together(self, tasks: list[Task]) -> list[dict[str, np.ndarray]] | None:
        allowed = self._parameters.allowed_batch_sizes if self._parameters else ()
        rows = sum(task.rows for task in tasks)
        size = padded_size(rows, allowed)
        if not self._splits or (len(tasks) == 1 and size == rows) or rows_of(tasks[0].inputs) != tasks[0].rows:
            return None
        try:
            outputs = self._run(concatenate([task.inputs for task in tasks], size))
        except Exception:  # noqa: BLE001 - perhaps one of them is to blame: each shall have its own answer
            return None
        answers = split(outputs, [task.rows for task in tasks], size)
        self._splits = answers is not None
        return answers


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
