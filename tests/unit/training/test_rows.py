"""Gradients of few rows: the same training, without a gradient as large as the vocabulary."""

from __future__ import annotations

import copy
import math

import pytest
import tiny
import torch
from torch import Tensor, nn

from bertkit import BertForMaskedLM, BertForSequenceClassification
from bertkit.training import rows
from bertkit.training.rows import RowAdamW, clip, word_rows


class Words(nn.Module):
    """Two embeddings and a matrix, trained on words that come up twice, once or never."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(50, 4, sparse=sparse, padding_idx=0)
        self.types = nn.Embedding(2, 4)
        self.matrix = nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> Tensor:
        """[T] -> a number."""
        loss: Tensor = self.matrix(self.words(ids) + self.types(ids % 2)).square().sum()
        return loss


def trained(sparse: bool, most: float, steps: int = 6) -> tuple[list[float], dict[str, Tensor], RowAdamW]:
    model = Words(sparse)
    groups = [{"params": list(model.parameters()), "weight_decay": 0.1}]
    optimizer = RowAdamW(groups, lr=0.05, betas=(0.8, 0.95), fused=True)
    draw, norms = torch.Generator().manual_seed(1), []
    for _ in range(steps):
        for _ in range(2):  # accumulated
            model(torch.randint(0, 50, (9,), generator=draw)).backward()
        norms.append(float(clip(model.parameters(), most)))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return norms, model.state_dict(), optimizer


@pytest.mark.parametrize("most", [math.inf, 0.5])
@pytest.mark.parametrize("part", [1, 4 * 7, 4 * 50, 2**18])
def test_equals_a_dense_gradient(most: float, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_PART", part)
    norms, weights, _ = trained(True, most)
    expected_norms, expected, _ = trained(False, most)
    assert norms == pytest.approx(expected_norms, rel=1e-6)
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-6, rtol=0)


def test_equals_the_optimizer_of_torch() -> None:
    model, other = Words(False), Words(False)
    ours = RowAdamW(model.parameters(), lr=0.1, fused=True)
    theirs = torch.optim.AdamW(other.parameters(), lr=0.1, fused=True)
    for one, optimizer in ((model, ours), (other, theirs)):
        for at in range(3):
            one(torch.arange(at, at + 5)).backward()
            norm = nn.utils.clip_grad_norm_(one.parameters(), 0.7) if one is other else clip(one.parameters(), 0.7)
            optimizer.step()
            optimizer.zero_grad()
            assert norm > 0.7
    for name, tensor in other.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_state_is_that_of_a_dense_gradient() -> None:
    few, dense = (trained(sparse, math.inf)[2].state_dict()["state"] for sparse in (True, False))
    assert few.keys() == dense.keys()
    for number, other in dense.items():
        one = few[number]
        assert one.keys() == other.keys() and float(one["step"]) == float(other["step"]) == 6
        torch.testing.assert_close(one["exp_avg_sq"], other["exp_avg_sq"], atol=1e-6, rtol=1e-6)


def test_only_words_of_the_step_have_rows() -> None:
    model = BertForSequenceClassification(tiny.config())
    weight = model.bert.embeddings.word_embeddings.weight
    with word_rows(model):
        model(torch.tensor([[2, 5, 5, 3]]), labels=torch.tensor([1])).loss.backward()
    assert weight.grad is not None and weight.grad.is_sparse
    assert weight.grad.coalesce().indices()[0].tolist() == [2, 3, 5]
    assert not model.bert.embeddings.word_embeddings.sparse


def test_a_vocabulary_projection_has_all_rows() -> None:
    model = BertForMaskedLM(tiny.config())
    weight = model.bert.embeddings.word_embeddings.weight
    with word_rows(model):
        model(torch.tensor([[2, 5, 5, 3]]), labels=torch.tensor([[-100, 7, -100, -100]])).loss.backward()
    assert weight.grad is not None and not weight.grad.is_sparse


def test_the_model_is_as_before_after_an_error() -> None:
    model = BertForSequenceClassification(copy.deepcopy(tiny.config()))
    with pytest.raises(KeyboardInterrupt), word_rows(model):
        raise KeyboardInterrupt
    assert not model.bert.embeddings.word_embeddings.sparse
