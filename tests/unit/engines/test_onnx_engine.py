"""What only the ONNX engine has: its threads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pipeline_cases
import pytest
from pipeline_cases import MODELS
from pipeline_models import folder

import bertkit
from bertkit.engines.onnx import OnnxEngine, _session
from bertkit.engines.processor import cores, threads
from bertkit.errors import FileFormatError


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    own = OnnxEngine.open(pipeline_cases.weights("five"), pipeline_cases.config("five"), MODELS["five"][0])
    options = own.session.get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads() == cores() >= 1


def test_a_file_that_looks_like_another_format_is_read_as_onnx(tmp_path: Path) -> None:
    """ONNX Runtime reads a file with ORTM at byte 4 as its own format, which is not checked."""
    shutil.copytree(folder("five"), tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    hidden = b"\x08\x08\x12\x04ORTM" + b"\x00" * 64
    (tmp_path / "model" / "model.onnx").write_bytes(hidden)
    with pytest.raises(FileFormatError):
        bertkit.pipeline("text-classification", tmp_path / "model")
    with pytest.raises(Exception, match="(?i)protobuf|opset|graph|model"):
        _session(b"\x08\x08\x12\x04ORTM", {})
