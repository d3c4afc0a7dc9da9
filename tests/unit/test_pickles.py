"""Calls do not change the pickles of tokenizers and models, which the cache of `datasets.map` compares."""

from __future__ import annotations

import pickle

import pytest
import torch
from pipeline_models import folder

import bertkit


@pytest.mark.parametrize("name", ["BertTokenizer", "BertTokenizerFast"])
def test_pickle_of_a_tokenizer(name: str) -> None:
    tokenizer = getattr(bertkit, name).from_pretrained(folder("masked"))
    before = pickle.dumps(tokenizer)
    tokenizer(["The river of it.", "Dvořák [MASK]"], padding=True, truncation=True, return_tensors="np")
    tokenizer("a", "b", return_offsets_mapping=True)
    tokenizer.decode(tokenizer("Kyoto")["input_ids"])
    tokenizer.pad({"input_ids": [[1, 2], [3]]})
    assert pickle.dumps(tokenizer) == before


@pytest.mark.parametrize("name", ["BertModel", "BertForMaskedLM", "BertForSequenceClassification"])
def test_pickle_of_a_model(name: str) -> None:
    model = getattr(bertkit, name).from_pretrained(folder("masked"))
    before = pickle.dumps(model)
    with torch.no_grad():
        model(torch.tensor([[2, 7, 3]]), output_hidden_states=True, output_attentions=True)
    assert pickle.dumps(model) == before
