"""Graphs of every class: traced with tuples and with dicts, exported to ONNX by the tracing exporter, and torch.export."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from typing import Any

import pytest
import torch
from torch_models import CLASSES, batch, furthest, ours

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the tracers

TOLERANCE = 1e-5


def inputs(name: str, rows: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and a mask."""
    ids, mask = (x[:rows] for x in batch())
    return (ids.view(-1, 2, 17), mask.view(-1, 2, 17)) if name == "BertForMultipleChoice" else (ids, mask)


def another(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and a mask of other sides."""
    ids, mask = inputs(name, 2)
    return ids[..., :11], mask[..., :11]


@pytest.mark.parametrize("name", CLASSES)
def test_traced_with_torchscript_in_the_configuration(name: str) -> None:
    model = ours(name)
    model.config.torchscript = True
    if name == "BertLMHeadModel":
        model.config.use_cache = False
    traced = torch.jit.trace(model, inputs(name))
    for got, expected in zip(traced(*another(name)), model(*another(name)), strict=True):
        assert furthest(got, expected) < TOLERANCE


@pytest.mark.parametrize("name", CLASSES)
def test_traced_with_dicts(name: str) -> None:
    model = ours(name)
    if name == "BertLMHeadModel":
        model.config.use_cache = False
    got, expected = torch.jit.trace(model, inputs(name), strict=False)(*another(name)), model(*another(name))
    assert got.keys() == expected.keys()
    for key, value in got.items():
        assert furthest(value, expected[key]) < TOLERANCE, key


def test_a_traced_decoder_returns_its_cache_as_tuples() -> None:
    model = ours("BertLMHeadModel")
    model.config.torchscript = True
    traced = torch.jit.trace(model, inputs("BertLMHeadModel"))
    logits, cache = traced(*another("BertLMHeadModel"))
    expected = model(*another("BertLMHeadModel"))
    assert furthest(logits, expected[0]) < TOLERANCE
    assert [len(layer) for layer in cache] == [2, 2, 2]
    assert furthest(cache[2][1], expected[1][2][1]) < TOLERANCE


@pytest.mark.parametrize("name", CLASSES)
def test_exported_to_onnx_by_tracing(name: str) -> None:
    model, file = ours(name), io.BytesIO()
    if name == "BertLMHeadModel":
        model.config.use_cache = False
    whole = importlib.util.find_spec("onnx") is not None  # without it the graph is made, and then not written
    with (
        contextlib.nullcontext() if whole else pytest.raises(torch.onnx.OnnxExporterError, match="^Module onnx is not")
    ):
        torch.onnx.export(model, inputs(name), file, dynamo=False, input_names=["input_ids", "attention_mask"])
    assert whole == (file.tell() > 100_000)


def test_multiple_choice_exported_with_a_batch_that_varies() -> None:
    model = ours("BertForMultipleChoice")
    ids, mask = inputs("BertForMultipleChoice")
    rows: dict[int, Any] = {0: torch.export.Dim("rows", min=1, max=64)}
    exported = torch.export.export(
        model,
        (),
        {"input_ids": ids, "attention_mask": mask},
        dynamic_shapes={"input_ids": rows, "attention_mask": rows},
    ).module()
    for given in ((ids[:1], mask[:1]), (ids.repeat(3, 1, 1), mask.repeat(3, 1, 1))):
        got = exported(input_ids=given[0], attention_mask=given[1]).logits
        assert furthest(got, model(*given).logits) < TOLERANCE
