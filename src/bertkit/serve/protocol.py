"""HTTP/1.1 of uvicorn, which also closes connections whose request never becomes complete."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_SECONDS = 15.0


class PatientProtocol(H11Protocol):
    """A connection that is closed if the first line and the headers of a request take too long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Check the connection from time to time, until it is closed."""
        super().connection_made(transport)
        self._idle = False
        self._check = self.loop.call_later(_SECONDS, self._check_headers)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the checks."""
        self._check.cancel()
        super().connection_lost(exc)

    def _check_headers(self) -> None:
        idle = self.conn.their_state is h11.IDLE
        if idle and (self._idle or self.cycle is None):
            self.transport.close()
            return
        self._idle = idle
        self._check = self.loop.call_later(_SECONDS, self._check_headers)
