"""A tiny model, a file of examples and shards for runs of `bertkit finetune` and `bertkit pretrain`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bertkit

WORDS = ("good", "bad", "film", "the", "a", "very", "was", "it", "##s", "not")
OPTIONS = {"epochs": 20.0, "batch_size": 4, "lr": 1e-3, "save_steps": 2, "log_steps": 1}
PRETRAINING = {
    "max_steps": 60, "batch_size": 4, "max_length": 24, "short_length": 12, "short_steps": 0.5, "lr": 1e-3, "save_steps": 2,
    "log_steps": 1,
}  # fmt: skip


def write_model(folder: Path) -> Path:
    """Write an encoder with random weights, its default dropout and a tokenizer."""
    folder.mkdir(parents=True)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]), "utf-8")
    tokenizer = bertkit.BertTokenizerFast(vocab_file=vocabulary, model_max_length=32)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = bertkit.BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes)
    torch.manual_seed(0)
    bertkit.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_examples(path: Path, count: int = 32) -> Path:
    """Write random texts with two labels."""
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            label = WORDS[rng.integers(2)]
            text = " ".join([*rng.choice(WORDS[2:8], rng.integers(1, 12)), label])
            file.write(json.dumps({"text": text, "label": label}) + "\n")
    return path


def write_shards(folder: Path, model: Path) -> Path:
    """Write shards of random documents."""
    rng = np.random.default_rng(0)
    text = folder.with_suffix(".txt")
    lines = [" ".join(rng.choice(WORDS[2:8], 5)) if rng.random() < 0.8 else "" for _ in range(200)]
    text.write_text("\n".join(lines), "utf-8")
    tokenizer = bertkit.BertTokenizerFast.from_pretrained(model)
    bertkit.prepare([text], tokenizer, folder, sentence_per_line=True, processes=1)
    return folder


def finetune(model: str, train: str, out: str, options: dict[str, Any] = OPTIONS) -> int:
    """Train in this process, and return its number."""
    torch.set_num_threads(1)
    bertkit.finetune("text-classification", model, train, out=out, **options)
    return os.getpid()
