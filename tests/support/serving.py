"""A server of bertkit with tiny models, for tests."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pipeline_models
from starlette.testclient import TestClient

from bertkit.serve import Settings
from bertkit.serve.application import app_of
from bertkit.serve.server import Server

LONGEST = 60.0  # seconds for loading on a busy machine


def settings(*names: str, **given: Any) -> Settings:
    """Settings with these tiny models, which run in NumPy."""
    models = {name: str(pipeline_models.folder(name)) for name in names}
    return Settings(**{"models": models, "engine": "numpy", **given})


@contextmanager
def client(*names: str, headers: dict[str, str] | None = None, **given: Any) -> Iterator[TestClient]:
    """A client of a server with these models, after they are loaded."""
    server = Server(settings(*names, **given))
    with TestClient(app_of(server), headers=headers, raise_server_exceptions=False) as opened:
        until = time.monotonic() + LONGEST
        while not server.ready and time.monotonic() < until:
            time.sleep(0.005)
        assert server.ready
        yield opened


class RuntimeApi:
    """The runtime API of Lambda, on this machine."""

    def __init__(self) -> None:
        self.events: Queue[Any] = Queue()
        self.answers: Queue[tuple[str, Any]] = Queue()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = json.dumps(api.events.get()).encode()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", "id-1")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api.answers.put((self.path, json.loads(body)))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def until_closed(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection. Raises TimeoutError if it does not."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found
