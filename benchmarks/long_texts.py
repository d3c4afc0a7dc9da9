"""Classification of long texts whose only clue is at one token: windows find it, truncation cannot.

    python benchmarks/long_texts.py                 # the clue is token 3,000 of 3,100, rows have 512 tokens
    python benchmarks/long_texts.py --row 128   # the clue is in one window of 29

A tiny model learns the clue from generated texts that fit into a row. From there it is trained on long texts in three ways: in
windows whose largest logits count, in windows whose logits are averaged, and truncated.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bertkit
from bertkit.text.vocabulary import Vocabulary

WORDS = ("the", "of", "it", "and")
CLUES = {"bad": "end", "good": "start"}
WAYS: dict[str, dict[str, Any]] = {
    "windows, largest": {"on_long": "window", "merge": "max", "max_windows": 64},
    "windows, mean": {"on_long": "window", "merge": "mean", "max_windows": 64},
    "truncated": {"on_long": "truncate"},
}


def texts(count: int, clue: int, length: int, seed: int) -> list[dict[str, str]]:
    """Return texts of common words with one clue, and their labels."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        words = rng.choice(WORDS, length).tolist()
        label = list(CLUES)[int(rng.integers(2))]
        words[clue] = CLUES[label]
        found.append({"text": " ".join(words), "label": label})
    return found


def save_model(folder: Path, row: int) -> None:
    """Write a tiny model with random weights, and its tokenizer."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *CLUES.values()]
    tokenizer = bertkit.BertTokenizerFast(vocab=Vocabulary(tokens).ids, model_max_length=row)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    # With the usual standard deviation of 0.02, attention over 32 dimensions is the same for all words.
    config = bertkit.BertConfig(vocab_size=len(tokens), max_position_embeddings=row, initializer_range=0.1, **sizes)
    bertkit.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def accuracy(model: Path, train: list[dict[str, str]], dev: list[dict[str, str]], out: Path, **options: Any) -> float:
    """Train a model, and return its accuracy."""
    usual = {"dropout": 0.0, "metric": "loss"}
    found = bertkit.finetune("text-classification", model, train, dev, out, **usual, **options)
    return float(found.scores["accuracy"])


def main() -> None:
    """Print the accuracy of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clue", type=int, default=3000, help="the place of the clue")
    parser.add_argument("--row", type=int, default=512, help="the tokens of a row")
    parser.add_argument("--texts", type=int, default=128, help="the number of long texts for training")
    parser.add_argument("--epochs", type=float, default=4.0, help="passes over the long texts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(folder / "random", options.row)
        short = [texts(count, 10, 40, seed) for count, seed in ((2000, 2), (100, 3))]
        accuracy(folder / "random", *short, folder / "short", epochs=6.0, lr=3e-3, batch_size=16)
        long = [texts(count, options.clue, options.clue + 100, seed) for count, seed in ((options.texts, 0), (100, 1))]
        for way, own in WAYS.items():
            began = time.perf_counter()
            found = accuracy(folder / "short", *long, folder / way, epochs=options.epochs, lr=1e-3, batch_size=8, **own)
            print(f"{way:<17} accuracy {found:.2f}  {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
