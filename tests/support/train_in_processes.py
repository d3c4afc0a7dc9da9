"""Train tiny models in the processes of torchrun, and save steps and final weights from the first one.

    python -m torch.distributed.run --nproc-per-node 2 tests/support/train_in_processes.py OUT CASES

CASES is a JSON object: name of a case -> arguments of `train`. Results are in the folder OUT/name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent))

import pretraining_cases
import training_examples

from bertkit import BertConfig
from bertkit.checkpoint import safetensors_file
from bertkit.data.shards import Shards
from bertkit.engines.torch import model_class
from bertkit.models.torch.arrays import array_of
from bertkit.training import checkpoints
from bertkit.training.distillation import Distillation
from bertkit.training.distributed import Processes, load_whole, whole_model
from bertkit.training.loop import Finetuner, Loop
from bertkit.training.objectives import objective_of
from bertkit.training.teacher import Teacher


def tuner(
    kind: str, processes: Processes, count: int, dropout: float = 0.0, taught: bool = False, **options: Any
) -> Finetuner:
    """Return a Finetuner of a tiny model, with the same weights in every process.

    taught: with a wider teacher, which is random, too.
    """
    config = BertConfig(
        vocab_size=training_examples.WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        num_labels=training_examples.LABELS,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    torch.manual_seed(1)
    model = model_class(kind)(config)
    problem = "single_label_classification" if kind == "ForSequenceClassification" else None
    settings = training_examples.settings(lr=1e-3, **options)
    objective = objective_of(kind, problem)
    if taught:
        torch.manual_seed(2)
        teacher = model_class(kind)(BertConfig.from_dict({**config.to_dict(), "hidden_size": 48}))
        matrix = torch.nn.Linear(32, 48, bias=False)
        objective = Distillation(
            objective, Teacher(teacher, kind, ("logits",), (1, 2)), settings, [(1, 1), (2, 2)], matrix
        )
    return Finetuner(model, training_examples.units(kind, count), objective, settings, processes)


def pretraining(kind: str, processes: Processes, shards: str, **options: Any) -> Loop:
    """Return a loop of a tiny model over shards."""
    examples = {"ForPreTraining": "pairs", "ForMaskedLM": "sentences"}[kind]
    return pretraining_cases.loop(Shards(shards), processes=processes, examples=examples, **options)


def resumed(first: Loop, second: Loop, folder: Path) -> Loop:
    """Write a checkpoint of a Finetuner, and restore it in another one."""
    (values, tensors), model = first.state(), whole_model(first.model)
    if first.processes.is_first:
        checkpoints.save(folder, first.position.step, model.save_pretrained, values, tensors)
    first.processes.wait()
    checkpoint = folder / f"checkpoint-{first.position.step}"
    weights = safetensors_file.read(checkpoint / "model.safetensors")
    load_whole(second.model, {name: torch.tensor(array) for name, array in weights.items()})
    second.restore(*checkpoints.load(checkpoint))
    return second


def train(out: Path, processes: Processes, kind: str, stop: int | None = None, **options: Any) -> None:
    """Train, and write steps.json and weights.safetensors into a folder. With `shards`, it is pretraining.

    stop: write a checkpoint after this step, and continue from it with a new model and a new optimizer.
    """
    make = pretraining if "shards" in options else tuner
    loop, steps = make(kind, processes, **options), []
    while not loop.finished:
        steps.append(loop.step())
        if loop.position.step == stop:
            loop = resumed(loop, make(kind, processes, **options), out)
    model = whole_model(loop.model)
    if processes.is_first:
        out.mkdir(parents=True, exist_ok=True)
        (out / "steps.json").write_text(json.dumps([step._asdict() for step in steps]))
        weights = {name: array_of(tensor) for name, tensor in model.state_dict().items()}
        safetensors_file.write(out / "weights.safetensors", weights)


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = Processes.of_environment("cpu")
    for case, arguments in json.loads(sys.argv[2]).items():
        train(Path(sys.argv[1]) / case, here, **arguments)
    here.close()
