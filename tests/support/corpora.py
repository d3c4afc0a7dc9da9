"""A small corpus with known documents, sentences and words, and its shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bertkit.data.shards import Shards
from bertkit.text.tokenizer import BertTokenizerFast
from bertkit.training.prepare import prepare

WORDS = [f"w{letter}{other}" for letter in "abcdefghij" for other in "klmnopqrst"]


def tokenizer() -> BertTokenizerFast:
    """Return a tokenizer with one-piece words, and words of two and three pieces such as "xay" and "xayz"."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *WORDS, "xa", "##y", "##z"]
    return BertTokenizerFast(pieces)


def documents(count: int, seed: int = 0, sentences: int = 30) -> list[list[str]]:
    """Return documents of up to `sentences` sentences. The first word of a sentence often has several pieces."""
    rng = np.random.default_rng(seed)
    return [
        [
            " ".join([rng.choice(["xay", "xayz", "wak"]), *rng.choice(WORDS, rng.integers(2, 14)), "."])
            for _ in range(rng.integers(2, sentences))
        ]
        for _ in range(count)
    ]


def write(path: Path, corpus: list[list[str]]) -> Path:
    """Write one sentence in each line, and an empty line after each document."""
    path.write_text("\n".join("".join(f"{sentence}\n" for sentence in document) for document in corpus))
    return path


def shards(folder: Path, corpus: list[list[str]], shard_tokens: int = 2**24) -> Shards:
    """Write a corpus as shards."""
    file = write(folder / "corpus.txt", corpus)
    return prepare(
        [file], tokenizer(), folder / "shards", sentence_per_line=True, processes=1, shard_tokens=shard_tokens
    )
