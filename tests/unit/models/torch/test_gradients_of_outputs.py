"""Gradients reach what a forward returned, as attention times gradient and Grad-CAM want them, beside transformers' eager."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reading_path import passed_through
from torch_models import CLASSES, LENGTHS, batch, furthest, ours, theirs

TOLERANCE = 1e-5


def given(name: str, padded: bool) -> dict[str, torch.Tensor]:
    """The arguments of a forward with a loss."""
    ids, mask = batch()
    words = torch.where(ids % 3 == 0, ids, -100).masked_fill(mask == 0, -100)
    of_rows = torch.tensor([0, 1, 1, 0, 1])
    labels = {
        "BertModel": {},
        "BertForPreTraining": {"labels": words, "next_sentence_label": of_rows},
        "BertForTokenClassification": {"labels": (ids % 3).masked_fill(mask == 0, -100)},
        "BertForQuestionAnswering": {"start_positions": of_rows, "end_positions": of_rows + 2},
        "BertForMaskedLM": {"labels": words},
        "BertLMHeadModel": {"labels": words},
        "BertForMultipleChoice": {"labels": torch.tensor([0, 1])},
    }.get(name, {"labels": of_rows})
    tokens = {"input_ids": ids, **({"attention_mask": mask} if padded else {})}
    if name == "BertForMultipleChoice":
        tokens = {key: value[:4].view(2, 2, -1) for key, value in tokens.items()}
    return {**tokens, **labels}


def gradients(output: Any) -> dict[str, torch.Tensor]:
    """Of the loss, or of the pooled vectors, with respect to all states and attentions that were returned."""
    tensors = {f"hidden_states/{i}": x for i, x in enumerate(output.hidden_states)}
    tensors |= {f"attentions/{i}": x for i, x in enumerate(output.attentions)}
    if "last_hidden_state" in output:
        tensors["last_hidden_state"] = output.last_hidden_state
    loss = output.loss if "loss" in output else output.pooler_output.pow(2).sum()
    return dict(zip(tensors, torch.autograd.grad(loss, list(tensors.values())), strict=True))


@pytest.mark.parametrize("way", ["sdpa", "eager", "checkpointing"])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", CLASSES)
def test_gradients_of_states_and_attentions(name: str, padded: bool, way: str) -> None:
    model = ours(name).train()
    if way == "checkpointing":
        model.gradient_checkpointing_enable()
    else:
        model.set_attn_implementation(way)
    inputs = {**given(name, padded), "output_hidden_states": True, "output_attentions": True}
    got, expected = gradients(model(**inputs)), gradients(theirs(name)(**inputs))
    assert got.keys() == expected.keys()
    real = batch()[1][: 4 if name == "BertForMultipleChoice" else None].bool()
    real = real if padded else torch.ones_like(real)
    for key, ours_ in got.items():
        seen = real[:, None, :, None] & real[:, None, None, :] if "attentions" in key else real[..., None]
        assert furthest(ours_ * seen, expected[key] * seen) < TOLERANCE, key
        assert ours_.count_nonzero() > 0, key


@pytest.mark.parametrize("name", ["BertForTokenClassification", "BertForQuestionAnswering"])
def test_gradients_of_logits_of_tokens(name: str) -> None:
    asked, real = given(name, True), batch()[1].bool()
    key = "logits" if "Token" in name else "end_logits"
    got, expected = (model(**asked) for model in (ours(name), theirs(name)))
    for output in (got, expected):
        output[key].retain_grad()
        output.loss.backward()
    assert furthest(got[key].grad[real], expected[key].grad[real]) < TOLERANCE


def test_gradients_of_packed_tokens() -> None:
    ids, mask = batch()
    real, model = mask.bool(), ours("BertModel")
    asked = {"output_hidden_states": True, "output_attentions": True}
    whole, packed = gradients(model(ids, mask, **asked)), model(ids[real], lengths=LENGTHS, **asked)
    loss = packed.pooler_output.pow(2).sum()
    found = torch.autograd.grad(loss, [packed.last_hidden_state, packed.hidden_states[1], *packed.attentions[1]])
    assert furthest(found[0], whole["last_hidden_state"][real]) < TOLERANCE
    assert furthest(found[1], whole["hidden_states/1"][real]) < TOLERANCE
    for row, length in enumerate(LENGTHS):
        assert furthest(found[2 + row], whole["attentions/1"][row, :, :length, :length]) < TOLERANCE


def test_attentions_are_those_that_made_the_context_with_their_dropout() -> None:
    model, (ids, _) = ours("BertModel").train(), batch()
    part, seen = model.encoder.layer[1].attention.self, []
    part.dropout.p = 0.5
    part.value.register_forward_hook(lambda module, args, output: seen.append(output))
    part.register_forward_hook(lambda module, args, output: seen.append(output[0]))
    weights = model(ids, output_attentions=True).attentions[1]
    value, context = (x.unflatten(-1, (4, 8)).transpose(1, 2) for x in seen)
    assert 0.4 < (weights == 0).float().mean() < 0.6
    assert furthest(weights @ value, context) < TOLERANCE


def test_only_requested_tensors_cost_time() -> None:
    model, (ids, mask) = ours("BertForSequenceClassification"), batch()
    for asked in ({}, {"output_hidden_states": True}, {"output_attentions": True}):
        names = [name for _, name in passed_through(lambda asked=asked: model(ids, mask, **asked))]
        assert any("attention_weights" in name for name in names) == ("output_attentions" in asked)
        assert any(name.endswith("returned") for name in names) == ("output_hidden_states" in asked)
    with torch.no_grad():
        output = model(ids, mask, output_hidden_states=True, output_attentions=True)
    assert not output.hidden_states[0].requires_grad and not output.attentions[0].requires_grad
