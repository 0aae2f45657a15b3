"""What goes wrong: in requests, with a code and a message for the client; and in what a server is told to serve."""

import enum


class Code(enum.IntEnum):
    """What a request came to; the numbers of TensorFlow's `error.Code` and of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @property
    def http(self) -> int:
        """The status that TensorFlow Serving's REST interface answers with (`ToHTTPStatusCode` in http_server.cc)."""
        return _HTTP.get(self, 500)


_HTTP = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}


class ServingError(Exception):
    """A request that is answered with an error: a code, and a message in TensorFlow Serving's words.

    Args:
        code: What kind of error; REST and gRPC have each their form of it.
        message: What the client reads.
    """

    def __init__(self, code: Code, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> ServingError:
    """An error of the client's request: HTTP 400, gRPC INVALID_ARGUMENT."""
    return ServingError(Code.INVALID_ARGUMENT, message)


class InputError(ValueError):
    """A server cannot be started as it is told to. The message says in one line what is wrong and what to do."""


class NoModelsError(InputError):
    """There is nothing to serve in the folder of models."""
