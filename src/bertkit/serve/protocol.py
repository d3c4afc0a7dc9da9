"""HTTP/1.1 of uvicorn, which also closes connections whose request never becomes complete."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SECONDS, _MOST_BYTES = 15.0, 65_536
"""The limits of the first line and the headers of a request."""


class PatientProtocol(HttpToolsProtocol):
    """A connection that is closed if the first line and the headers of a request take too long, or are too large."""

    _late: asyncio.TimerHandle | None = None  # None if no headers are expected

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect headers."""
        super().connection_made(transport)
        self._expect_headers()

    def _expect_headers(self) -> None:
        if self._late is None:
            self._size = 0
            self._late = self.loop.call_later(_SECONDS, self._close)

    def _close(self) -> None:
        self._late = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:  # the previous request is still being answered
            self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Refuse headers that are too large."""
        super().data_received(data)
        self._size += len(data)
        if self._late is not None and self._size > _MOST_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The headers have more than {_MOST_BYTES:,} bytes.")

    def on_message_begin(self) -> None:
        """Expect headers, at the first byte of a request."""
        super().on_message_begin()
        self._expect_headers()

    def on_headers_complete(self) -> None:
        """Expect no more headers."""
        self._expect_none()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect no more headers."""
        self._expect_none()
        super().connection_lost(exc)

    def _expect_none(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
