"""Time and memory of training steps, compared with the Trainer of transformers.

    python benchmarks/training.py [--widths minilm base] [--tasks classification ner mlm] [--seconds 25] [--rounds 3]
                                  [--lengths data|lognormal] [--batch-size 32] [--threads N] [--json FILE]

The models are slices: 2 layers of MiniLM's width (384) or of BERT-base's (768), a vocabulary of 30,522, random weights, the
default dropout. The lengths are those of real texts in the folder BERTKIT_DATA (classification: SST-2; NER: WNUT-17; MLM:
paragraphs of Wikipedia), or without it lognormal ones, median 40, 95th percentile 200, at most 512. The words are random.

    bertkit           Finetuner with its default settings: packed batches of texts of similar length
    Trainer           transformers' Trainer with its default settings: float32, batches in random order
    Trainer, best     the same with texts of similar length in a batch, fused AdamW, and bf16 if the CPU multiplies it fast

All use the same examples and batch size, and pad, if they do, to the longest text of a batch. Each is a separate process. They
take turns, in alternating order, for at least the given seconds and rounds each; a turn is several steps. Speed is the number of
tokens without padding, divided by the time. A ratio is that of all turns, with a 95 percent bootstrap interval. Memory is the
peak over all steps, with weights, gradients and optimizer, without the memory of the imports.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import os
import random
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from turns import Process, add_options, processor, run_trainer, show, started, take_turns

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose tokenizers.py hides the package of that name

HEADS = {"classification": "ForSequenceClassification", "ner": "ForTokenClassification", "mlm": "ForMaskedLM"}
WIDTHS = {"tiny": (64, 1), "minilm": (384, 12), "base": (768, 12)}  # hidden size and heads
LABELS = {"classification": 2, "ner": 13, "mlm": 2}
IGNORED, LONGEST = -100, 512


# ------------------------------------------------------------------------------------------------------------- the examples


def lengths_of(task: str, source: str, count: int) -> list[int]:
    """Return the numbers of tokens of texts."""
    rng = random.Random(1)
    folder = os.environ.get("BERTKIT_DATA")
    if source == "lognormal" or not folder:
        deviation = math.log(5) / 1.645
        return [min(LONGEST, max(3, round(math.exp(rng.gauss(math.log(40), deviation))))) for _ in range(count)]
    import bertkit

    data = Path(folder)
    tokenizer = bertkit.BertTokenizerFast(vocab_file=data / "vocab" / "bert-base-uncased.txt")
    texts = list(islice(TEXTS[task](data), 40_000))
    chosen = rng.sample(texts, min(count, len(texts)))
    ids = tokenizer(chosen, truncation=True, max_length=LONGEST)["input_ids"]
    return [max(3, len(own)) for own in ids]


def _sst2(data: Path) -> Iterator[str]:
    with open(data / "glue" / "SST-2" / "train.tsv", encoding="utf-8") as file:
        next(file)
        yield from (line.split("\t")[0] for line in file)


def _wnut17(data: Path) -> Iterator[str]:
    words: list[str] = []
    with open(data / "wnut17" / "wnut17train.conll", encoding="utf-8") as file:
        for line in file:
            if line.strip():
                words.append(line.split("\t")[0])
            elif words:
                yield " ".join(words)
                words = []


def _wikipedia(data: Path) -> Iterator[str]:
    with lzma.open(data / "wikipedia" / "en-0.txt.xz", "rt", encoding="utf-8") as file:
        yield from (line.strip() for line in file if line.strip())


TEXTS: dict[str, Callable[[Path], Iterator[str]]] = {"classification": _sst2, "ner": _wnut17, "mlm": _wikipedia}


def examples_of(task: str, lengths: list[int]) -> list[dict[str, Any]]:
    """Return random words with labels: of a text, of each word, or of the 15 percent of words that are masked."""
    rng = np.random.default_rng(0)
    found = []
    for length in lengths:
        ids = rng.integers(1000, 30000, length)
        labels: Any = int(rng.integers(2))
        if task == "ner":
            labels = np.where(rng.random(length) < 0.8, rng.integers(0, LABELS["ner"], length), IGNORED)
        if task == "mlm":
            masked = rng.random(length) < 0.15
            masked[1] = True
            labels = np.where(masked, ids, IGNORED)
            ids = np.where(masked, 103, ids)
        found.append({"input_ids": ids, "labels": labels})
    return found


# ------------------------------------------------------------------------------------------------------------ the contestants


def sizes(task: str, width: str) -> dict[str, int]:
    """Return the fields of a configuration."""
    hidden, heads = WIDTHS[width]
    return {
        "vocab_size": 30522,
        "hidden_size": hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "num_labels": LABELS[task],
    }


def train_ours(options: argparse.Namespace, examples: list[dict[str, Any]]) -> None:
    """Train with bertkit's Finetuner. Its first step has the longest texts, as those of the others have."""
    import bertkit
    from bertkit.data.batches import Row, Target
    from bertkit.training.batches import batches_of
    from bertkit.training.loop import Finetuner
    from bertkit.training.objectives import objective_of
    from bertkit.training.options import Settings

    turns, head = started(), HEADS[options.task]
    grain = "row" if options.task == "classification" else "token"
    units = [
        [Row(one["input_ids"], np.zeros_like(one["input_ids"]), targets={"labels": Target(one["labels"], grain)})]
        for one in examples
    ]
    model = getattr(bertkit, f"Bert{head}")(bertkit.BertConfig(**sizes(options.task, options.width)))
    problem = "single_label_classification" if options.task == "classification" else None
    settings = Settings(task="text-classification", model="", train="", batch_size=options.batch_size, max_steps=10**6)
    tuner = Finetuner(model, units, objective_of(head, problem), settings)
    longest = sorted(units, key=lambda unit: -len(unit[0]))[: options.batch_size]
    turns.wait()
    more = turns.step(tuner.step(batches_of(longest, settings.batch_tokens)).tokens)
    while more:
        more = turns.step(tuner.step().tokens)


