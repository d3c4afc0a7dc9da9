"""HTTP/1.1 of uvicorn, without connections that their clients keep open at no cost, and without other protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_SECONDS, _MOST_BYTES = 15.0, 65_536
"""The limits of what a client sends that is not a body: a first line, headers, sizes of chunks, trailers."""

_READING = 30.0
"""The seconds in which a client must read some of an answer."""

_MOST_REQUESTS = 100
"""The most requests of a connection that wait for the answers to earlier ones."""


class PatientProtocol(HttpToolsProtocol):
    """A connection that is closed if its client takes too long, or sends too much, outside of the bodies of requests.

    A connection that is not being answered has a timer: this one, or that of uvicorn, which runs from the end of an answer to
    the next byte. The application limits the time and the size of a body.
    """

    _late: asyncio.TimerHandle | None = None  # until a client must have sent the headers of a request
    _unread: asyncio.TimerHandle | None = None  # until a client must have read a part of an answer
    _size = 0  # bytes since the last part of a body
    _receiving = False  # whether a request has begun, and is not complete
    _answered: RequestResponseCycle | None = None  # the request that is being answered
    _discarding = False  # whether the connection is open only so that the client can read the answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect headers."""
        self._connection = transport
        self._answers = _Answers(transport, self._finish)
        super().connection_made(self._answers)  # type: ignore[arg-type]
        self._expect_headers()

    def _expect_headers(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(_SECONDS, self._close)

    def _close(self) -> None:
        self._late = None
        if self._idle:
            self._close_now()
        else:  # the previous request is still being answered
            self._expect_headers()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_now(self) -> None:
        """Close the connection after the client has read what was written."""
        self._connection.close()
        self._watch()

    def _finish(self) -> None:
        """Close the connection after an answer. What the client still sends is read, or the system would drop the answer."""
        if self._discarding or not self._receiving:
            self._close_now()
            return
        self._connection.write_eof()
        self.flow.resume_reading()
        self._leave()
        self._expect_none()
        self._late = self.loop.call_later(_SECONDS, self._close_now)

    def _leave(self) -> None:
        """Nobody reads an answer any more: also not those to earlier requests than `cycle`, which uvicorn would write."""
        self._discarding = self._answers.ended = True
        self.pipeline.clear()
        for cycle in (self._answered, self.cycle):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request. Refuse it if it is not HTTP, or is too large outside of its body."""
        if self._discarding:
            return
        self._unset_keepalive_if_required()
        self._size += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._size > _MOST_BYTES:
            self.send_400_response(f"The headers have more than {_MOST_BYTES:,} bytes.")
        elif self._idle:  # the timer of uvicorn has ended
            self._expect_headers()

    def _feed(self, data: bytes) -> None:
        """Parse data. A request for another protocol is parsed again as a usual one, as the parser skips its body."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._usual_head() + data[upgrade.args[0] :]
            else:
                return

    def _usual_head(self) -> bytes:
        """The first line and the headers of this request, without the wish for another protocol."""
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(word for word in value.split(b",") if word.strip().lower() != b"upgrade")
            if name != b"upgrade":
                lines.append(name + b": " + value)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_message_begin(self) -> None:
        """Expect headers, at the first byte of a request."""
        super().on_message_begin()
        self._size, self._receiving = 0, True
        self._expect_headers()

    def on_headers_complete(self) -> None:
        """Expect no more headers."""
        if self.parser.get_method() == b"CONNECT" or len(self.pipeline) >= _MOST_REQUESTS:
            raise httptools.HttpParserError
        if self.parser.should_upgrade():  # read again, as a usual request
            return
        self._expect_none()
        super().on_headers_complete()
        if self.expect_100_continue:  # a refused client may leave out the body, and its next request is not that
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Count from here."""
        self._size = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        if self.parser.should_upgrade():
            return
        self._size, self._receiving = 0, False
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Expect that the client reads its answer."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """The client reads its answer."""
        super().resume_writing()
        if not self._connection.is_closing():
            self._watch_no_more()

    def _watch(self) -> None:
        if self._unread is None:
            size = self._connection.get_write_buffer_size()
            self._unread = self.loop.call_later(_READING, self._check_reading, size)

    def _check_reading(self, before: int) -> None:
        self._unread = None
        if self._connection.get_write_buffer_size() < before:
            self._watch()
        else:
            self._connection.abort()

    def shutdown(self) -> None:
        """End with the answer to a request that arrived, or at once."""
        if self._idle:
            self._close_now()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._expect_none()
        self._leave()
        super().connection_lost(exc)
        self._watch_no_more()

    def _expect_none(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _watch_no_more(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class _Answers:
    """A transport with another way to close it. After the end, nothing is written."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport, self.close, self.ended = transport, close, False

    def write(self, data: bytes) -> None:
        if not self.ended:
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self.ended or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
