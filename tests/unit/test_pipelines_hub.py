"""A pipeline of a Hub id: one request for the commit, which configuration, tokenizer and weights share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from pipeline_models import folder

from bertkit import pipeline

NAME = "somebody/tiny-bert"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_the_commit_is_requested_once(server: HubServer, tmp_path: Path, engine: str) -> None:
    server.add(NAME, {path.name: path.read_bytes() for path in folder("masked").iterdir()})
    fill = pipeline("fill-mask", NAME, cache_dir=tmp_path, engine=engine, precision="fp32")
    asked = [request for request in server.requests if "/api/models/" in request]
    assert asked == [f"GET /api/models/{NAME}/revision/main"]
    assert fill.tokenizer.name_or_path == NAME
    assert fill("The [MASK] of it.")[0]["score"] == pytest.approx(
        pipeline("fill-mask", folder("masked"), engine=engine, precision="fp32")("The [MASK] of it.")[0]["score"]
    )
    server.forget()
    pipeline("fill-mask", NAME, cache_dir=tmp_path, engine=engine)
    assert [request for request in server.requests if "agent" not in request] == asked


def test_all_files_are_of_one_commit(server: HubServer, tmp_path: Path) -> None:
    """All are requested by the hash of that commit, so that files of a later commit are not mixed in."""
    server.add(NAME, {path.name: path.read_bytes() for path in folder("masked").iterdir()})
    pipeline("fill-mask", NAME, cache_dir=tmp_path, engine="numpy")
    resolved = {request.split("/resolve/")[1].split("/")[0] for request in server.requests if "/resolve/" in request}
    assert len(resolved) == 1 and resolved != {"main"}
