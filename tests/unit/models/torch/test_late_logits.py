"""Logits that are read after the forward are of that forward, or an error says that the weights have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch_models import ours

from bertkit.errors import UsageError


def fused(model: Any) -> None:
    torch.optim.AdamW(model.parameters(), 0.5, fused=True).step()


def each(model: Any) -> None:
    torch.optim.SGD(model.parameters(), 0.5).step()


def through_data(model: Any) -> None:
    for parameter in model.parameters():
        parameter.data.add_(1)


def assigned(model: Any) -> None:
    model.load_state_dict({name: 1 + tensor for name, tensor in model.state_dict().items()}, assign=True)


def halved(model: Any) -> None:
    model.half()


@pytest.mark.parametrize("change", [fused, each, through_data, assigned, halved])
def test_weights_that_change_before_logits_are_read(change: Callable[[Any], None]) -> None:
    model = ours("BertForMaskedLM")
    labels = torch.tensor([[-100, 5, -100]])
    outputs = model(torch.tensor([[2, 4, 3]]), labels=labels)
    outputs.loss.backward()
    change(model)
    with pytest.raises(UsageError, match="weights have changed since this forward"):
        outputs.logits  # noqa: B018


def test_weights_that_stay() -> None:
    model, ids = ours("BertForMaskedLM"), torch.tensor([[2, 4, 3]])
    expected = model(ids).logits
    assert torch.allclose(model(ids, labels=torch.tensor([[-100, 5, -100]])).logits, expected, atol=1e-6)
