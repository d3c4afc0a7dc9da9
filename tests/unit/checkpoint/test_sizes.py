"""A configuration that is far too large for its file is refused before anything of its size is allocated."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

import bertkit
from bertkit import load_checkpoint, save_checkpoint
from bertkit.cli import main
from bertkit.errors import FileFormatError, LoadError

TOO_LARGE = [{"hidden_size": 2147483646}, {"num_hidden_layers": 9999}, {"intermediate_size": 2147483646}]


def folder(path: Path, change: dict[str, int], to: str = "safetensors") -> Path:
    config = tiny.config()
    save_checkpoint(path, tiny.weights(config, "ForMaskedLM"), config, "ForMaskedLM", to=to)  # type: ignore[arg-type]
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    return path


@pytest.mark.parametrize("to", ["safetensors", "google", "h5", "msgpack"])
@pytest.mark.parametrize("change", TOO_LARGE, ids=str)
def test_too_large_for_the_file(change: dict[str, int], to: str, tmp_path: Path) -> None:
    folder(tmp_path, change, to)
    model_class = bertkit.BertForMaskedLM  # imports torch
    start = time.perf_counter()
    with pytest.raises(
        LoadError, match=r"is \d+ in the configuration, but .* has \d+ tensors with dimensions of up to 23"
    ):
        load_checkpoint(tmp_path)
    with pytest.raises(
        LoadError, match=r"is \d+ in the configuration, but .* has \d+ tensors with dimensions of up to 23"
    ):
        model_class.from_pretrained(tmp_path)
    assert time.perf_counter() - start < 2


def test_refusing_it_allocates_no_memory(tmp_path: Path) -> None:
    folder(tmp_path, {"num_hidden_layers": 9999})
    script = f"""
import resource, bertkit, torch
bertkit.BertForMaskedLM
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    bertkit.BertForMaskedLM.from_pretrained({str(tmp_path)!r})
except bertkit.errors.LoadError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 50


def test_a_small_header_cannot_become_a_large_value(tmp_path: Path) -> None:
    """The limits for JSON, in the header of a safetensors file."""
    for header in (
        b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"a": [' + b"[]," * 2_600_000 + b"0]}",
        b'{"a":1,"a":1}',
    ):
        path = tmp_path / "model.safetensors"
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(FileFormatError):
            bertkit.checkpoint.safetensors_file.read(path)


def test_escape_sequences_in_names_are_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in the page of `inspect` nor in errors of loading."""
    config = tiny.config()
    weights = tiny.weights(config, "ForMaskedLM") | {"\x1b]0;title\x07bert.\x1b[2J": tiny.numbers("x", (2,))}
    config.id2label = {0: "\x1b[31mred", 1: "long" * 10_000, 2: "c"}
    config.save_pretrained(tmp_path)
    bertkit.checkpoint.safetensors_file.write(tmp_path / "model.safetensors", weights)
    page = str(bertkit.inspect(tmp_path))
    assert page.replace("\n", "").isprintable() and r"\x1b[2J" in page and len(page) < 10_000
    with pytest.raises(LoadError) as caught:
        load_checkpoint(tmp_path, "ForMaskedLM")
    assert str(caught.value).replace("\n", "").isprintable() and r"\x1b[2J" in str(caught.value)
    assert main(["inspect", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out
