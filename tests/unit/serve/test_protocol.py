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
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bertkit.serve import protocol
from bertkit.serve.protocol import PatientProtocol

SECONDS = 0.3
LONGEST = 30.0  # seconds in which a busy machine does anything
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


async def answer(request: Request) -> PlainTextResponse:
    """Answer after the given number of seconds, with the given number of letters. PUT is refused before its body is read."""
    await asyncio.sleep(float(request.query_params.get("seconds", "0")))
    try:
        body = b"" if request.method == "PUT" else await request.body()
    except ClientDisconnect:
        body = b""
    return PlainTextResponse("answered" + "a" * int(request.query_params.get("letters", "0")) + body.decode("latin-1"))


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that waits 0.3 seconds for headers, and for clients that do not read."""
    monkeypatch.setattr(protocol, "_SECONDS", SECONDS)
    monkeypatch.setattr(protocol, "_READING", SECONDS)
    application = Starlette(routes=[Route("/", answer, methods=["GET", "POST", "PUT"])])
    config = uvicorn.Config(
        application, http=PatientProtocol, lifespan="off", log_config=None, timeout_keep_alive=60
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
    assert 10 <= values["_READING"] <= 60


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


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"any"])
def test_another_protocol_is_not_begun(protocol: bytes, port: int) -> None:
    """The request is a usual one. Its body is not taken for the next request, which a proxy in front would not see."""
    hidden = HEAD + b"Connection: close\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: %b\r\nContent-Length: %d\r\n\r\n"
    with connected(port) as connection:
        connection.sendall(head % (protocol, len(hidden)))
        time.sleep(SECONDS / 3)
        connection.sendall(hidden)
        connection.sendall(head % (protocol, 4) + b"last")
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        found = serving.until_closed(connection)
    assert found.count(b"HTTP/1.1 200") == 3
    assert b"answered" + hidden in found
    assert b"answeredlast" in found


def test_no_tunnel_is_opened(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert serving.until_closed(connection).startswith(b"HTTP/1.1 400 ")


PUT = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n"


@pytest.mark.parametrize("sent", [b"a", b"a" * 100, b"a" * 100 + b"\r\n"])
def test_a_client_that_goes_on_sending_after_its_answer(sent: bytes, port: int) -> None:
    """It begins no other request, and the timer of uvicorn ends with the first byte."""
    with connected(port) as connection:
        connection.sendall(PUT % 100 + b"\r\n")
        found = b""
        while not found.endswith(b"answered"):
            found += connection.recv(65536)
        connection.sendall(sent)
        assert serving.until_closed(connection) == b""


def test_blank_lines_are_no_request(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(HEAD + b"\r\n")
        found = b""
        while not found.endswith(b"answered"):
            found += connection.recv(65536)
        connection.sendall(b"\r\n")
        assert serving.until_closed(connection) == b""


@pytest.mark.parametrize("header", [b"Connection: close", b"Expect: 100-continue"])
def test_a_refused_body_is_read(header: bytes, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that first sends all of its body gets the answer. The system resets connections with unread bytes."""
    size = 10_000_000
    monkeypatch.setattr(protocol, "_SECONDS", LONGEST)
    with connected(port) as connection:
        connection.sendall(PUT % size + header + b"\r\n\r\n")
        time.sleep(0.1)
        connection.sendall(b"a" * size)
        found = serving.until_closed(connection)
    assert found.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in found
    assert found.endswith(b"answered")


def test_trailers_are_limited(port: int) -> None:
    chunks = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"
    with connected(port) as connection:
        connection.sendall(chunks + b"a: b\r\n" * 100 + b"\r\n")
        found = b""
        while not found.endswith(b"answeredbody"):
            found += connection.recv(65536)
    with connected(port) as connection:
        connection.sendall(chunks)
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"a: b\r\n" * 200_000)
        assert serving.until_closed(connection).startswith(b"HTTP/1.1 400 ")


def test_requests_that_follow_a_body_in_one_part(port: int) -> None:
    """The body does not count as headers of the next request, which is not complete."""
    with connected(port) as connection:
        body = b"a" * 150_000
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 150000\r\n\r\n" + body + HEAD)
        time.sleep(SECONDS / 3)
        connection.sendall(b"Connection: close\r\n\r\n")
        found = serving.until_closed(connection)
    assert found.count(b"HTTP/1.1 200") == 2


def test_requests_on_one_connection_are_limited(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with connected(port) as connection:
        connection.sendall((HEAD + b"\r\n") * 100 + HEAD + b"Connection: close\r\n\r\n")
        assert serving.until_closed(connection).count(b"HTTP/1.1 200") == 101
    with connected(port) as connection, contextlib.suppress(ConnectionError):
        for _ in range(100):
            connection.sendall((HEAD + b"\r\n") * 1000)
        found = serving.until_closed(connection)
        assert b"HTTP/1.1 400" in found
        assert found.count(b"HTTP/1.1 200") < 1000
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_client_that_does_not_read(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """Its connection is closed, and an answer that it reads slowly is sent to the end."""
    size = 30_000_000
    head = HEAD.replace(b"/ ", b"/?letters=%d " % size, 1)
    with connected(port) as connection:
        connection.sendall((head + b"\r\n") * 3)
        time.sleep(6 * SECONDS)
        found = serving.until_closed(connection)
        assert len(found) < size
    with connected(port) as connection:
        connection.sendall(head + b"Connection: close\r\n\r\n")
        read = 0
        while part := connection.recv(1_000_000):
            read += len(part)
            time.sleep(SECONDS / 50)
        assert read > size
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
