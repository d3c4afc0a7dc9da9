"""TorchScript files: plain PyTorch loads them, and with a shape they have no branch and take no other sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported_models import of_head
from pipeline_cases import MODELS
from pipeline_models import folder

import bertkit
from bertkit import reference
from bertkit.exporting.torchscript import FILE
from bertkit.heads import HEADS

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the tracer
BY_VALUE = r"prim::If|prim::Loop|nonzero|masked_select|aten::item|local_scalar|unique"


def inputs(*shape: int) -> list[Any]:
    """Ids, a mask with padding at the end of the last row, and types."""
    rng = np.random.default_rng(0)
    mask = np.ones(shape, np.int64)
    mask[..., -1, shape[-1] // 2 :] = 0
    return [rng.integers(5, 200, shape), mask, rng.integers(0, 2, shape)]


@pytest.fixture(autouse=True)
def no_compilation() -> Iterator[None]:
    """PyTorch would compile each model in its second call, which takes long."""
    with torch.jit.optimized_execution(False):
        yield


@pytest.mark.parametrize("shape", [None, (2, 16)])
@pytest.mark.parametrize("head", HEADS)
def test_every_class(head: str, shape: tuple[int, ...] | None, tmp_path: Path) -> None:
    if head == "ForMultipleChoice" and shape:
        shape = (shape[0], 3, shape[1])
    model = of_head(head, tmp_path / "model")
    exported = bertkit.export(model, tmp_path / "out", format="torchscript", shape=shape)
    assert exported.parity.worst < 1e-5 and FILE in [path.name for path in exported.files]
    loaded = torch.jit.load(tmp_path / "out" / FILE)
    if shape:
        assert not re.findall(BY_VALUE, str(loaded.inlined_graph))
        with pytest.raises(RuntimeError, match="split"):
            loaded(*map(torch.from_numpy, inputs(*shape[:-1], shape[-1] + 1)))
    given = inputs(*(shape or ((3, 2, 11) if head == "ForMultipleChoice" else (3, 11))))
    found = loaded(*map(torch.from_numpy, given))
    tensors, _ = bertkit.load_checkpoint(model)
    wanted = reference.forward(
        bertkit.BertConfig.from_pretrained(model),
        tensors,
        head,
        input_ids=given[0],
        attention_mask=given[1],
        token_type_ids=given[2],
    )
    assert isinstance(found, tuple) and len(found) == len(HEADS[head].outputs)
    for name, tensor in zip(HEADS[head].outputs, found, strict=True):
        np.testing.assert_allclose(tensor.numpy(), wanted[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "shape"), [("five", "1x16"), ("choices", "1x4x16"), ("plain", None)])
def test_the_code_on_the_card_runs(
    name: str, shape: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bertkit.export(folder(name), "scripted", format="torchscript", shape=shape)
    blocks = re.findall("```python\n(.*?)```", (tmp_path / "scripted" / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1  # pipeline does not open it
    found: dict[str, Any] = {}
    exec(compile(blocks[0], "README.md", "exec"), found)
    assert len(found["outputs"]) == len(HEADS[MODELS[name][0]].outputs)
