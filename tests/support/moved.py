"""Run scripts for transformers with transformers and with bertkit. Only the imported module differs."""

from __future__ import annotations

import random
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_cases
import pytest
import torch
import transformers

import bertkit

TEXTS = pipeline_cases.SENTENCES[:12]
Script = Callable[[Any, str, Path], Any]


def checkpoint(folder: Path) -> str:
    """Save a tiny BERT and its tokenizer, to use instead of "bert-base-uncased"."""
    vocabulary = pipeline_cases.vocabulary()
    torch.manual_seed(0)
    config = bertkit.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
    )
    bertkit.BertForPreTraining(config).save_pretrained(folder)
    bertkit.BertTokenizerFast(vocabulary, model_max_length=64).save_pretrained(folder)
    return str(folder)


def same(script: Script, start: str, folder: Path) -> Any:
    """Run a script with both libraries from the same seeds, and compare the returned values."""
    found = {}
    for library in (transformers, bertkit):
        place = folder / library.__name__
        place.mkdir()
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        found[library.__name__] = script(library, start, place)
    compare(found["bertkit"], found["transformers"], "")
    return found["bertkit"]


def compare(ours: Any, theirs: Any, where: str) -> None:
    """Compare values: numbers within 1e-5, everything else exactly."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key, value in theirs.items():
            compare(ours[key], value, f"{where}.{key}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), where
        for i, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            compare(our, their, f"{where}[{i}]")
    elif isinstance(theirs, (torch.Tensor, np.ndarray)):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, where
        assert np.asarray(ours.tolist()) == pytest.approx(np.asarray(theirs.tolist()), abs=1e-5), where
    elif isinstance(theirs, Real):
        assert ours == pytest.approx(theirs, abs=1e-5), where
    else:
        assert ours == theirs, where
