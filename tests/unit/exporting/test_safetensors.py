"""Safetensors in int8: classes of every framework and every engine open them, and saving them again writes float32."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_calls import assert_close
from exported_models import of_head
from pipeline_cases import SENTENCES
from pipeline_models import folder

import bertkit
from bertkit.checkpoint import safetensors_file
from bertkit.errors import UsageError
from bertkit.heads import HEADS


@pytest.mark.parametrize("head", HEADS)
def test_every_class(head: str, tmp_path: Path) -> None:
    model = of_head(head, tmp_path / "model")
    exported = bertkit.export(model, tmp_path / "out", format="safetensors", precision="int8", data=SENTENCES[:4])
    assert exported.parity.worst < 0.5 and exported.parity.differences[0].cosine > 0.98
    stored = safetensors_file.read(tmp_path / "out" / "model.safetensors")
    original = safetensors_file.read(model / "model.safetensors")
    assert {name for name in stored if not name.endswith("weight_scale")} == original.keys()
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    ignored = {f"{name}.weight" for name in config["ignore"]}
    for name, array in original.items():
        quantized = ".layer." in name and name.endswith(".weight") and "LayerNorm" not in name
        assert (stored[name].dtype == np.int8) == quantized == (f"{name}_scale" in stored)
        assert quantized or np.array_equal(stored[name], array)
        assert (name in ignored) == (array.ndim == 2 and not quantized and "embeddings" not in name)
    assert (config["quant_method"], config["format"]) == ("compressed-tensors", "int-quantized")


def test_pipelines_classes_and_saving_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bertkit.export(folder("five"), "eighth", format="safetensors", precision="int8", data=SENTENCES[:4])
    engines = ("numpy", "torch", "onnx", "openvino", "keras", "flax")
    answers = [
        bertkit.pipeline("text-classification", "eighth", engine=engine, precision="fp32")(SENTENCES[:3])
        for engine in engines
    ]
    for other in answers[1:]:
        assert_close(other, answers[0])
    bertkit.BertForSequenceClassification.from_pretrained("eighth").save_pretrained("whole")
    assert "quantization_config" not in json.loads((tmp_path / "whole" / "config.json").read_text())
    bertkit.AutoTokenizer.from_pretrained("eighth").save_pretrained("whole")
    assert_close(bertkit.pipeline("text-classification", "whole", engine="numpy")(SENTENCES[:3]), answers[0])
    blocks = re.findall("```python\n(.*?)```", (tmp_path / "eighth" / "README.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), found)
    assert found["outputs"].logits.shape == (2, 5)


def test_only_int8(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not support precision='fp32': choose one of int8"):
        bertkit.export(folder("five"), tmp_path / "out", format="safetensors")
