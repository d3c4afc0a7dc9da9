"""Connections whose request never becomes complete are closed, and others are not: uvicorn with PatientProtocol on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import serving
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bertkit.serve import protocol
from bertkit.serve.protocol import PatientProtocol

SECONDS = 0.3
LONGEST = 30.0  # seconds in which a busy machine does anything
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


async def answer(request: Request) -> PlainTextResponse:
    """Answer after the given number of seconds."""
    await asyncio.sleep(float(request.query_params.get("seconds", "0")))
    return PlainTextResponse("answered")


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that waits 0.3 seconds for headers."""
    monkeypatch.setattr(protocol, "_SECONDS", SECONDS)
    config = uvicorn.Config(
        Starlette(routes=[Route("/", answer)]), http=PatientProtocol, lifespan="off", log_config=None, timeout_keep_alive=60
    )  # fmt: skip
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(LONGEST)
    assert not thread.is_alive()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=LONGEST)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD, HEAD + b"X-Long: " + b"a" * 1000])
def test_a_client_that_stops_sending(sent: bytes, port: int) -> None:
    with connected(port) as connection:
        connection.sendall(sent)
        assert serving.until_closed(connection) == b""


def test_a_client_that_sends_a_byte_from_time_to_time(port: int) -> None:
    """Each byte comes in time, and the headers do not."""
    with connected(port) as connection:
        connection.sendall(HEAD)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < LONGEST:
                connection.sendall(b"a")
                time.sleep(SECONDS / 10)
        assert time.monotonic() - began < LONGEST


def test_many_slow_clients_do_not_stop_others(port: int) -> None:
    slow = [connected(port) for _ in range(50)]
    for one in slow:
        one.sendall(HEAD)
    with connected(port) as connection:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        assert serving.until_closed(connection).endswith(b"answered")
    for one in slow:
        assert serving.until_closed(one) == b""
        one.close()


def test_a_connection_that_is_kept(port: int) -> None:
    """Requests may follow each other on a connection, which is closed after a time without any."""
    with connected(port) as connection:
        for _ in range(3):
            connection.sendall(HEAD + b"\r\n")
            found = b""
            while not found.endswith(b"answered"):
                found += (part := connection.recv(65536))
                assert part
        connection.sendall(HEAD)  # and no more
        assert serving.until_closed(connection) == b""


def test_an_answer_that_takes_longer(port: int) -> None:
    """The time is for the headers alone."""
    with connected(port) as connection:
        connection.sendall(HEAD.replace(b"/ ", b"/?seconds=%.1f " % (5 * SECONDS), 1) + b"Connection: close\r\n\r\n")
        assert serving.until_closed(connection).endswith(b"answered")


def test_the_time_of_the_server() -> None:
    values: Any = vars(protocol)
    assert 5 <= values["_SECONDS"] <= 30


@pytest.mark.parametrize("sent", [b"GET /?" + b"a" * 200_000, HEAD + b"X-Long: a\r\n" * 20_000])
def test_headers_that_are_too_large(sent: bytes, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_SECONDS", LONGEST)
    with connected(port) as connection:
        with contextlib.suppress(ConnectionError):  # closed while they are sent
            connection.sendall(sent)
        with contextlib.suppress(ConnectionError):
            found = serving.until_closed(connection)
            assert found.startswith(b"HTTP/1.1 400 ") and b"more than 65,536 bytes" in found


def test_a_busy_connection_is_kept(port: int) -> None:
    """The time of the headers does not count while a connection has none to send."""
    with connected(port) as connection:
        for _ in range(4):
            connection.sendall(HEAD + b"\r\n")
            found = b""
            while not found.endswith(b"answered"):
                found += (part := connection.recv(65536))
                assert part
            time.sleep(0.6 * SECONDS)
