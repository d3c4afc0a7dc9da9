"""Time and memory of steps of pretraining, compared with the Trainer of transformers.

    python benchmarks/pretraining.py [--models base mini] [--seconds 20] [--rounds 3] [--megabytes 1.5] [--batch-size 32]
                                     [--threads N] [--json FILE]

The models have random weights, a vocabulary of 30,522, the default dropout, and the heads for masked words and the next sentence:
2 layers of BERT-base's width, and all of BERT-mini (4 layers of 256). Pairs of texts have 128 tokens, and a tenth of them a
random length. They are of Wikipedia in the folder BERTKIT_DATA, or else of random words. 15 percent of the tokens are predicted.

    bertkit           `bertkit pretrain` with its default settings: pairs and masks are made from shards in each step
    Trainer           transformers' BertForPreTraining and Trainer with its default settings: float32, batches in random order.
                      The pairs are made before, and DataCollatorForLanguageModeling masks and pads them
    Trainer, best     the same with texts of similar length in a batch, fused AdamW, and bf16 if the CPU multiplies it fast

Single tokens are masked on all sides, as the collator's masks of whole words choose more than 15 percent. Each contestant is a
separate process. They take turns, in alternating order, for at least the given seconds and rounds each; a turn is several steps.
Speed is the number of tokens without padding, divided by the time. A ratio is that of all turns, with a 95 percent bootstrap
interval. Memory is the peak over all steps, with weights, gradients and optimizer, without the memory of the imports.

Utilization is the operations per second of bertkit, counted in its own products of matrices, divided by the limit: the median of
products of large matrices in the same precision, measured in another process before each round.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from turns import Process, add_options, processor, run_trainer, show, started, take_turns

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose tokenizers.py hides the package of that name

SIZES = {  # the fields of a configuration
    "base": {"hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 3072},
    "mini": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024},
}
TITLES = {"base": "2 layers of 768 (BERT-base)", "mini": "4 layers of 256 (BERT-mini)"}
WORDS, LENGTH, LIMIT = 30522, 128, "limit"


# ------------------------------------------------------------------------------------------------------------- the examples


def write_shards(out: Path, characters: int) -> Path:
    """Write shards of real or random texts. Return their folder."""
    import bertkit
    from bertkit.training.prepare import prepare

    folder = os.environ.get("BERTKIT_DATA")
    lines = _wikipedia(Path(folder)) if folder else _random_lines()
    written = 0
    with (out / "texts.txt").open("w", encoding="utf-8") as file:
        while written < characters:
            written += file.write(next(lines))
    if folder:
        tokenizer = bertkit.BertTokenizerFast(vocab_file=Path(folder) / "vocab" / "bert-base-uncased.txt")
    else:
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{n}" for n in range(WORDS - 6)), "."]
        tokenizer = bertkit.BertTokenizerFast(vocab={token: number for number, token in enumerate(tokens)})
    return prepare([out / "texts.txt"], tokenizer, out / "shards", processes=1).folder


def _wikipedia(data: Path) -> Iterator[str]:
    with lzma.open(data / "wikipedia" / "en-0.txt.xz", "rt", encoding="utf-8") as file:
        yield from file


def _random_lines() -> Iterator[str]:
    """Yield lines of one sentence, and empty lines between documents of 100 sentences."""
    rng = np.random.default_rng(0)
    while True:
        for _ in range(100):
            words = rng.integers(0, WORDS - 6, rng.integers(5, 40))
            yield " ".join(f"word{n}" for n in words) + ".\n"
        yield "\n"


def pairs_of(shards: Path) -> list[dict[str, Any]]:
    """Return the pairs of the first epoch without masks, as a data set of transformers."""
    import bertkit
    from bertkit.data.pretraining import Masking

    found = []
    opened = bertkit.Shards(shards)
    for row in bertkit.SentencePairs(opened, LENGTH, masking=Masking("tokens")).epoch(0):
        ids = np.array(row.input_ids)
        ids[row.positions] = row.targets["labels"].values
        found.append({
            "input_ids": ids.tolist(),
            "token_type_ids": row.token_type_ids.tolist(),
            "special_tokens_mask": np.isin(ids, opened.special.never).astype(int).tolist(),
            "next_sentence_label": int(row.targets["next_sentence_label"].values),
        })  # fmt: skip
    return found


# ------------------------------------------------------------------------------------------------------------ the contestants


def settings_of(options: argparse.Namespace) -> Any:
    """Return the settings of our contestant."""
    from bertkit.training.pretraining.options import PretrainingSettings

    return PretrainingSettings(
        data=str(options.shards), config=options.model, masking="tokens", max_length=LENGTH,
        batch_size=options.batch_size, max_steps=10**6,
    )  # fmt: skip


def train_ours(options: argparse.Namespace) -> None:
    """Train with the loop of `bertkit pretrain`."""
    import bertkit
    from bertkit.training.loop import Loop
    from bertkit.training.pretraining.objective import MaskedWords, NextSentence, Pretraining
    from bertkit.training.pretraining.source import ShardSource

    turns, settings = started(), settings_of(options)
    model = bertkit.BertForPreTraining(bertkit.BertConfig(vocab_size=WORDS, **SIZES[options.model]))
    objective = Pretraining(model.config, [MaskedWords(), NextSentence()])
    loop = Loop(model, ShardSource(bertkit.Shards(options.shards), settings), objective, settings)
    more = turns.wait()
    while more:
        step = loop.step()
        more = turns.step(step.tokens, step.flops)


def train_theirs(options: argparse.Namespace, best: bool) -> None:
    """Train with the Trainer of transformers."""
    import transformers

    examples = pairs_of(options.shards)
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.shards / "tokenizer")
    collate = transformers.DataCollatorForLanguageModeling(tokenizer)
    turns = started()
    model = transformers.BertForPreTraining(transformers.BertConfig(vocab_size=WORDS, **SIZES[options.model]))
    run_trainer(model, examples, collate, turns, best, options.batch_size)


def measure_limit(options: argparse.Namespace) -> None:
    """Measure products of large matrices in the precision of our contestant, once for each line of stdin."""
    import torch

    from bertkit.engines.processor import multiplies_bf16
    from bertkit.training.pretraining.flops import matrix_limit

    dtype = torch.bfloat16 if multiplies_bf16() else torch.float32
    while int(sys.stdin.readline() or 0):
        print(json.dumps([matrix_limit(torch.device("cpu"), dtype)]), flush=True)


def serve(options: argparse.Namespace) -> None:
    """Be a contestant: train, several steps for each line of stdin."""
    import torch

    torch.manual_seed(0)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.serve == LIMIT:
        measure_limit(options)
    elif options.serve == "bertkit":
        train_ours(options)
    else:
        train_theirs(options, best=options.serve.endswith("best"))


# --------------------------------------------------------------------------------------------------------------- the referee


def measure(model: str, shards: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of each contestant, the limit, and the share of it that ours reaches."""
    words = ["--shards", str(shards), "--model", model, "--batch-size", str(options.batch_size)]
    words += ["--threads", str(options.threads)]
    start = partial(Process, __file__, errors=options.errors)
    limit, limits = start(["--serve", LIMIT, *words]), []
    processes = {name: start(["--serve", name, *words]) for name in options.contestants}
    figures = take_turns(processes, options, before=lambda: limits.append(limit.turn(1)[0]))
    limit.close()
    found: dict[str, Any] = {"contestants": figures, "limit": statistics.median(limits)}
    if "bertkit" in figures:
        found["utilization"] = figures["bertkit"]["flops_per_second"] / found["limit"]
    return found


def main() -> None:
    """Run the benchmark, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--megabytes", type=float, default=1.5, help="text from which the pairs are made")
    add_options(parser, seconds=20)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--shards", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    found: dict[str, Any] = {"processor": processor(), "figures": {}}
    source = "real texts" if "BERTKIT_DATA" in os.environ else "random words"
    print(f"{found['processor']}; {source}, batches of {options.batch_size}")
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(Path(folder), int(options.megabytes * 1e6))
        for model in options.models:
            one = found["figures"][model] = measure(model, shards, options)
            show(TITLES[model], one["contestants"])
            if "utilization" in one:
                print(
                    f"  utilization of bertkit: {one['utilization']:.2f} of {one['limit'] / 1e9:,.0f} GFLOP/s",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
