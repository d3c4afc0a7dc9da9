"""The loop: its gradients do not depend on how a step is split, and it resumes bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training_cases
import training_examples
import transformers

from bertkit.data.batches import Row, Target
from bertkit.errors import UsageError
from bertkit.heads import IGNORED
from bertkit.training import checkpoints
from bertkit.training.loop import Finetuner, TrainingError
from bertkit.training.objectives import objective_of
from bertkit.training.schedule import freeze, learning_rate_factor, optimizer_of


def weights(tuner: Finetuner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in tuner.model.state_dict().items()}


def train(tuner: Finetuner, steps: int = 10**6) -> list[float]:
    losses = []
    while not tuner.finished and steps:
        losses.append(tuner.step().loss)
        steps -= 1
    return losses


def test_it_learns() -> None:
    losses = train(training_cases.tuner(count=40, epochs=15, lr=3e-3))
    assert losses[-1] < 0.2 < 0.9 < losses[0]


@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize("options", [{"batch_tokens": 20}, {"batch_size": 2, "accumulate": 2}])
def test_a_split_step_is_the_same(options: dict[str, Any], windows: int) -> None:
    whole = training_cases.tuner(epochs=2, windows=windows)
    parts = training_cases.tuner(epochs=2, windows=windows, **options)
    assert train(whole) == pytest.approx(train(parts), abs=1e-5)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], value, atol=1e-5, rtol=0)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize(("total", "warmup"), [(20, 0.1), (17, 5), (9, 0.0)])
def test_schedules(schedule: str, total: int, warmup: float) -> None:
    """The same as transformers' schedules."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    steps = -int(-total * warmup // 1) if warmup < 1 else int(warmup)
    theirs = transformers.get_scheduler(name, optimizer, num_warmup_steps=steps, num_training_steps=total)
    for step in range(total):
        assert learning_rate_factor(step, total, warmup, schedule) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_groups_of_the_optimizer() -> None:
    """Matrices decay; each layer has a lower learning rate than the one above it."""
    model = training_cases.model()
    optimizer = optimizer_of(model, 1.0, 0.1, layer_decay=0.5)
    found = {id(p): (group["weight_decay"], group["lr"]) for group in optimizer.param_groups for p in group["params"]}
    expected = {
        "bert.embeddings.word_embeddings.weight": (0.1, 0.0625),
        "bert.embeddings.LayerNorm.bias": (0.0, 0.0625),
        "bert.encoder.layer.0.attention.self.query.weight": (0.1, 0.125),
        "bert.encoder.layer.2.output.LayerNorm.weight": (0.0, 0.5),
        "bert.pooler.dense.weight": (0.1, 1.0),
        "classifier.bias": (0.0, 1.0),
    }
    assert {name: found[id(model.get_parameter(name))] for name in expected} == expected
    assert len(found) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ("embeddings", ("bert.embeddings.",)),
        ("2", ("bert.embeddings.", "bert.encoder.layer.0.", "bert.encoder.layer.1.")),
        ("encoder", ("bert.embeddings.", "bert.encoder.")),
    ],
)
def test_frozen_parts_do_not_change(parts: str, names: tuple[str, ...]) -> None:
    model = training_cases.model()
    freeze(model, parts)
    objective = training_cases.objective_of("ForSequenceClassification", "single_label_classification")
    tuner = Finetuner(model, training_cases.units(), objective, training_cases.settings(warmup=0.0, epochs=1))
    before = weights(tuner)
    train(tuner)
    for name, value in weights(tuner).items():
        assert torch.equal(value, before[name]) == name.startswith(names), name


def test_unknown_parts() -> None:
    with pytest.raises(
        UsageError,
        match=r"freeze='7' is invalid: type freeze=\"embeddings\", \"encoder\", or a number of layers up to 3",
    ):
        freeze(training_cases.model(), "7")


def test_resuming_is_exact(tmp_path: Path) -> None:
    """With dropout: the same losses and the same bits of all weights."""
    config = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    torch.manual_seed(5)
    whole = training_cases.tuner(epochs=3, config=config)
    torch.manual_seed(5)
    losses = train(whole)
    torch.manual_seed(5)
    first = training_cases.tuner(epochs=3, config=config)
    torch.manual_seed(5)
    before = train(first, 7)
    values, tensors = first.state()
    folder = checkpoints.save(tmp_path, 7, first.model.save_pretrained, values, tensors)
    second = training_cases.tuner(epochs=3, config=config)
    second.model.load_state_dict(type(second.model).from_pretrained(folder).state_dict())
    second.restore(*checkpoints.load(folder))
    assert before + train(second) == losses
    assert all(torch.equal(value, weights(second)[name]) for name, value in weights(whole).items())


def test_resuming_with_other_examples() -> None:
    values, tensors = training_cases.tuner().state()
    with pytest.raises(UsageError, match="The training examples, or options of their order, are not those"):
        training_cases.tuner(count=19).restore(values, tensors)


def test_a_loss_that_is_not_a_number() -> None:
    tuner = training_cases.tuner()
    with torch.no_grad():
        tuner.model.classifier.bias.fill_(float("nan"))
    before = weights(tuner)
    with pytest.raises(
        TrainingError, match=r"The loss of step 1 is nan: type a smaller learning rate, for example lr=0\.0001"
    ):
        tuner.step()
    assert torch.equal(weights(tuner)["bert.pooler.dense.weight"], before["bert.pooler.dense.weight"])


def test_no_examples() -> None:
    objective = training_cases.objective_of("ForSequenceClassification", None)
    with pytest.raises(UsageError, match="There are no examples to train on"):
        Finetuner(training_cases.model(), [], objective, training_cases.settings())


def test_bf16_keeps_fp32_weights() -> None:
    tuner = training_cases.tuner(precision="bf16", epochs=2)
    losses = train(tuner)
    assert {value.dtype for value in weights(tuner).values()} == {torch.float32}
    assert losses != train(training_cases.tuner(epochs=2))


def test_gradient_checkpointing_is_the_same() -> None:
    plain, saving = training_cases.tuner(epochs=1), training_cases.tuner(epochs=1)
    saving.model.gradient_checkpointing_enable()
    assert train(plain) == pytest.approx(train(saving), abs=1e-6)


def test_a_batch_without_labels_has_no_effect() -> None:
    """The mean loss of no labels is not a number."""
    tagged = training_examples.units("ForTokenClassification", 4)
    ids = np.arange(2, 22)
    blank = [Row(ids, np.zeros_like(ids), targets={"labels": Target(np.full(20, IGNORED), "token")})]
    found = []
    for units in (tagged, [*tagged, blank]):
        model, objective = training_cases.model("ForTokenClassification"), objective_of("ForTokenClassification", None)
        tuner = Finetuner(model, units, objective, training_cases.settings(batch_size=5, batch_tokens=20, warmup=0.0))
        found.append((tuner.step()._replace(tokens=0), weights(tuner)))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    for name, value in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], value, atol=1e-6, rtol=0)
