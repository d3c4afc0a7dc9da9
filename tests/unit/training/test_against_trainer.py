"""The loop beside the Trainer of transformers: same weights, same batches in the same order, no dropout, float32."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch_models import CLASSES, furthest, ours, theirs
from training_examples import padded, settings, units

from bertkit.data.batches import pack
from bertkit.training.batches import Unit
from bertkit.training.loop import Finetuner
from bertkit.training.objectives import objective_of
from bertkit.training.schedule import optimizer_of

STEPS, SIZE = 50, 4
OPTIONS = {"lr": 1e-3, "warmup": 0.1, "weight_decay": 0.05, "clip": 1.0, "max_steps": STEPS}
PROBLEMS = {"regression": "regression", "multi-label": "multi_label_classification"}
# Biases that shift all numbers of a softmax change nothing. Their gradient is a rounding error, which Adam makes large.
SHIFT = ("key.bias",)
SHIFTS = {
    "ForMultipleChoice": (*SHIFT, "classifier.bias"),
    "ForQuestionAnswering": (*SHIFT, "qa_outputs.bias", "layer.1.output.LayerNorm.bias"),
}
KINDS = (
    "ForSequenceClassification",
    "ForSequenceClassification regression",
    "ForSequenceClassification multi-label",
    "ForTokenClassification",
    "ForMultipleChoice",
    "ForQuestionAnswering",
    "ForMaskedLM",
)


class Recorded(transformers.Trainer):
    """Keeps the loss of each batch. Their default does not divide the losses of these classes by the number of batches."""

    loss_is_scaled_for_ga = False

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
        loss = super().training_step(*arguments, **named)
        self.losses = [*getattr(self, "losses", []), float(loss)]
        return loss


def configured(kind: str) -> dict[str, Any]:
    head, _, variant = kind.partition(" ")
    problem = PROBLEMS.get(variant, "single_label_classification" if head == "ForSequenceClassification" else None)
    own = {"num_labels": 1} if variant == "regression" else {}
    return {"num_hidden_layers": 2, "problem_type": problem, **own}


def trained_by_them(kind: str, examples: list[Unit], accumulate: int, folder: Path) -> tuple[list[float], Any]:
    """Return the loss of each step, and the model."""
    model = copy.deepcopy(theirs(f"Bert{kind.partition(' ')[0]}", **configured(kind)))
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=SIZE,
        gradient_accumulation_steps=accumulate,
        learning_rate=OPTIONS["lr"],
        warmup_steps=OPTIONS["warmup"],
        lr_scheduler_type="linear",
        weight_decay=OPTIONS["weight_decay"],
        max_grad_norm=OPTIONS["clip"],
        optim="adamw_torch",
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = Recorded(model, arguments, data_collator=padded, train_dataset=examples)
    trainer.train()
    losses = torch.tensor(trainer.losses).view(STEPS, accumulate).sum(1)
    return losses.tolist(), model


def trained_by_us(kind: str, examples: list[Unit], accumulate: int, **options: Any) -> tuple[list[float], Any]:
    """Return the loss of each step, and the model."""
    head = kind.partition(" ")[0]
    model = ours(f"Bert{head}", **configured(kind))
    objective = objective_of(head, configured(kind)["problem_type"])
    tuner = Finetuner(model, examples, objective, settings(**OPTIONS, **options))
    rows = [[row for unit in examples[at : at + SIZE] for row in unit] for at in range(0, len(examples), SIZE)]
    steps = [rows[at : at + accumulate] for at in range(0, len(rows), accumulate)]
    losses = [tuner.step([pack(some) for some in steps[number % len(steps)]]).loss for number in range(STEPS)]
    return losses, model


def compare(kind: str, examples: list[Unit], folder: Path, accumulate: int = 1, **options: Any) -> None:
    """Both losses fall, and losses and final weights are equal."""
    expected, reference = trained_by_them(kind, examples, accumulate, folder)
    losses, model = trained_by_us(kind, examples, accumulate, **options)
    assert sum(expected[-5:]) < 0.9 * sum(expected[:5]), (expected[:5], expected[-5:])
    distance = max(abs(a - b) for a, b in zip(losses, expected, strict=True))
    print(f"{kind}: losses differ by {distance:.1e}")
    assert distance < 1e-5
    found = model.state_dict()
    for name, weight in reference.state_dict().items():
        if not name.endswith(SHIFTS.get(kind, SHIFT)):
            assert furthest(found[name], weight) < 1e-5, name


def lengths_of(kind: str) -> tuple[int, int]:
    return (12, 12) if kind == "ForQuestionAnswering" else (3, 16)  # their softmax of questions includes padding


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_weights_are_those_of_their_trainer(kind: str, tmp_path: Path) -> None:
    compare(kind, units(kind, 5 * SIZE, lengths_of(kind)), tmp_path)


@pytest.mark.parametrize("kind", ["ForSequenceClassification", "ForMultipleChoice"])
def test_steps_of_several_batches_are_theirs(kind: str, tmp_path: Path) -> None:
    compare(kind, units(kind, 6 * SIZE), tmp_path, accumulate=2)


def test_layer_decay_of_one_is_no_layer_decay(tmp_path: Path) -> None:
    kind = "ForTokenClassification"
    compare(kind, units(kind, 5 * SIZE), tmp_path, layer_decay=1.0)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_same_parameters_decay(name: str, tmp_path: Path) -> None:
    """All matrices, those of embeddings too, and no bias and no norm."""
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
    trainer = transformers.Trainer(theirs(name), arguments)
    expected = set(trainer.get_decay_parameter_names(trainer.model))
    model = ours(name)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = optimizer_of(model, lr=1e-3, weight_decay=0.1).param_groups
    decaying = {names[parameter] for group in groups if group["weight_decay"] for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(names)
    assert decaying == expected & set(names.values())
    assert expected - decaying <= {"cls.predictions.decoder.weight"}  # the word embeddings
