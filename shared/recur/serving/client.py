"""Asks a model of TensorFlow Serving, by REST or gRPC, as if it were here.

Example:
    >>> with connect("http://localhost:8501", "sentiment_analysis") as client:  # doctest: +SKIP
    ...     client.ask("serving_default", {"text": np.array([b"Good."], dtype=object)})
    {'label': array([b'positive'], dtype=object), 'probability': array([0.98], dtype=float32)}
"""

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from recur.errors import InputError
from recur.serving.endpoint import Asking, Endpoint, Unavailable, parse_endpoint
from recur.training.application import Shapes

Answer = TypeVar("Answer")

DEADLINE = 60.0
"""Seconds."""
MOST_ROWS = 256
"""Of one request; more are asked for in several."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds between tries."""


def connect(
    server: str,
    model: str,
    *,
    version: int | None = None,
    label: str | None = None,
    deadline: float = DEADLINE,
    most_rows: int = MOST_ROWS,
) -> "Client":
    """A client of a model; nothing is asked yet.

    Args:
        server: `http://host:8501` for REST, `grpc://host:8500` for gRPC.
        model: Its name there.
        version: The newest by default.
        label: Instead of a version, a label that the server knows.
        deadline: Seconds for the answer to a request, with all tries.
        most_rows: Of one request.

    Raises:
        InputError: The URL is none, or both a version and a label are given.
    """
    endpoint = parse_endpoint(server, model, version, label)
    return Client(_protocol(endpoint), endpoint.server, deadline, most_rows)


def _protocol(endpoint: Endpoint) -> Asking:
    if endpoint.scheme == "grpc":
        from recur.serving.rpc import GrpcProtocol

        return GrpcProtocol(endpoint)
    from recur.serving.rest import RestProtocol

    return RestProtocol(endpoint)


class Client(contextlib.AbstractContextManager):
    """Asks a model of a server, again while it is unavailable, and in several requests where there are many rows.

    Args:
        protocol: Asks once.
        server: What to call it in errors.
        deadline: Seconds for the answer to a request, with all tries.
        most_rows: Of one request.
    """

    def __init__(self, protocol: Asking, server: str, deadline: float = DEADLINE, most_rows: int = MOST_ROWS):
        if not deadline > 0 or most_rows < 1:
            raise InputError("a deadline should be over 0 seconds, and a request of at least 1 row")
        self._protocol, self._server, self._deadline, self._most_rows = protocol, server, deadline, most_rows

    def ask(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers rows.

        Args:
            signature: Its name.
            inputs: Arrays by name, with the same number of rows; strings are `bytes` objects.

        Returns:
            Arrays by name. Where several requests answer with rows of different lengths, shorter ones end in zeros, or
            in empty strings, as they do beside longer ones in one request.

        Raises:
            InputError: The server is not there within the deadline, has no such model, or calls the request wrong.
            ServerError: The server failed.
        """
        rows = max((len(array) for array in inputs.values()), default=0)
        parts = [
            self._ask_once({name: array[begin : begin + self._most_rows] for name, array in inputs.items()}, signature)
            for begin in range(0, max(rows, 1), self._most_rows)
        ]
        return {name: joined([part[name] for part in parts]) for name in parts[0]}

    def shapes(self) -> Shapes:
        """What each signature takes, as the server describes it; raises as `ask` does."""
        return self._retried(self._protocol.shapes)

    def _ask_once(self, inputs: Mapping[str, np.ndarray], signature: str) -> dict[str, np.ndarray]:
        return self._retried(lambda timeout: self._protocol.predict(signature, inputs, timeout))

    def _retried(self, once: Callable[[float], Answer]) -> Answer:
        try:
            return retried(once, self._deadline)
        except Unavailable as error:
            raise InputError(f"{error}, for {self._deadline:g} s; start the server, or see `server`") from None

    def close(self) -> None:
        """Closes connections."""
        self._protocol.close()

    def __exit__(self, *exception: object) -> None:
        self.close()


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """Rows of several arrays below one another; what is shorter ends in zeros, or in empty strings."""
    if len(parts) == 1:
        return parts[0]
    sizes = np.max([part.shape[1:] for part in parts], axis=0, initial=0).astype(int)
    nothing = b"" if parts[0].dtype.kind == "O" else 0
    padded = [
        np.pad(part, [(0, 0), *((0, size - had) for size, had in zip(sizes, part.shape[1:], strict=True))],
               constant_values=nothing)
        for part in parts
    ]  # fmt: skip
    return np.concatenate(padded)


def retried(
    call: Callable[[float], Answer],
    deadline: float,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Calls until it succeeds, after each `Unavailable` waiting twice as long as before (of which half is chance).

    Chance keeps many clients that failed together from coming back together (Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015).

    Args:
        call: From the seconds that are left to the answer.
        deadline: Seconds for everything: no call begins later, and none is told that it has longer.
        sleep: For tests.
        clock: For tests; seconds.

    Raises:
        Unavailable: The last one, when waiting on would pass the deadline.
    """
    end, wait = clock() + deadline, FIRST_WAIT
    while True:
        try:
            return call(max(end - clock(), 0.001))
        except Unavailable:
            pause = wait * random.uniform(0.5, 1.0)
            if clock() + pause >= end:
                raise
        sleep(pause)
        wait = min(2 * wait, LONGEST_WAIT)
