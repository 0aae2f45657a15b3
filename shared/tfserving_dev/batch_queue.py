"""The requests that wait for one signature of one version of a model."""

import collections
import itertools
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import numpy as np

from tfserving_dev.batch_task import Task
from tfserving_dev.batching import Arrays, concatenate, form_of, padded_size, rows_of, split
from tfserving_dev.batching_parameters import BatchingParameters
from tfserving_dev.divided_request import DividedRequest, part_sizes
from tfserving_dev.serving_error import ServingError, invalid
from tfserving_dev.status import Code

Run = Callable[[Arrays], dict[str, np.ndarray]]


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
        waiting, taken, rows = self._tasks.pop(form), [], 0
        while waiting and (not taken or rows + waiting[0].rows <= self._largest):
            taken.append(waiting.popleft())
            rows += taken[-1].rows
        if waiting:
            self._tasks[form] = waiting  # now behind the other forms
        self._waiting -= rows
        return taken

    def process(self, tasks: list[Task]) -> None:
        """Runs requests together and answers each; by itself where together fails."""
        tasks = [task for task in tasks if task.begin()]
        if not tasks:
            return
        answers = self._together(tasks)
        for number, task in enumerate(tasks):
            try:
                task.finish(answers[number] if answers else self._run(task.inputs))
            except Exception as error:  # noqa: BLE001 - it is the client's, whatever it is
                task.finish(None, error)

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
