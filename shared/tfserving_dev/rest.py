"""The REST interface: its paths, an ASGI application, and the HTTP server that runs it in a thread of its own."""

import asyncio
import contextlib
import http.client
import json
import logging
import re
import socket
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis import classification_pb2, model_pb2, regression_pb2
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tfserving_dev.catalogue import Catalogue, metadata_body, status_body
from tfserving_dev.codec import parse_document
from tfserving_dev.errors import Code, ServingError, invalid
from tfserving_dev.examples import (
    classification_body,
    classify_call,
    read_examples,
    regress_call,
    regression_body,
)
from tfserving_dev.metrics import Metrics
from tfserving_dev.predict import DEFAULT_SIGNATURE, error_body, predict_body, read_tensors, signature_name
from tfserving_dev.settings import METRICS_PATH, ServerSettings

_MODEL = r"(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"/v1/models/{_MODEL}:(?P<what>classify|regress|predict)", re.IGNORECASE | re.ASCII)
_GET = re.compile(rf"/v1/models(?:/{_MODEL})?(?P<what>/metadata)?", re.IGNORECASE | re.ASCII)
_LARGEST_VERSION = 2**63 - 1
_LOG = logging.getLogger(__name__)
_LARGE = 1 << 18  # from so many bytes on a request is read, or an answer written, beside the event loop
MOST_HEADER_BYTES = 1 << 16
_BACKLOG = 4096
_KEEP_ALIVE = 75  # seconds that a connection may be idle; clients' pools commonly keep theirs for a minute


class RestPath(NamedTuple):
    """What a request is for."""

    spec: model_pb2.ModelSpec
    """The model, with its version or label where the path says one."""
    what: str
    """`classify`, `regress`, `predict`, `metadata` or `status`."""


def is_rest_path(path: str) -> bool:
    """Whether the interface answers for a path at all, if only with an error."""
    return path[:4].lower() == "/v1/"


def parse_path(method: str, path: str) -> RestPath:
    """What a method and a path, percent-encoded as sent, ask for.

    Raises:
        ServingError: They ask for nothing that there is, or for a version too large to be one.
    """
    match = {"POST": _POST, "GET": _GET}.get(method, re.compile("(?!)")).fullmatch(path)
    if not match:
        raise malformed(method, path)
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(match["name"] or "", errors="replace"))
    if match["version"]:
        digits = match["version"].lstrip("0") or "0"
        if int(digits[:20]) > _LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(digits)
    elif match["label"]:
        spec.version_label = urllib.parse.unquote(match["label"], errors="replace")
    what = match["what"]
    if method == "GET":  # in other letters it is no metadata, but found
        what = "metadata" if what == "/metadata" else "status"
    if what not in ("classify", "regress", "predict", "metadata", "status"):  # in other letters
        raise malformed(method, path)
    if not spec.name:
        raise invalid("Missing model name in request.")
    return RestPath(spec, what)


def malformed(method: str, path: str) -> ServingError:
    """The error of a method and a path that ask for nothing."""
    return invalid(f"Malformed request: {method} {path}")


