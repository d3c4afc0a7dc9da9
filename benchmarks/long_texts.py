"""Classification of long texts whose only clue is at one token: windows find it, truncation cannot.

    python benchmarks/long_texts.py                 # the clue is token 3,000 of 3,100, rows have 512 tokens
    python benchmarks/long_texts.py --clue 300 --row 64 --texts 512

A tiny model is trained from random weights on generated texts, twice: with on_long="window" and with on_long="truncate".
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


def texts(count: int, clue: int, seed: int) -> list[dict[str, str]]:
    """Return texts of common words with one clue, and their labels."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        words = rng.choice(WORDS, clue + 100).tolist()
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
    config = bertkit.BertConfig(vocab_size=len(tokens), max_position_embeddings=row, **sizes)
    bertkit.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def accuracy(on_long: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train with one way to read long texts, and return the accuracy."""
    began = time.perf_counter()
    train, dev = texts(options.texts, options.clue, 0), texts(100, options.clue, 1)
    windows = {"max_windows": 64} if on_long == "window" else {}
    found = bertkit.finetune(
        "text-classification", folder / "model", train, dev, folder / on_long, on_long=on_long, **windows,
        epochs=options.epochs, lr=3e-3, batch_size=16, dropout=0.0, metric="loss",
    )  # fmt: skip
    return {"on_long": on_long, "accuracy": found.scores["accuracy"], "seconds": time.perf_counter() - began}


def main() -> None:
    """Print the accuracy of both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clue", type=int, default=3000, help="the place of the clue")
    parser.add_argument("--row", type=int, default=512, help="the tokens of a row")
    parser.add_argument("--texts", type=int, default=512, help="the number of training texts")
    parser.add_argument("--epochs", type=float, default=12.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        save_model(Path(name) / "model", options.row)
        for on_long in ("window", "truncate"):
            print(
                "{on_long:<10} accuracy {accuracy:.2f}  {seconds:.0f} s".format(
                    **accuracy(on_long, Path(name), options)
                )
            )


if __name__ == "__main__":
    main()
