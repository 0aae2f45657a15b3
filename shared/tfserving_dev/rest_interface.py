"""The REST interface, as an ASGI application: a thin shell around the functions on JSON and tensors."""

import asyncio
import logging
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis import classification_pb2, model_pb2, regression_pb2

from tfserving_dev.catalogue import Catalogue
from tfserving_dev.example_calls import classify_call, regress_call
from tfserving_dev.json_answers import error_body, predict_body
from tfserving_dev.json_document import parse_document
from tfserving_dev.json_examples import classification_body, read_examples, regression_body
from tfserving_dev.json_requests import read_tensors, signature_name
from tfserving_dev.metrics import Metrics
from tfserving_dev.model_call import DEFAULT_SIGNATURE
from tfserving_dev.model_metadata import metadata_body, status_body
from tfserving_dev.rest_path import is_rest_path, parse_path
from tfserving_dev.serving_error import ServingError, invalid
from tfserving_dev.status import Code

_LOG = logging.getLogger(__name__)
METRICS_PATH = "/monitoring/prometheus/metrics"
_LARGE = 1 << 18  # from so many bytes on a request is read, or an answer written, beside the event loop


class RestInterface:
    """Answers HTTP requests.

    Args:
        catalogue: Where models are found.
        metrics: What counts requests.
        largest_body: Bytes of a request; more are answered with 413.
        client_seconds: In which a request must have arrived; later ones are answered with 408.
        request_seconds: In which a model must have answered; later ones are answered with 504, or with 429 where
            they had to wait and never ran.

    Attributes:
        closing: Whether clients are asked to close their connections, as the server ends.
        application: The ASGI application.
    """

    def __init__(
        self, catalogue: Catalogue, metrics: Metrics, largest_body: int, client_seconds: float, request_seconds: float
    ):
        self._catalogue, self._metrics = catalogue, metrics
        self._largest_body, self._client_seconds, self._request_seconds = largest_body, client_seconds, request_seconds
        self.closing = False
        self.application = Starlette(routes=[Route(METRICS_PATH, self._page), Mount("", app=self._serve)])

    async def _page(self, request: Request) -> Response:
        return Response(self._metrics.page(), media_type="text/plain; version=0.0.4")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        start = time.perf_counter()
        asked, status = None, 200
        headers = {"Connection": "close"} if self.closing else {}
        code, path = Code.OK, scope["raw_path"].decode("ascii", "replace")
        if query := scope["query_string"].decode("ascii", "replace"):
            path += f"?{query}"  # which is part of a path here, as in the real server
        try:
            if not is_rest_path(path):
                raise ServingError(Code.NOT_FOUND, "Not Found")
            if request.method == "OPTIONS":
                code = _preflight(request)
                status, body = code.http, b""
            else:
                asked = parse_path(request.method, path)
                body = await self._answer(asked.spec, asked.what, request)
        except ClientDisconnect:
            return
        except _RefusedError as refused:
            code, status, body = Code.RESOURCE_EXHAUSTED, refused.status, error_body(str(refused))
            if (
                status == 408
            ):  # the rest is not waited for; of too large a body it is, unread, or the client sees no answer
                headers = {"Connection": "close"}
        except ServingError as error:
            code, status, body = error.code, error.code.http, error_body(error.message)
        except Exception as error:  # noqa: BLE001 - the client is told that it was us, and no more
            _LOG.error("%s %s failed: %s: %s", request.method, path, type(error).__name__, " ".join(str(error).split()))
            code, status, body = Code.INTERNAL, 500, error_body("internal error")
        if status >= 400:
            _LOG.info("%s %s: %d %s", request.method, path[:200], status, body[:300].decode("utf-8", "replace"))
        if asked:
            model = asked.spec.name if asked.spec.name in self._catalogue.models() else ""
            what = asked.what if request.method == "POST" else ""
            self._metrics.answered(model, what, "REST", code, time.perf_counter() - start)
        await Response(body, status, headers, media_type="application/json")(scope, receive, send)

    async def _answer(self, spec: model_pb2.ModelSpec, what: str, request: Request) -> bytes:
        if what == "status":
            return status_body(self._catalogue.status(spec))
        if what == "metadata":
            with self._catalogue.lease(spec) as servable:
                return metadata_body(servable)
        body = await self._body(request)
        document = await _beside(len(body), parse_document, body)
        if what == "predict":
            return await self._predict(spec, document, len(body))
        spec.signature_name = signature_name(document)
        examples = read_examples(document)
        with self._catalogue.lease(spec) as servable:
            if what == "classify":
                asked = classification_pb2.ClassificationRequest(model_spec=spec, input=examples)
                call = classify_call(asked, servable)
            else:
                call = regress_call(regression_pb2.RegressionRequest(model_spec=spec, input=examples), servable)
            future = servable.submit(call.signature, call.inputs)
        result = call.answer(await self._result(future)).result
        return classification_body(result) if what == "classify" else regression_body(result)

    async def _predict(self, spec: model_pb2.ModelSpec, document: dict[str, Any], size: int) -> bytes:
        name = signature_name(document) or DEFAULT_SIGNATURE
        with self._catalogue.lease(spec) as servable:
            if name not in servable.signatures:
                raise invalid(f'Serving signature name: "{name}" not found in signature def')
            inputs, rows = await _beside(size, read_tensors, document, servable.types(name))
            future = servable.submit(name, inputs)
        outputs = await self._result(future)
        return await _beside(sum(array.nbytes for array in outputs.values()), predict_body, outputs, rows)

    async def _result(self, future: "Future[dict[str, np.ndarray]]") -> dict[str, np.ndarray]:
        try:
            async with asyncio.timeout(self._request_seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if future.cancelled():  # it had not begun
                message = "Run() timeout exceeded while waiting in batching queue"  # the real server's words
                raise ServingError(Code.RESOURCE_EXHAUSTED, message) from None
            message = f"the model did not answer in {self._request_seconds:g} seconds"
            raise ServingError(Code.DEADLINE_EXCEEDED, message) from None

    async def _body(self, request: Request) -> bytes:
        announced = request.headers.get("content-length", "0")
        parts, size = [], int(announced) if announced.isdecimal() else 0
        try:
            async with asyncio.timeout(self._client_seconds):
                if size <= self._largest_body:
                    size = 0
                    async for part in request.stream():
                        parts.append(part)
                        size += len(part)
                        if size > self._largest_body:
                            break
        except TimeoutError:
            raise _RefusedError(408, f"the request did not arrive in {self._client_seconds:g} seconds") from None
        if size > self._largest_body:
            raise _RefusedError(413, f"the request body is larger than {self._largest_body} bytes")
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if "gzip" in request.headers.get("content-encoding", ""):
            return await _beside(_LARGE, self._unpacked, body)
        return body

    def _unpacked(self, body: bytes) -> bytes:
        """What was compressed; nothing, as the real server has it, where it is damaged."""
        unpacking = zlib.decompressobj(wbits=31)
        try:
            unpacked = unpacking.decompress(body, self._largest_body + 1)
        except zlib.error:
            return b""
        if len(unpacked) > self._largest_body:
            raise _RefusedError(413, f"the request body is larger than {self._largest_body} bytes")
        return unpacked if unpacking.eof else b""


class _RefusedError(Exception):
    """A request that is not read to its end; its status has no counterpart in gRPC."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


async def _beside(size: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a thread if there is much to do, so that others are answered meanwhile."""
    if size < _LARGE:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def _preflight(request: Request) -> Code:
    asked = request.headers.get("origin", "").startswith(("http://", "https://"))
    return Code.OK if asked else Code.FAILED_PRECONDITION
