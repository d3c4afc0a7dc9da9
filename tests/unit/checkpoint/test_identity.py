"""Fingerprints of the files of a model."""

from __future__ import annotations

import os
import time
from pathlib import Path

import tiny

from bertkit import locate, save_checkpoint
from bertkit.checkpoint.identity import identity


def test_only_the_files_that_are_read(tmp_path: Path) -> None:
    config = tiny.config()
    weights = tiny.weights(config, "ForMaskedLM")
    save_checkpoint(tmp_path / "one", weights, config, "ForMaskedLM")
    for name in ("vocab.txt", "notes.txt", "optimizer.pt", "pytorch_model.bin"):
        (tmp_path / "one" / name).write_text("x")
    assert list(identity(locate(tmp_path / "one"))) == ["config.json", "vocab.txt", "model.safetensors"]
    save_checkpoint(tmp_path / "shards", weights, config, "ForMaskedLM", max_shard_size=4000)
    found = identity(locate(tmp_path / "shards"))
    assert len([name for name in found if name.startswith("model-0")]) > 1 and "model.safetensors.index.json" in found
    save_checkpoint(tmp_path / "google", weights, config, "ForMaskedLM", to="google")
    found = identity(locate(tmp_path / "google" / "bert_model.ckpt"))
    assert {"bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"} <= found.keys()


def test_models_for_other_runtimes(tmp_path: Path) -> None:
    names = ["model.onnx", "model.onnx.data", "openvino_model.xml", "openvino_model.bin"]
    for name in names:
        (tmp_path / name).write_text("x")
    before = identity(locate(tmp_path))
    assert list(before) == names
    for name in names:
        (tmp_path / name).write_text("y")
        after = identity(locate(tmp_path))
        assert [other for other in names if after[other] != before[other]] == [name]
        before = after


def test_only_a_part_of_a_large_file_is_read(tmp_path: Path) -> None:
    """A sparse file of 16 GB takes less than a second. A change outside the samples is found by its time."""
    (tmp_path / "config.json").write_text("{}")
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        file.truncate(2**34)
    start = time.perf_counter()
    place = locate(tmp_path)
    before = identity(place)
    assert time.perf_counter() - start < 1
    status = path.stat()
    for at, same_time in ((2**34 - 1, True), (0, True), (2**33 + 2**17, False)):
        with open(path, "rb+") as file:
            file.seek(at)
            file.write(b"x")
        if same_time:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        after = identity(place)
        assert (
            after["model.safetensors"] != before["model.safetensors"] and after["config.json"] == before["config.json"]
        )
        before = after


def test_files_in_the_cache_have_no_time(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "blobs" / "abc").write_text("{}")
    (tmp_path / "snapshot" / "config.json").symlink_to(tmp_path / "blobs" / "abc")
    before = identity(locate(tmp_path / "snapshot"))
    os.utime(tmp_path / "blobs" / "abc", (1, 1))
    assert identity(locate(tmp_path / "snapshot")) == before
