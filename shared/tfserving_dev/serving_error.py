"""An error that a client is told of."""

from tfserving_dev.status import Code


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
