"""SavedModels: TensorFlow alone loads them, and `save_pretrained(saved_model=True)` writes the same graph."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from exported_models import of_head
from pipeline_models import folder

import bertkit
from bertkit.heads import HEADS

ALONE = """
import json, sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
serve = model.signatures["serving_default"]
given = {name: tf.constant(x, tf.int32) for name, x in json.loads(sys.argv[2]).items()}
shapes = {name: [one.dtype.name, one.shape.as_list()] for name, one in serve.structured_input_signature[1].items()}
print(json.dumps([shapes, {name: x.numpy().tolist() for name, x in serve(**given).items()}]))
assert not any(name.startswith("bertkit") for name in sys.modules)
"""


@pytest.mark.parametrize("head", ["Model", "LMHeadModel", "ForQuestionAnswering", "ForMultipleChoice"])
def test_classes(head: str, tmp_path: Path) -> None:
    exported = bertkit.export(of_head(head, tmp_path / "model"), tmp_path / "out", format="savedmodel")
    assert exported.parity.worst < 1e-5 and (tmp_path / "out/saved_model/1/saved_model.pb").is_file()
    loaded = tf.saved_model.load(tmp_path / "out/saved_model/1")
    assert sorted(loaded.signatures["serving_default"].structured_outputs) == sorted(HEADS[head].outputs)


def test_tensorflow_alone(tmp_path: Path) -> None:
    model = bertkit.TFBertForSequenceClassification.from_pretrained(folder("five"))
    model.save_pretrained(tmp_path / "saved", saved_model=True)
    bertkit.export(folder("five"), tmp_path / "out", format="savedmodel")
    given = {"input_ids": [[2, 9, 8, 3], [2, 7, 3, 0]], "attention_mask": [[1, 1, 1, 1], [1, 1, 1, 0]]}
    given["token_type_ids"] = np.zeros((2, 4), int).tolist()
    wanted = model({name: np.array(x) for name, x in given.items()}).logits
    for place in ("saved", "out"):
        code = [sys.executable, "-c", ALONE, str(tmp_path / place / "saved_model/1"), json.dumps(given)]
        done = subprocess.run(code, capture_output=True, text=True, check=True)
        shapes, found = json.loads(done.stdout.splitlines()[-1])
        assert shapes == {name: ["int32", [None, None]] for name in given}
        np.testing.assert_allclose(found["logits"], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["five", "choices"])
def test_the_code_on_the_card_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bertkit.export(folder(name), "saved", format="savedmodel")
    card = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    assert "| input_ids | int32 | [batch, " in card
    blocks = re.findall("```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 1  # pipeline does not open it
    found: dict[str, Any] = {}
    exec(compile(blocks[0], "README.md", "exec"), found)
    assert list(found["outputs"]) == ["logits"]