class RestInterface:
    """Answers HTTP requests.

    Args:
        catalogue: Where models are found.
        metrics: What counts requests.
        settings: The largest request, and how long a client may take to send it (408) and a model to answer it: 504, or
            429 where the request had to wait and never ran.

    Attributes:
        closing: Whether clients are asked to close their connections, as the server ends.
        application: The ASGI application.
    """

    def __init__(self, catalogue: Catalogue, metrics: Metrics, settings: ServerSettings):
        self._catalogue, self._metrics, self._settings = catalogue, metrics, settings
        self._largest_body = settings.largest_body
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
            # The rest is not waited for; of too large a body it is, unread, or the client sees no answer.
            if status == 408:
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
            async with asyncio.timeout(self._settings.request_seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if future.cancelled():  # it had not begun
                message = "Run() timeout exceeded while waiting in batching queue"  # the real server's words
                raise ServingError(Code.RESOURCE_EXHAUSTED, message) from None
            message = f"the model did not answer in {self._settings.request_seconds:g} seconds"
            raise ServingError(Code.DEADLINE_EXCEEDED, message) from None

    async def _body(self, request: Request) -> bytes:
        announced = request.headers.get("content-length", "0")
        parts, size = [], int(announced) if announced.isdecimal() else 0
        try:
            async with asyncio.timeout(self._settings.client_seconds):
                if size <= self._largest_body:
                    size = 0
                    async for part in request.stream():
                        parts.append(part)
                        size += len(part)
                        if size > self._largest_body:
                            break
        except TimeoutError:
            message = f"the request did not arrive in {self._settings.client_seconds:g} seconds"
            raise _RefusedError(408, message) from None
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


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's connection, with a time in which the headers of a request must arrive and an answer must be taken.

    Without it a client that opens a connection and sends nothing, or a byte now and then, keeps it for ever.

    Attributes:
        seconds: The time for either; a subclass sets it.
    """

    seconds = 60.0
    _header_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _rest_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's, too
        """The first request is due."""
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        for timer in (self._header_timer, self._write_timer, self._rest_timer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts headers as they come; what comes of a request that is answered already is thrown away, for a while."""
        super().data_received(data)
        if self._header_timer:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES:
                self._refuse(431, "Request Header Fields Too Large")
        elif self.cycle and self.cycle.response_complete and not self._rest_timer:
            self._rest_timer = self.loop.call_later(self.seconds, self.transport.close)

    def on_message_begin(self) -> None:
        """The rest of the headers is due."""
        if self._rest_timer:
            self._rest_timer.cancel()
            self._rest_timer = None
        super().on_message_begin()
        self._await_headers()

    def on_headers_complete(self) -> None:
        """They have come."""
        if self._header_timer:
            self._header_timer.cancel()
            self._header_timer = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does."""
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _await_headers(self) -> None:
        if not self._header_timer:
            self._header_bytes = 0
            self._header_timer = self.loop.call_later(self.seconds, self._refuse, 408, "Request Timeout")

    def _refuse(self, status: int, reason: str) -> None:
        if self.transport.is_closing():
            return
        if self._header_bytes:  # otherwise there is no request to answer
            body = json.dumps({"error": reason}).encode()
            head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            self.transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        self.transport.close()


class RestServer:
    """Serves an interface from `start` to `stop`.

    Args:
        interface: What answers.
        listener: A bound socket.
        settings: How long clients may take to send headers and to take answers, and how long the end takes.
    """

    def __init__(self, interface: RestInterface, listener: socket.socket, settings: ServerSettings):
        protocol: Any = type("Protocol", (HttpProtocol,), {"seconds": settings.client_seconds})
        config = uvicorn.Config(
            interface.application,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        )
        self._interface, self._listener, self._last_seconds = interface, listener, settings.last_seconds
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)

    def start(self) -> None:
        """Begins to accept connections; returns when it does."""
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)
        host, port = self._listener.getsockname()[:2]
        with contextlib.closing(http.client.HTTPConnection(host, port, timeout=10)) as connection:
            connection.request("GET", METRICS_PATH)  # some things are made by the first request: let it be none's
            connection.getresponse().read()

    def stop(self) -> None:
        """Accepts no more connections, answers what has come, and ends."""
        self._interface.closing = True
        self._listener.listen(0)  # what the system has accepted for us must still be taken
        time.sleep(self._last_seconds / 2)
        if self._loop:
            self._loop.call_soon_threadsafe(self._close)
        time.sleep(self._last_seconds / 2)
        self._server.should_exit = True
        self._thread.join()

    def _close(self) -> None:
        for server in self._server.servers:
            server.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            self._loop = runner.get_loop()
            runner.run(self._server.serve(sockets=[self._listener]))
