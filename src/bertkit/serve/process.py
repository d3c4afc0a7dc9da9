"""The processes of `bertkit serve`: one server, or several workers on one socket, with a process that restarts them."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from bertkit.engines.processor import cores
from bertkit.errors import UsageError
from bertkit.serve.application import app_of
from bertkit.serve.logs import log_as_json
from bertkit.serve.metrics import forget_dead_processes
from bertkit.serve.protocol import PatientProtocol
from bertkit.serve.server import Server
from bertkit.serve.settings import Settings
from bertkit.workers import THREADS

_SWITCH = 0.0005
"""Seconds until a thread that computes lets the thread of connections run, a tenth of Python's default."""

_FAILED = 3
"""The exit code of a worker that can never start. The supervisor of uvicorn stops instead of restarting it."""


@dataclass(frozen=True)
class Address:
    """Where a server listens: a path of a Unix socket, or a host and a port."""

    host: str = "127.0.0.1"
    port: int = 8080
    uds: str | None = None

    @contextmanager
    def opened(self) -> Iterator[socket.socket]:
        """The listening socket. The file of a Unix socket is removed at the end."""
        try:
            if self.uds is not None:
                _remove_stale(Path(self.uds))
                found = socket.socket(socket.AF_UNIX)
                found.bind(self.uds)
                Path(self.uds).chmod(0o660)
            else:
                family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
                found = socket.create_server((self.host, self.port), family=family)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"The server cannot listen on {self}: {error}. Type --port or --uds with another one."
            ) from error
        try:
            found.listen(2048)
            found.set_inheritable(True)
            yield found
        finally:
            found.close()
            if self.uds is not None:
                Path(self.uds).unlink(missing_ok=True)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}" if self.uds is None else self.uds


def _remove_stale(path: Path) -> None:
    """Remove a socket that a killed server has left. Other files are kept, and a living server is an error."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as trial:
            if trial.connect_ex(str(path)) == 0:
                raise UsageError(f"Another server listens on {path}: type --uds with another path.")
        path.unlink()


def serve(settings: Settings, address: Address, workers: int = 1, drain: int = 25) -> int:
    """Serve until SIGTERM or Ctrl-C. Return the exit code.

    Args:
        settings: the models and the limits.
        address: where to listen.
        workers: the number of processes, which each open the models.
        drain: the most seconds in which requests are answered after SIGTERM.
    """
    with address.opened() as listening:
        own = address if address.uds or address.port else Address(address.host, listening.getsockname()[1])
        print(f"bertkit: listening on {own}", file=sys.stderr, flush=True)  # noqa: T201
        if workers == 1:
            return _serve(settings, listening, drain)
        with tempfile.TemporaryDirectory(prefix="bertkit-metrics-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            config = _config(partial(_worker, settings), drain, workers)
            os.environ.update(_threads_of(workers))  # this process only restarts them
            _Supervisor(config, [listening]).run()
    return 0


def _threads_of(workers: int) -> dict[str, str]:
    """The variables with which workers share the cores. What the user has set is kept, unless it is the number of all cores."""
    every = cores()
    return {name: str(max(1, every // workers)) for name in THREADS if os.environ.get(name) in (None, str(every))}


class _Supervisor(Multiprocess):
    """Starts workers, and replaces those that end.

    uvicorn asks each worker through a pipe whether it is alive. With the other end open in this process too, a worker that is
    killed meanwhile would not end the wait for its answer, in which no worker is replaced and SIGTERM has no effect.
    """

    def init_processes(self) -> None:
        super().init_processes()
        self._leave_ends()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        self._leave_ends()

    def _leave_ends(self) -> None:
        for process in self.processes:
            process.child_conn.close()


def _config(factory: Any, drain: int, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        factory, factory=True, workers=workers, timeout_graceful_shutdown=drain, log_config=None, access_log=False,
        server_header=False, proxy_headers=False, lifespan="on", timeout_keep_alive=30, timeout_worker_healthcheck=60,
        http=PatientProtocol, ws="none",
    )  # fmt: skip


def _serve(settings: Settings, listening: socket.socket, drain: int) -> int:
    """Serve in this process."""
    log_as_json()
    sys.setswitchinterval(_SWITCH)
    server, failed = Server(settings), []
    runner = uvicorn.Server(_config(lambda: app_of(server), drain))

    def stop(error: Exception) -> None:
        failed.append(error)
        runner.should_exit = True

    server.on_failure = stop
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn handles it, and raises it again after the last answer
    runner.run(sockets=[listening])
    if failed:
        raise failed[0]
    return 0


def _worker(settings: Settings) -> Any:
    """The application of a worker process."""
    log_as_json()
    sys.setswitchinterval(_SWITCH)
    forget_dead_processes()
    server = Server(settings)
    server.on_failure = lambda error: os._exit(_FAILED)
    return app_of(server)
