"""A server is alive at once, ready after its models are open, and its first runs take a bounded time."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import serving
from starlette.testclient import TestClient

from bertkit.engines.numpy import NumpyEngine
from bertkit.serve import models, server
from bertkit.serve.application import app_of
from bertkit.serve.server import Server


def test_ready_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the models are loading: alive, not ready, and requests are refused with a time after which to try again."""
    go_on, opened = threading.Event(), server.open_all
    monkeypatch.setattr(server, "open_all", lambda settings: opened(settings) if go_on.wait(60) else {})
    made = Server(serving.settings("two"))
    with TestClient(app_of(made)) as client:
        for path, status in (("/live", 200), ("/health", 503), ("/ping", 503)):
            found = client.get(path)
            assert found.status_code == status
            assert found.headers.get("retry-after") == (None if status == 200 else "5")
        early = client.post("/predict", json={"inputs": "a"})
        assert (early.status_code, early.headers["retry-after"]) == (503, "5")
        go_on.set()
        until = time.monotonic() + serving.LONGEST
        while client.get("/health").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert client.post("/predict", json={"inputs": "a"}).status_code == 200
    assert not made.ready


@pytest.mark.parametrize(("limit", "runs"), [(60.0, 6), (0.5, 2), (0.0, 0)])  # 512 words need several batches
def test_the_first_runs_are_bounded(limit: float, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow model is ready after fewer runs. A run that began is completed."""
    lengths, run = [], NumpyEngine.run
    pause = 0.3 if limit < 60 else 0.0

    def slow(self: NumpyEngine, batch: Any, ask: Any) -> Any:
        lengths.append(len(batch.input_ids))
        time.sleep(pause)
        return run(self, batch, ask)

    monkeypatch.setattr(NumpyEngine, "run", slow)
    monkeypatch.setattr(models, "_WARM_UP", limit)
    made = Server(serving.settings("two"))
    made.load()
    assert made.ready
    assert len(lengths) <= runs and (limit < 60 or len(lengths) == runs)
    made.queue.close()


def test_the_limit_of_the_first_runs() -> None:
    """It leaves 2 of 5 seconds for the run that began last."""
    assert models._WARM_UP == 3


def test_models_are_opened_once() -> None:
    """A server that is loaded before it starts, as on Ray, does not load again."""
    made = Server(serving.settings("two"))
    made.load()
    before = made.models["two"]
    with TestClient(app_of(made)) as client:
        assert client.get("/health").status_code == 200
        made.load()
        assert made.models["two"] is before
