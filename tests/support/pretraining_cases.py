"""A tiny model, shards and settings for the tests of pretraining."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import corpora
import torch

from bertkit import BertConfig
from bertkit.data.shards import Shards
from bertkit.engines.torch import model_class
from bertkit.text.tokenizer import BertTokenizerFast
from bertkit.training.distributed import Processes
from bertkit.training.loop import Loop
from bertkit.training.pretraining.objective import MaskedWords, NextSentence, Pretraining
from bertkit.training.pretraining.options import PretrainingSettings
from bertkit.training.pretraining.source import ShardSource

TEACHER_WIDTH = 16
LETTERS = "abcdefghijklmnopqrstuvwxyz."
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def shards(folder: Path, count: int = 30, sentences: int = 30) -> Shards:
    """Return shards of random documents in a folder that exists."""
    return corpora.shards(folder, corpora.documents(count, sentences=sentences), shard_tokens=3_000)


def settings(**options: Any) -> PretrainingSettings:
    """Return settings of a run whose files are never read."""
    given = {"data": "shards", "config": "tiny", "batch_size": 8, "max_length": 32, "lr": 1e-3, **options}
    return PretrainingSettings(**given)


def model(head: str = "ForPreTraining", dropout: float = 0.0, **sizes: Any) -> Any:
    """Return a tiny model with random weights, the same in every call."""
    torch.manual_seed(1)
    chances = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config = BertConfig(vocab_size=len(corpora.tokenizer()), max_position_embeddings=64, **SIZES | chances | sizes)
    return model_class(head)(config)


def objective(config: BertConfig, head: str = "ForPreTraining") -> Pretraining:
    """Return the objective of a head."""
    return Pretraining(config, [MaskedWords()] + ([NextSentence()] if head == "ForPreTraining" else []))


def loop(
    own: Shards,
    dropout: float = 0.0,
    sizes: dict[str, Any] | None = None,
    processes: Processes | None = None,
    **options: Any,
) -> Loop:
    """Return a loop over shards with a tiny model."""
    chosen = settings(**options)
    head = "ForPreTraining" if chosen.examples == "pairs" else "ForMaskedLM"
    new = model(head, dropout, **sizes or {})
    return Loop(new, ShardSource(own, chosen), objective(new.config, head), chosen, processes)


def write_teacher(folder: Path, seed: int = 0) -> Path:
    """Write a tiny encoder whose tokens are letters, unlike those of the shards."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    sizes = SIZES | {"vocab_size": len(pieces), "hidden_size": TEACHER_WIDTH, "max_position_embeddings": 64}
    model = model_class("Model")(BertConfig(**sizes)).eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    BertTokenizerFast(pieces, model_max_length=64).save_pretrained(folder)
    return folder
