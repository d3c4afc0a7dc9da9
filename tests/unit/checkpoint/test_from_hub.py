"""Checkpoints by a Hub id over HTTP, from a local server: only the required files are fetched, and only once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hub_server import HubServer

from bertkit import BertConfig, convert, inspect, load_checkpoint, locate, save_checkpoint

NAME = "user/tiny-bert"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def publish(server: HubServer, folder: Path, **options: Any) -> dict[str, np.ndarray]:
    """Put the tiny model on the server, with files that are not needed."""
    config = tiny.config()
    weights = tiny.weights(config, "ForMaskedLM")
    save_checkpoint(folder, weights, config, "ForMaskedLM", **options)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    server.add(NAME, {**files, "README.md": b"# tiny", "vocab.txt": b"[PAD]\n", "training_args.bin": b"not for us"})
    return weights


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({}, {"config.json", "model.safetensors"}),
        ({"max_shard_size": "3KB"}, None),
        ({"to": "google"}, {"config.json", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"}),
        ({"to": "h5"}, {"config.json", "tf_model.h5"}),
        ({"to": "msgpack"}, {"config.json", "flax_model.msgpack"}),
    ],
)
def test_only_required_files_are_fetched(
    server: HubServer, tmp_path: Path, options: Any, needed: set[str] | None
) -> None:
    weights = publish(server, tmp_path / "made", **options)
    needed = needed or {path.name for path in (tmp_path / "made").iterdir()}
    tensors, report = load_checkpoint(locate(NAME, cache_dir=tmp_path / "cache"))
    assert report.exact
    for name, array in weights.items():
        np.testing.assert_array_equal(tensors[name], array)
    fetched = [request for request in server.requests if request.startswith("GET") and "/resolve/" in request]
    assert {request.split()[1].rpartition("/")[2] for request in fetched} == needed
    server.forget()
    load_checkpoint(locate(NAME, cache_dir=tmp_path / "cache"))
    assert not [request for request in server.requests if "/resolve/" in request]
    server.forget()
    load_checkpoint(locate(NAME, cache_dir=tmp_path / "cache", local_files_only=True))
    assert not server.requests


def test_a_configuration_by_id(server: HubServer, tmp_path: Path) -> None:
    publish(server, tmp_path / "made")
    config = BertConfig.from_pretrained(NAME, cache_dir=tmp_path / "cache", num_labels=7)
    assert (config.hidden_size, config.num_labels) == (8, 7)


def test_inspect_and_convert_by_id(server: HubServer, tmp_path: Path) -> None:
    publish(server, tmp_path / "made")
    place = locate(NAME, cache_dir=tmp_path / "cache")
    assert inspect(place).task == "fill-mask"
    written = convert(place, tmp_path / "new", to="h5")
    assert {path.name for path in written} == {"tf_model.h5", "config.json", "vocab.txt"}
