"""What only the ONNX engine has: its threads."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pipeline_cases
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf
from pipeline_cases import MODELS

from bertkit.engines.onnx import OnnxEngine, _session
from bertkit.engines.processor import cores, threads
from bertkit.graphs.onnx import exported_graph


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    own = OnnxEngine.open(pipeline_cases.weights("five"), pipeline_cases.config("five"), MODELS["five"][0])
    options = own.session.get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads() == cores() >= 1


def test_only_onnx_is_read(tmp_path: Path) -> None:
    """ONNX Runtime reads a file with ORTM at byte 4 as its own format, which is not checked, unless the format is set."""
    graph = exported_graph(pipeline_cases.config("five"), MODELS["five"][0], pipeline_cases.weights("five"))
    graph.save(tmp_path)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options)
    other = (tmp_path / "model.ort").read_bytes()
    assert other[4:8] == b"ORTM" and onnxruntime.InferenceSession(other).get_inputs()
    with pytest.raises(InvalidProtobuf):
        _session(other, {})
