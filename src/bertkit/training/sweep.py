"""Several runs of one job, with other seeds or settings, of which the best becomes the result."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.errors import Setting, UsageError, received
from bertkit.training import checkpoints
from bertkit.training.finetune import Finetuned, Note, finetune
from bertkit.training.folder import check_folder
from bertkit.training.job import LOWER_IS_BETTER, write_json
from bertkit.training.journal import read_json

PAPER: Mapping[str, Sequence[Any]] = {"batch_size": (16, 32), "lr": (5e-5, 3e-5, 2e-5), "epochs": (2.0, 3.0, 4.0)}
"""The settings that BERT's authors tried for each task of GLUE."""


def finetune_all(
    *, seeds: int | None = None, sweep: bool = False, on_note: Note = lambda sentence: None, **options: Any
) -> Finetuned:
    """Train with each seed and each setting of the sweep, and keep the best model. The arguments are those of `finetune`.

    Each run is in a folder of `out`/runs-all. An interrupted sweep continues with `resume=True`.
    """
    if seeds is None and not sweep:
        return finetune(on_note=on_note, **options)
    if options.get("eval") is None and options.get("recipe") is None:
        raise UsageError("Several runs need examples to compare them on: type ", Setting("eval", "dev.tsv"), ".")
    if not options.get("out"):
        raise UsageError("finetune needs out: type ", Setting("out", "my-model"), ".")
    if seeds is not None and seeds < 1:
        raise UsageError(received("seeds", seeds), " is not at least 1: type for example ", Setting("seeds", 3), ".")
    folder = Path(options["out"])
    check_folder(folder, options.get("resume", False), options.get("overwrite", False))
    rows = []
    for name, own in _variants(seeds, sweep, options.get("seed", 0)):
        run = folder / "all" / name
        if not (options.get("resume") and (run / "run.json").exists()):
            on_note(f"Run {name}:")
            finetune(on_note=on_note, **{**options, **own, "out": run})
        record = read_json(run / "run.json")
        rows.append({"run": name, **own, **record["scores"], "best": record["best"]["value"]})  # null: not a number
    metric = record["best"]["metric"]
    sign = -1 if metric in LOWER_IS_BETTER else 1
    best = max(rows, key=lambda row: -math.inf if row["best"] is None else sign * row["best"])
    values = [row["best"] for row in rows if row["best"] is not None] or [math.nan]
    summary = {"mean": float(np.mean(values)), "std": float(np.std(values))}
    write_json(folder / "sweep.json", {"metric": metric, "best": best["run"], **summary, "runs": rows})
    on_note(
        f"{metric} of {len(rows)} runs: {summary['mean']:.4f}, standard deviation {summary['std']:.4f}. Best: {best['run']}."
    )
    checkpoints.remove_old(folder, 0, None)  # of a single run that this one replaces
    _copy(folder / "all" / best["run"], folder)
    record = read_json(folder / "run.json")
    return Finetuned(folder, record["scores"], {name: (low, high) for name, (low, high) in record["intervals"].items()})


def _variants(seeds: int | None, sweep: bool, first: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the settings of each run."""
    settings = [dict(zip(PAPER, values, strict=True)) for values in product(*PAPER.values())] if sweep else [{}]
    for own in settings:
        for seed in range(first, first + (seeds or 1)):
            parts = [f"{name}-{value:g}" for name, value in own.items()]
            yield "_".join([*parts, f"seed-{seed}"]), {**own, "seed": seed}


def _copy(source: Path, target: Path) -> None:
    """Copy a run without its checkpoints."""
    for path in source.iterdir():
        if path.is_dir() and not path.name.startswith("checkpoint-"):
            shutil.copytree(path, target / path.name, dirs_exist_ok=True)
        elif path.is_file():
            shutil.copy2(path, target / path.name)
