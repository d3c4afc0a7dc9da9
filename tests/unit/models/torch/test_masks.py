"""Masks of other numbers, masks of an encoder, and decoders of every class, beside transformers."""

from __future__ import annotations

import json
from pathlib import Path

import mask_cases
import pytest
import torch
from torch_models import CLASSES, batch, furthest, ours, theirs

import bertkit
from bertkit.errors import UsageError

TOLERANCE = 1e-5
LOWEST = torch.finfo(torch.float32).min


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.int32, torch.bfloat16])
@pytest.mark.parametrize("number", [float("nan"), 0.5, -1, 7, 2])
@pytest.mark.parametrize("name", ["BertModel", "BertLMHeadModel"])
def test_masks_of_other_numbers_are_refused(name: str, number: float, dtype: torch.dtype) -> None:
    ids, mask = batch()
    model = ours(name)
    if not dtype.is_floating_point and number != number // 1:
        return
    given = mask.to(dtype)
    given[1, 2] = number
    for one in (given, given[:, None, None], given[:, None].repeat(1, 17, 1)):
        with pytest.raises(UsageError, match=r"attention_mask has numbers such as .*it takes 1 and 0, True and False"):
            model(ids, one)


def test_masks_of_two_kinds_at_once_are_refused() -> None:
    ids, mask = batch()
    with pytest.raises(UsageError, match="numbers such as -1e\\+09"):
        ours("BertModel")(ids, mask.float().masked_fill(mask == 0, -1e9))
    crossed = ours("BertLMHeadModel", add_cross_attention=True)
    with pytest.raises(UsageError, match="encoder_attention_mask has numbers such as 0.5"):
        crossed(ids, encoder_hidden_states=torch.ones(5, 3, 32), encoder_attention_mask=torch.full((5, 3), 0.5))


def crossed_inputs() -> dict[str, torch.Tensor]:
    return {"encoder_hidden_states": torch.randn(5, 7, 32, generator=torch.Generator().manual_seed(0))}


@pytest.mark.parametrize("sides", [2, 3, 4])
@pytest.mark.parametrize("name", ["BertModel", "BertForMaskedLM", "BertLMHeadModel"])
def test_masks_of_an_encoder(name: str, sides: int) -> None:
    ids, mask = batch()
    real, more = mask.bool(), {"is_decoder": True, "add_cross_attention": True}
    our, their = ours(name, **more), theirs(name, **more)
    seen = torch.arange(7) < torch.tensor([7, 3, 2, 5, 1])[:, None]
    pairs = torch.rand(5, 17, 7, generator=torch.Generator().manual_seed(1)) < 0.5
    pairs[..., 0] = True
    given = {2: seen, 3: pairs, 4: pairs[:, None]}[sides]
    added = given[:, None, None] if sides == 2 else pairs[:, None]
    expected = their(ids, mask, encoder_attention_mask=(~added) * LOWEST, **crossed_inputs())[0]
    for kind in (given, given.long(), given.float()):
        got = our(ids, mask, encoder_attention_mask=kind, **crossed_inputs())[0]
        assert furthest(got[real], expected[real]) < TOLERANCE


def test_masked_words_with_an_encoder_learn_as_theirs() -> None:
    ids, mask = batch()
    more = {"is_decoder": True, "add_cross_attention": True}
    given = {"attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100), **crossed_inputs()}
    losses = [model("BertForMaskedLM", **more)(ids, **given).loss for model in (ours, theirs)]
    assert abs(losses[0] - losses[1]) < TOLERANCE


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", CLASSES)
def test_a_decoder_of_any_class_sees_what_is_before(name: str, padded: bool) -> None:
    ids, mask = batch()
    mask = mask if padded else torch.ones_like(mask)
    real = mask.bool()
    if name == "BertForMultipleChoice":
        ids, mask = ids[:4].view(2, 2, 17), mask[:4].view(2, 2, 17)
    given = {"input_ids": ids, "attention_mask": mask}
    more = {"is_decoder": True, "use_cache": False}
    got, expected = ours(name, **more)(**given), theirs(name, **more)(**given)
    both = ours(name, **more)(**given, output_attentions=True).attentions[0]
    assert both.triu(1).count_nonzero() == 0
    for key in got:
        mine, other = got[key], expected[key]
        if mine.shape[:2] == real.shape:
            mine, other = mine[real], other[real]
        assert furthest(mine, other) < TOLERANCE, key


def test_extended_masks_as_transformers_4_made_them() -> None:
    recorded = json.loads((Path(__file__).parents[3] / "data" / "masks4.json").read_text(encoding="utf-8"))
    assert mask_cases.answers(bertkit) == recorded and len(recorded) == 6
    with pytest.raises(UsageError, match=r"attention_mask is \[2, 1, 1, 3\], and must be \[batch, length\]"):
        ours("BertModel").get_extended_attention_mask(torch.ones(2, 1, 1, 3), (2, 3))
