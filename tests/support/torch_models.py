"""Tiny PyTorch models of transformers and bertkit with the same weights, and a padded batch."""

from __future__ import annotations

import functools
from typing import Any

import torch
import transformers
from torch import Tensor

import bertkit

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 50,
    "max_position_embeddings": 40,
    "num_labels": 3,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
CLASSES = (
    "BertModel",
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertLMHeadModel",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForMultipleChoice",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
)
LENGTHS = (17, 3, 9, 9, 1)


def settings(name: str, **more: Any) -> dict[str, Any]:
    """Return the fields of a tiny configuration for a class."""
    own = {"BertLMHeadModel": {"is_decoder": True}, "BertForQuestionAnswering": {"num_labels": 2}}
    return {**SIZES, **own.get(name, {}), **more}


@functools.cache
def theirs(name: str, **more: Any) -> Any:
    """Return a model of transformers in which all parameters are random, including layer norms and biases."""
    torch.manual_seed(len(name))
    implementation = more.pop("attn_implementation", "eager")
    config = transformers.BertConfig(**settings(name, **more), attn_implementation=implementation)
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def ours(name: str, **more: Any) -> Any:
    """Return bertkit's model with the same weights."""
    model = getattr(bertkit, name)(bertkit.BertConfig(**settings(name, **more))).eval()
    model.load_state_dict(theirs(name, **more).state_dict())
    return model


def batch() -> tuple[Tensor, Tensor]:
    """Return ids [5, 17] and their attention mask."""
    torch.manual_seed(0)
    ids = torch.randint(1, 50, (len(LENGTHS), max(LENGTHS)))
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    return ids * mask, mask


def furthest(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference."""
    assert a.shape == b.shape
    return (a.double() - b.double()).abs().max().item() if a.numel() else 0.0
