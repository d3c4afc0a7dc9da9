"""Files of OpenVINO: OpenVINO alone and pipelines open them, in fp32 and int8."""

from __future__ import annotations

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
from bertkit.graphs.openvino_file import DATA, FILE
from bertkit.graphs.openvino_runtime import core
from bertkit.heads import HEADS


@pytest.mark.parametrize("head", HEADS)
def test_every_class(head: str, tmp_path: Path) -> None:
    exported = bertkit.export(of_head(head, tmp_path / "model"), tmp_path / "out", format="openvino")
    assert {FILE, DATA, "config.json", "tokenizer.json", "README.md"} <= {path.name for path in exported.files}
    assert exported.parity.worst < 1e-5
    graph = core().read_model(tmp_path / "out" / FILE)
    assert [one.any_name for one in graph.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [one.any_name for one in graph.outputs] == list(HEADS[head].outputs)


def test_the_code_on_the_card_and_pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bertkit.export(folder("five"), "out", format="openvino")
    blocks = re.findall("```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), found)
    assert type(found["model"].engine).__name__ == "OpenVinoEngine"
    pipes = [
        bertkit.pipeline("text-classification", place, **options)
        for place, options in (("out", {"precision": "fp32"}), (folder("five"), {"engine": "numpy"}))
    ]
    assert_close(*(pipe(SENTENCES[:5]) for pipe in pipes))
    best = [pipes[1].config.id2label[one] for one in np.asarray(found["outputs"]["logits"]).argmax(-1)]
    assert best == [answer["label"] for answer in pipes[1](found["texts"])]


def test_int8_is_reported(tmp_path: Path) -> None:
    exported = bertkit.export(folder("plain"), tmp_path / "out", format="openvino", precision="int8")
    assert exported.parity.worst > 1e-4 and exported.parity.differences[0].cosine > 0.99
    assert "in int8" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert bertkit.pipeline("feature-extraction", tmp_path / "out").precision == "int8"
