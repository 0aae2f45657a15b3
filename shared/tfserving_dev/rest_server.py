"""The HTTP server: uvicorn in a thread of its own, with a socket that is bound before."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from typing import Any

import uvicorn

from tfserving_dev.http_protocol import HttpProtocol
from tfserving_dev.rest_interface import METRICS_PATH, RestInterface

_BACKLOG = 4096
_KEEP_ALIVE = 75  # seconds that a connection may be idle; clients' pools commonly keep theirs for a minute


class RestServer:
    """Serves an interface from `start` to `stop`.

    Args:
        interface: What answers.
        listener: A bound socket.
        client_seconds: In which headers must arrive and answers be taken.
        drain_seconds: In which requests that are being answered at the end may finish.
        last_seconds: In which clients with an open connection are told, with an answer, that it is the end.
    """

    def __init__(
        self,
        interface: RestInterface,
        listener: socket.socket,
        client_seconds: float,
        drain_seconds: float,
        last_seconds: float,
    ):
        protocol: Any = type("Protocol", (HttpProtocol,), {"seconds": client_seconds})
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
            timeout_graceful_shutdown=max(1, round(drain_seconds)),
        )
        self._interface, self._listener, self._last_seconds = interface, listener, last_seconds
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
            self._loop.call_soon_threadsafe(lambda: [server.close() for server in self._server.servers])
        time.sleep(self._last_seconds / 2)
        self._server.should_exit = True
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            self._loop = runner.get_loop()
            runner.run(self._server.serve(sockets=[self._listener]))
