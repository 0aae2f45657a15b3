"""A request whose rows are computed in parts, in batches with other requests' rows, and its answer."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from tfserving_dev.batching import Arrays
from tfserving_dev.serving_error import ServingError
from tfserving_dev.status import Code


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
