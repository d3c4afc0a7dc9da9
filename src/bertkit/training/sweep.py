"""Several runs of one job, with other seeds or settings, of which the best becomes the result."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.errors import Setting, UsageError, received
from bertkit.training.card import write_card
from bertkit.training.finetune import Finetuned, Note, finetune, settings_of
from bertkit.training.job import LOWER_IS_BETTER, write_json
from bertkit.training.journal import read_json
from bertkit.training.loop import TrainingError
from bertkit.training.options import Settings

PAPER: Mapping[str, Sequence[Any]] = {"batch_size": (16, 32), "lr": (5e-5, 3e-5, 2e-5), "epochs": (2.0, 3.0, 4.0)}
"""The settings that BERT's authors tried for each task of GLUE."""


def finetune_all(
    *, seeds: int | None = None, sweep: bool = False, on_note: Note = lambda sentence: None, **options: Any
) -> Finetuned:
    """Train with each seed and each setting of the sweep, and keep the best model. The arguments are those of `finetune`.

    Each run is in a folder of `out`/all. An interrupted sweep continues with `resume=True`.
    """
    if seeds is None and not sweep:
        return finetune(on_note=on_note, **options)
    settings = _checked(seeds, sweep, options)
    folder = Path(settings.out)
    rows = []
    for name, own in _variants(seeds, sweep, settings.seed):
        run = folder / "all" / name
        if not (settings.resume and (run / "run.json").exists()):
            on_note(f"Run {name}:")
            finetune(on_note=on_note, **{**options, **own, "out": run})
        record = read_json(run / "run.json")
        rows.append({"run": name, **own, **record["scores"], "best": record["best"]["value"]})
    metric = record["best"]["metric"]
    defined = [row for row in rows if row["best"] is not None]
    if not defined:
        raise TrainingError(
            f"{metric} is undefined in all runs, so that none of them is the best: choose another metric."
        )
    sign = -1 if metric in LOWER_IS_BETTER else 1
    best = max(defined, key=lambda row: sign * row["best"])
    values = [row["best"] for row in defined]
    summary = {"mean": float(np.mean(values)), "std": float(np.std(values))}
    _copy(folder / "all" / best["run"], folder)
    write_card(folder)  # with the name of this folder
    write_json(folder / "sweep.json", {"metric": metric, "best": best["run"], **summary, "runs": rows})
    on_note(
        f"{metric} of {len(rows)} runs: {summary['mean']:.4f}, standard deviation {summary['std']:.4f}. Best: {best['run']}."
    )
    record = read_json(folder / "run.json")
    scores = {name: math.nan if value is None else value for name, value in record["scores"].items()}
    return Finetuned(folder, scores, {name: (low, high) for name, (low, high) in record["intervals"].items()})


def _checked(seeds: int | None, sweep: bool, options: Mapping[str, Any]) -> Settings:
    """Return the settings of the runs. Raise UsageError for options with which several runs cannot be made or compared."""
    if seeds is not None and (type(seeds) is not int or seeds < 1):
        raise UsageError(received("seeds", seeds), " is not at least 1: type for example ", Setting("seeds", 3), ".")
    for name in (*PAPER, "max_steps") if sweep else ():
        if options.get(name) is not None:
            raise UsageError(received(name, options[name]), " is what a sweep chooses: leave it out.")
    names = {field.name for field in fields(Settings)}
    given = {name: value for name, value in options.items() if name in names}
    settings, _ = settings_of(options.get("recipe"), {}, given)
    if settings.eval is None:
        raise UsageError("Several runs need examples to compare them on: type ", Setting("eval", "dev.tsv"), ".")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("Several runs need one process: start them without torchrun.")
    has_run = (Path(settings.out) / "config.json").exists()
    if has_run and not (settings.resume or settings.overwrite):
        overwrite = Setting("overwrite", True)
        raise UsageError(f"{settings.out} has an earlier run: type ", overwrite, " to replace it, or another folder.")
    return settings


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
