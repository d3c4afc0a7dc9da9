"""A BERT for a language of one's own: what pretraining on a few megabytes of text is worth.

    BERTKIT_DATA=... python benchmarks/own_language.py OUT [--minutes 20] [--config mini] [--vocab-size 8000] [--limit N]
                                                          [--epochs 3] [--lr 1e-4] [--seed 0]

The texts are Korean film reviews (BERTKIT_DATA/nsmc/train.tsv) without their labels: they become a vocabulary, shards, and a
model that is trained for some minutes on full sentences with masked words. Then the model, and the same architecture with random
weights, are fine-tuned on the labels in the same way, and measured on test.tsv. The test reviews are in no other step.

The same command continues an interrupted run, and skips what is finished.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"
KINDS = ("pretrained", "random")


def run(product: Path, *words: object) -> None:
    """Run Python with some arguments, unless a file exists that it writes at its end."""
    if not product.exists():
        subprocess.run([sys.executable, *map(str, words)], check=True)


def write_texts(reviews: Path, out: Path) -> None:
    """Write the texts of a file of reviews, with an empty line after each."""
    with reviews.open(encoding="utf-8", newline="") as source, out.open("w", encoding="utf-8") as file:
        for row in csv.DictReader(source, delimiter="\t", quoting=csv.QUOTE_NONE):
            file.write(row["document"].strip() + "\n\n")


def pretrain(reviews: Path, out: Path, options: argparse.Namespace) -> None:
    """Make the vocabulary, the shards, and the pretrained and the random model."""
    texts, tokenizer, shards, model = (out / name for name in ("texts.txt", "tokenizer", "shards", "pretrained"))
    write_texts(reviews, texts)
    bertkit = ("-m", "bertkit")
    run(
        tokenizer / "vocab.txt",
        *bertkit,
        "train-tokenizer",
        texts,
        "--out",
        tokenizer,
        "--vocab-size",
        options.vocab_size,
    )
    run(shards / "index.json", *bertkit, "prepare", texts, "--tokenizer", tokenizer, "--out", shards)
    run(
        model / "run.json", *bertkit, "pretrain", "--config", options.config, "--data", shards, "--out", model, "--resume",
        "--examples", "sentences", "--time-budget", f"{options.minutes}min", "--eval-share", 0.01, "--batch-size", 32,
        "--max-length", 64, "--lr", 1e-3, "--warmup", 0.08, "--beta2", 0.98, "--mask-share", 0.2, "--dropout", 0,
        "--seed", options.seed,
    )  # fmt: skip
    run(out / "random" / "vocab.txt", SCRIPTS / "random_model.py", model, out / "random", "--seed", options.seed)


def accuracy(kind: str, data: Path, out: Path, options: argparse.Namespace) -> float:
    """Fine-tune a model on the labels. Return its accuracy on the test reviews in percent."""
    folder = out / f"{kind}-fine-tuned"
    limit = () if options.limit is None else ("--limit", options.limit)
    run(
        folder / "run.json", "-m", "bertkit", "finetune", "--task", "text-classification", "--model", out / kind,
        "--train", data / "train.tsv", "--eval", data / "test.tsv", "--columns", "text=document,label=label",
        "--out", folder, "--resume", "--max-length", 128, "--epochs", options.epochs, "--batch-size", 32,
        "--lr", options.lr, "--seed", options.seed, *limit,
    )  # fmt: skip
    return 100 * float(json.loads((folder / "run.json").read_text("utf-8"))["scores"]["accuracy"])


def main() -> None:
    """Print the accuracy of both models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20, help="time of pretraining")
    parser.add_argument("--config", default="mini")
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--limit", type=int, help="training examples of fine-tuning")
    parser.add_argument("--epochs", type=float, default=3.0, help="epochs of fine-tuning")
    parser.add_argument("--lr", type=float, default=1e-4, help="learning rate of fine-tuning")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if "BERTKIT_DATA" not in os.environ:
        sys.exit("Set BERTKIT_DATA to the folder of the data.")
    data, out = Path(os.environ["BERTKIT_DATA"]) / "nsmc", options.out
    out.mkdir(parents=True, exist_ok=True)
    pretrain(data / "train.tsv", out, options)
    found = {kind: accuracy(kind, data, out, options) for kind in KINDS}
    scores = json.loads((out / "pretrained" / "run.json").read_text("utf-8"))["scores"]
    print(f"held-out accuracy of masked words after {options.minutes:g} minutes: {100 * scores['mlm_accuracy']:.1f} %")
    print(f"accuracy of reviews: pretrained {found['pretrained']:.2f} %, random weights {found['random']:.2f} %")
    print(f"difference: {found['pretrained'] - found['random']:+.2f} points")


if __name__ == "__main__":
    main()
