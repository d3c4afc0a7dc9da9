"""The speed of tokenizing, compared with transformers' fast and slow tokenizers, the `tokenizers` library and TensorFlow Text.

    python benchmarks/tokenizers.py [--rounds 5] [--sentences 50000] [--transformers4 PYTHON] [--json FILE]

The texts are English Wikipedia, Korean film reviews, and Chinese clauses of the Universal Declaration of Human Rights in random
order, from the data folder (BERTKIT_DATA, or ../shared/data). All run in turns in one process, and a figure is the median.
bertkit uses one thread, and so does the `tokenizers` library unless --threads is passed.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import re
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where this file hides the package of the same name

DATA = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[2] / "shared" / "data"))


def english(count: int) -> list[str]:
    """Sentences of Wikipedia."""
    found: list[str] = []
    with lzma.open(DATA / "wikipedia" / "en-1.txt.xz", "rt", encoding="utf-8") as file:
        for line in file:
            found += [part for part in re.split(r"(?<=[.!?]) +", line.strip()) if 20 < len(part) < 400]
            if len(found) >= count:
                return found[:count]
    return found


def korean(count: int) -> list[str]:
    """Film reviews."""
    lines = (DATA / "nsmc" / "train.tsv").read_text(encoding="utf-8").splitlines()[1 : count + 1]
    return [line.split("\t")[1] for line in lines if line.count("\t") == 2]


def chinese(count: int) -> list[str]:
    """Sentences made of random clauses of the Universal Declaration of Human Rights."""
    with zipfile.ZipFile(DATA / "udhr" / "udhr2.zip") as archive:
        name = next(name for name in archive.namelist() if re.search(r"(^|/|_)(chn|cmn_hans|cmn)\.txt$", name))
        text = archive.read(name).decode("utf-8")
    clauses = [clause for clause in re.split(r"[。，；、\s]+", text) if len(clause) > 3]
    rng = random.Random(0)
    return ["，".join(rng.sample(clauses, 4)) + "。" for _ in range(count)]


def new_words(count: int) -> list[str]:
    """Texts of words that never repeat, made of random syllables."""
    rng = random.Random(0)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
    return [" ".join("".join(rng.choices(syllables, k=4)) for _ in range(20)) for _ in range(count)]


def median_seconds(rounds: int, jobs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The median time of each job. The jobs run in turns, after a round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(rounds + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if round_:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def report(title: str, tokens: int, seconds: dict[str, float], target: dict[str, float]) -> dict[str, Any]:
    """Print tokens per second, and how many times slower each peer is than the first row."""
    ours = next(iter(seconds.values()))
    print(f"\n{title}: {tokens:,} tokens")
    for name, time_ in seconds.items():
        wanted = f"   target {target[name]:g}" if name in target else ""
        print(f"  {name:<58}{tokens / time_ / 1e6:>8.3f} M/s{time_ / ours:>9.1f}{wanted}")
    return {"tokens": tokens, "seconds": seconds}


SLOW_OF_VERSION_4 = """
import json, sys, time
from transformers import BertTokenizer
tokenizer = BertTokenizer(sys.argv[1])
texts = json.load(sys.stdin)
tokenizer(texts[:20])
start = time.perf_counter()
tokenizer(texts, padding=True, return_tensors="np")
print(time.perf_counter() - start)
"""
TENSORFLOW_TEXT = """
import json, sys, time
import tensorflow_text
vocabulary = open(sys.argv[1], encoding="utf-8").read().splitlines()
tokenizer = tensorflow_text.FastBertTokenizer(vocabulary, lower_case_nfd_strip_accents=True)
texts = json.load(sys.stdin)
tokenizer.tokenize(texts[:20])
start = time.perf_counter()
tokenizer.tokenize(texts)
print(time.perf_counter() - start)
"""


def seconds_elsewhere(python: str, script: str, texts: list[str], vocabulary: Path) -> float | None:
    """The seconds that a script measured in another environment. If it fails there, prints a message and returns None."""
    command = [python, "-c", script, str(vocabulary)]
    elsewhere = Path(__file__).parents[1]  # not this folder, where this file hides the package of the same name
    result = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, cwd=elsewhere)
    if result.returncode:
        print(f"{python} could not run a peer: {result.stderr.strip().splitlines()[-1]}")
        return None
    return float(result.stdout.split()[-1])


def calls(
    rounds: int,
    language: str,
    texts: list[str],
    ours: Any,
    theirs: Any,
    factor: float,
    version4: str | None,
    vocabulary: Path,
) -> dict[str, Any]:
    """Compare whole batches as padded arrays."""
    title = f"{language}, {len(texts):,} texts, tokenizer(texts, padding=True, return_tensors='np')"
    jobs = {
        "bertkit": lambda: ours(texts, padding=True, return_tensors="np"),
        "transformers fast": lambda: theirs(texts, padding=True, return_tensors="np"),
    }
    seconds = median_seconds(rounds, jobs)
    if version4:
        few = texts[::100]
        if (slow := seconds_elsewhere(version4, SLOW_OF_VERSION_4, few, vocabulary)) is not None:
            seconds["transformers 4.57.6 slow"] = slow * len(texts) / len(few)
        if (graph := seconds_elsewhere(version4, TENSORFLOW_TEXT, texts, vocabulary)) is not None:
            seconds["TensorFlow Text, ragged ids without [CLS] and [SEP]"] = graph
    target = {"transformers fast": factor, "transformers 4.57.6 slow": 20}
    return {title: report(title, len(ours.engine.encode(texts).ids), seconds, target)}


def engines(rounds: int, texts: list[str], ours: Any, theirs: Any, vocabulary: Path) -> dict[str, Any]:
    """Compare packed ids and offsets, one short sentence, and words that the cache does not have."""
    import bertkit

    backend = theirs.backend_tokenizer
    short, cold = "The quick brown fox jumps over the lazy dog.", new_words(2_000)
    fresh = lambda: bertkit.BertTokenizerFast(vocab_file=vocabulary).engine  # noqa: E731
    jobs: dict[str, tuple[int, dict[str, Callable[[], Any]], float]] = {
        "packed ids": (
            len(ours.engine.encode(texts).ids),
            {
                "bertkit": lambda: ours.engine.encode(texts),
                "tokenizers encode_batch_fast": lambda: backend.encode_batch_fast(texts, add_special_tokens=False),
            },
            4,
        ),
        "with offsets": (
            len(ours.engine.encode(texts).ids),
            {
                "bertkit": lambda: ours.engine.locate(texts),
                "tokenizers encode_batch": lambda: backend.encode_batch(texts, add_special_tokens=False),
            },
            2,
        ),
        "one short sentence, a thousand times": (
            12_000,
            {
                "bertkit": lambda: [ours(short) for _ in range(1000)],
                "transformers fast": lambda: [theirs(short) for _ in range(1000)],
            },
            5,
        ),
        "every word new, the tokenizer made anew": (
            len(ours.engine.encode(cold).ids),
            {
                "bertkit": lambda: fresh().encode(cold),
                "tokenizers encode_batch_fast, not made anew": lambda: backend.encode_batch_fast(
                    cold, add_special_tokens=False
                ),
                "of bertkit's, making the tokenizer": lambda: fresh().ids("a"),
            },
            1,
        ),
    }
    return {
        title: report(title, tokens, median_seconds(rounds, pair), {list(pair)[1]: target})
        for title, (tokens, pair, target) in jobs.items()
    }


def main() -> None:
    """Run the benchmark, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=1, help="threads of the `tokenizers` library")
    parser.add_argument("--transformers4", metavar="PYTHON", help="Python of an environment with transformers 4.57.6")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if options.threads > 1 else "false"
    if not DATA.is_dir():
        sys.exit(f"There is no data at {DATA}: set BERTKIT_DATA to the folder.")

    import transformers

    import bertkit

    figures = {}
    files = {
        name: next((DATA / "vocab").glob(f"*{name}*")) for name in ("base-uncased", "multilingual-cased", "chinese")
    }
    for language, (texts, vocabulary, lower, factor) in {
        "English": (english(options.sentences), files["base-uncased"], True, 8),
        "Korean": (korean(options.sentences), files["multilingual-cased"], False, 4),
        "Chinese": (chinese(options.sentences), files["chinese"], True, 4),
    }.items():
        ours = bertkit.BertTokenizerFast(vocab_file=vocabulary, do_lower_case=lower)
        theirs = transformers.BertTokenizerFast(vocab=str(vocabulary), do_lower_case=lower)
        version4 = options.transformers4 if language == "English" else None
        figures |= calls(options.rounds, language, texts, ours, theirs, factor, version4, vocabulary)
        if language == "English":
            figures |= engines(options.rounds, texts, ours, theirs, vocabulary)
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