def train_theirs(options: argparse.Namespace, examples: list[dict[str, Any]], best: bool) -> None:
    """Train with the Trainer of transformers."""
    import torch
    import transformers

    turns = started()

    def padded(some: list[dict[str, Any]]) -> dict[str, Any]:
        lengths = torch.tensor([len(one["input_ids"]) for one in some])
        shape, labels = (len(some), int(lengths.max())), torch.tensor([0] * len(some))
        ids, of_words = torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORED)
        for row, one in enumerate(some):
            ids[row, : lengths[row]] = torch.from_numpy(one["input_ids"])
            if options.task == "classification":
                labels[row] = one["labels"]
            else:
                of_words[row, : lengths[row]] = torch.from_numpy(one["labels"])
        mask = (torch.arange(shape[1]) < lengths[:, None]).long()
        given = labels if options.task == "classification" else of_words
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids), "labels": given}

    head = HEADS[options.task]
    model = getattr(transformers, f"Bert{head}")(transformers.BertConfig(**sizes(options.task, options.width)))
    run_trainer(model, examples, padded, turns, best, options.batch_size)


def serve(options: argparse.Namespace) -> None:
    """Be a contestant: train, several steps for each line of stdin."""
    import torch

    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    examples = examples_of(options.task, json.loads(sys.stdin.readline()))
    if options.serve == "bertkit":
        train_ours(options, examples)
    else:
        train_theirs(options, examples, best=options.serve.endswith("best"))


# --------------------------------------------------------------------------------------------------------------- the referee


def measure(task: str, width: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of each contestant."""
    lengths = json.dumps(lengths_of(task, options.lengths, options.texts))
    words = [
        "--task",
        task,
        "--width",
        width,
        "--batch-size",
        str(options.batch_size),
        "--threads",
        str(options.threads),
    ]
    processes = {
        name: Process(__file__, ["--serve", name, *words], options.errors, lengths) for name in options.contestants
    }
    return take_turns(processes, options)


def main() -> None:
    """Run the benchmark, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", nargs="+", default=["minilm", "base"], choices=WIDTHS)
    parser.add_argument("--tasks", nargs="+", default=list(HEADS), choices=HEADS)
    parser.add_argument("--texts", type=int, default=1600, help="number of examples")
    parser.add_argument("--lengths", default="data", choices=["data", "lognormal"])
    add_options(parser, seconds=25)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--width", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    found: dict[str, Any] = {"processor": processor(), "figures": {}}
    source = "real texts" if options.lengths == "data" and "BERTKIT_DATA" in os.environ else "lognormal lengths"
    print(f"{found['processor']}; {source}, batches of {options.batch_size}")
    for width in options.widths:
        for task in options.tasks:
            figures = found["figures"][f"{task} {width}"] = measure(task, width, options)
            show(f"{task}, 2 layers of {WIDTHS[width][0]}", figures)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
