"""Objectives: the losses of PyTorch with weights, smoothing and windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import training_cases
from torch import Tensor

from bertkit.data.batches import Batch, Group, Row, Target, pack
from bertkit.errors import UsageError
from bertkit.training.objectives import Merge, Objective, objective_of
from bertkit.training.weights import class_weights, pos_weights

NAMES = {0: "a", 1: "b", 2: "c"}


def loss(objective: Objective, head: str, batch: Batch, **config: Any) -> tuple[float, Tensor]:
    """Return the loss, and the logits of the model."""
    model = training_cases.model(head, **config).eval()
    outputs = objective.outputs(model, batch)
    return float(objective.loss(outputs, batch).detach()), outputs.logits.detach()


def test_weights_and_smoothing() -> None:
    weights = torch.tensor([1.0, 3.0, 0.5])
    objective = objective_of("ForSequenceClassification", None, class_weights=weights, label_smoothing=0.1)
    batch = pack([row for (row,) in training_cases.units(8)])
    labels = torch.from_numpy(batch.targets["labels"].values)
    found, logits = loss(objective, "ForSequenceClassification", batch)
    assert found == pytest.approx(float(F.cross_entropy(logits, labels, weights, label_smoothing=0.1)), abs=1e-6)
    assert objective.weight(batch) == pytest.approx(float(weights[labels].sum()))


def test_tokens_without_labels_do_not_count() -> None:
    labels = np.array([-100, 1, 2, -100])
    row = Row(np.array([2, 7, 8, 3]), np.zeros(4, int), targets={"labels": Target(labels, "token")})
    objective = objective_of("ForTokenClassification", None)
    batch = pack([row, row])
    found, logits = loss(objective, "ForTokenClassification", batch)
    assert objective.weight(batch) == 4
    expected = F.cross_entropy(logits, torch.from_numpy(np.concatenate([labels, labels])))
    assert found == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification", "regression"])
@pytest.mark.parametrize("merge", [None, "mean", "max"])
def test_windows_of_a_text_are_merged(problem_type: str, merge: Merge | None) -> None:
    """By default the mean of their logits, for several labels the largest; a text counts once with all its windows."""
    several = problem_type == "multi_label_classification"
    outputs = 1 if problem_type == "regression" else 3
    labels = (
        [np.array([1, 0, 1], np.float32), np.array([0, 0, 1], np.float32)] if several else [np.array(0), np.array(2)]
    )
    labels = [np.array(0.5, np.float32), np.array(-1, np.float32)] if problem_type == "regression" else labels
    rows = []
    for label, windows in zip(labels, (3, 1), strict=True):
        group = Group(windows)
        for number in range(windows):
            ids = np.array([2, 7 + number, 3])
            rows.append(Row(ids, np.zeros(3, int), targets={"labels": Target(label, "row")}, group=group))
    batch = pack(rows)
    objective = objective_of("ForSequenceClassification", problem_type, merge=merge)
    found, logits = loss(objective, "ForSequenceClassification", batch, num_labels=outputs)
    first = logits[:3].amax(0) if (merge or ("max" if several else "mean")) == "max" else logits[:3].mean(0)
    merged, wanted = torch.stack([first, logits[3]]), torch.from_numpy(np.stack(labels))
    if several:
        expected = F.binary_cross_entropy_with_logits(merged, wanted)
    elif problem_type == "regression":
        expected = F.mse_loss(merged[:, 0], wanted)
    else:
        expected = F.cross_entropy(merged, wanted)
    assert found == pytest.approx(float(expected), abs=1e-6)
    assert objective.weight(batch) == 2


def test_several_labels() -> None:
    flags = np.array([1, 0, 1], np.float32)
    row = Row(np.array([2, 7, 3]), np.zeros(3, int), targets={"labels": Target(flags, "row")})
    weight = torch.tensor([2.0, 1.0, 5.0])
    objective = objective_of(
        "ForSequenceClassification", "multi_label_classification", pos_weight=weight, label_smoothing=0.2
    )
    found, logits = loss(objective, "ForSequenceClassification", pack([row, row]))
    wanted = torch.tensor([[0.9, 0.1, 0.9]] * 2)
    expected = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight)
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_choices() -> None:
    group = Group(3)
    target = {"labels": Target(np.array(2), "group")}
    rows = [Row(np.array([2, 7 + n, 3]), np.zeros(3, int), targets=target, group=group) for n in range(3)]
    found, logits = loss(objective_of("ForMultipleChoice", None), "ForMultipleChoice", pack(rows))
    assert list(logits.shape) == [1, 3]
    assert found == pytest.approx(float(F.cross_entropy(logits, torch.tensor([2]))), abs=1e-6)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    units = training_cases.units(30)
    labels = np.array([int(unit[0].targets["labels"].values) for unit in units])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 2]), y=labels)
    found = class_weights("balanced", NAMES, units)
    assert found is not None
    assert found.tolist() == pytest.approx(expected.tolist())


def test_windows_of_a_text_count_once_in_balanced_weights() -> None:
    row = [Row(np.array([2, 3]), np.zeros(2, int), targets={"labels": Target(np.array(n), "row")}) for n in range(3)]
    once, windows = [[row[0]], [row[1]], [row[2]]], [[row[0]] * 5, [row[1]], [row[2]] * 2]
    assert torch.equal(class_weights("balanced", NAMES, windows), class_weights("balanced", NAMES, once))  # type: ignore[arg-type]


def test_a_batch_whose_labels_have_no_weight() -> None:
    """Its loss and its gradients are 0, and not nan."""
    objective = objective_of("ForSequenceClassification", None, class_weights=torch.tensor([0.0, 1.0, 1.0]))
    row = Row(np.array([2, 7, 3]), np.zeros(3, int), targets={"labels": Target(np.array(0), "row")})
    model = training_cases.model("ForSequenceClassification")
    found = objective(model, pack([row]))
    found.backward()  # type: ignore[no-untyped-call]
    assert found == 0
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


@pytest.mark.parametrize("weight", [-3.0, "nan", "inf", "a=-1"])
def test_invalid_weights_of_positive_labels(weight: Any) -> None:
    with pytest.raises(UsageError, match="pos_weight=.* is invalid"):
        pos_weights(weight, NAMES, [])


def test_given_weights() -> None:
    numbers = class_weights({0: 2.0}, {0: "0", 1: "1"}, [])  # type: ignore[dict-item]
    assert numbers is not None
    assert numbers.tolist() == [2.0, 1.0]
    found = class_weights("b=2.5, c=0", NAMES, [])
    assert found is not None
    assert found.tolist() == [1.0, 2.5, 0.0]
    assert class_weights(None, NAMES, []) is None
    positive = pos_weights("3", NAMES, [])
    assert positive is not None
    assert positive.tolist() == [3.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("heavy", 'class_weights=\'heavy\' is invalid: type "balanced", or for example class_weights="a=2".'),
        ("b=x", "is invalid"),
        ("b=-1", "is invalid"),
        ("b=nan", "is invalid"),
        ("d=1", "class_weights names 'd', which is not a label: a, b, c."),
    ],
)
def test_invalid_weights(option: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        class_weights(option, NAMES, [])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("head", "kind", "option"),
    [
        ("ForSequenceClassification", "regression", {"label_smoothing": 0.1}),
        ("ForSequenceClassification", "multi_label_classification", {"class_weights": torch.ones(3)}),
        ("ForSequenceClassification", "single_label_classification", {"pos_weight": torch.ones(3)}),
        ("ForQuestionAnswering", None, {"label_smoothing": 0.1}),
        ("ForMultipleChoice", None, {"class_weights": torch.ones(3)}),
    ],
)
def test_options_without_meaning(head: str, kind: str | None, option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="has no meaning in the loss of"):
        objective_of(head, kind, **option)
