"""What only the ONNX engine has: its threads."""

from __future__ import annotations

import pipeline_cases
import pytest
from pipeline_cases import MODELS

from bertkit.engines.onnx import OnnxEngine
from bertkit.engines.processor import cores, threads


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    own = OnnxEngine.open(pipeline_cases.weights("five"), pipeline_cases.config("five"), MODELS["five"][0])
    options = own.session.get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads() == cores() >= 1
