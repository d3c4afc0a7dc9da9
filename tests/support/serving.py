"""A server of bertkit with tiny models, for tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pipeline_models
from starlette.testclient import TestClient

from bertkit.serve import Settings
from bertkit.serve.application import app_of
from bertkit.serve.server import Server


def settings(*names: str, **given: Any) -> Settings:
    """Settings with these tiny models, which run in NumPy."""
    models = {name: str(pipeline_models.folder(name)) for name in names}
    return Settings(models=models, **{"engine": "numpy", **given})


@contextmanager
def client(*names: str, headers: dict[str, str] | None = None, **given: Any) -> Iterator[TestClient]:
    """A client of a server with these models, after they are loaded."""
    server = Server(settings(*names, **given))
    with TestClient(app_of(server), headers=headers, raise_server_exceptions=False) as opened:
        for _ in range(2000):
            if server.ready:
                break
            time.sleep(0.005)
        assert server.ready
        yield opened
