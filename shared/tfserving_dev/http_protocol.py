"""Connections of clients that are slow, or say nothing at all."""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 1 << 16


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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
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
