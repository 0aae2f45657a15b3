"""Answers of the gRPC services: errors as gRPC has them, one line in the log, a count."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import TypeVar

import grpc

from tfserving_dev.catalogue import Catalogue
from tfserving_dev.metrics import Metrics
from tfserving_dev.serving_error import ServingError
from tfserving_dev.status import Code

_LOG = logging.getLogger(__name__)
_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_LONGEST = 2048  # a status travels among the headers, which clients take up to 8 KB of
ResponseT = TypeVar("ResponseT")


class GrpcAnswers:
    """Answers requests of either service.

    Args:
        catalogue: What is served; other names are not counted by name.
        metrics: What counts requests.
    """

    def __init__(self, catalogue: Catalogue, metrics: Metrics):
        self._catalogue, self._metrics = catalogue, metrics

    def answer(
        self, api: str, model: str, context: grpc.ServicerContext, function: Callable[[], ResponseT]
    ) -> ResponseT:
        """What a function returns; where it fails, the call ends with its error.

        Args:
            api: The method's name.
            model: The name of the model that is asked for.
            context: The call.
            function: Makes the response.
        """
        start = time.perf_counter()
        error = None
        try:
            return function()
        except ServingError as raised:
            error = raised
        except CancelledError:
            error = ServingError(Code.CANCELLED, "the client has cancelled the request")
        except Exception as raised:  # noqa: BLE001 - the client is told that it was us, and no more
            _LOG.error("%s of %r failed: %s: %s", api, model, type(raised).__name__, " ".join(str(raised).split()))
            error = ServingError(Code.INTERNAL, "internal error")
        finally:
            code = error.code if error else Code.OK
            name = model if model in self._catalogue.models() else ""
            self._metrics.answered(name, api, "GRPC", code, time.perf_counter() - start)
        _LOG.info("%s of %r: %s %s", api, model, code.name, " ".join(error.message[:300].split()))
        context.abort(_STATUS[code], error.message[:_LONGEST])
        raise AssertionError  # `abort` has raised
