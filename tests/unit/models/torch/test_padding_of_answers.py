"""Padding is no answer: the positions of a row compete for the start and the end, and zero would beat negative logits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch_models import batch, furthest, ours, theirs

LOWEST = torch.finfo(torch.float32).min


def with_negative_logits(name: str = "BertForQuestionAnswering") -> tuple[torch.nn.Module, torch.nn.Module]:
    """Ours and theirs, whose real tokens all have logits far below zero."""
    models = ours(name), copy.deepcopy(theirs(name))
    for model in models:
        with torch.no_grad():
            model.qa_outputs.bias.fill_(-50)
    return models


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("side", ["right", "left"])
def test_no_answer_is_in_padding(side: str, answered: bool) -> None:
    ids, mask = batch()
    if side == "left":
        ids, mask = ids.flip(1), mask.flip(1)
    our, their = with_negative_logits()
    places = {"start_positions": torch.tensor([0, 1, 2, 50, 1]), "end_positions": torch.tensor([3, 2, 2, 30, 0])}
    got, expected = our(ids, mask, **places if answered else {}), their(ids, mask, **places)
    if answered:
        assert abs(got.loss - expected.loss) < 1e-5  # whose softmax takes the padding too
    real = mask.bool()
    for name in ("start_logits", "end_logits"):
        assert (got[name] < 0).all() and (got[name][~real] == LOWEST).all()
        assert furthest(got[name][real], expected[name][real]) < 1e-5
        assert torch.equal(got[name].argmax(1), expected[name].masked_fill(~real, LOWEST).argmax(1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_padding_holds_the_lowest_number_of_the_type(dtype: torch.dtype) -> None:
    ids, mask = batch()
    mask[1] = 0
    logits = ours("BertForQuestionAnswering").to(dtype)(ids, mask).start_logits
    assert logits.dtype == dtype and (logits[mask == 0] == torch.finfo(dtype).min).all()
    assert logits.softmax(1).isfinite().all()


def test_packed_tokens_and_full_batches_have_no_padding_to_fill() -> None:
    ids, mask = batch()
    model = ours("BertForQuestionAnswering")
    assert (model(ids[mask.bool()], lengths=mask.sum(1)).start_logits > LOWEST).all()
    assert (model(ids, torch.ones_like(mask)).start_logits > LOWEST).all()
