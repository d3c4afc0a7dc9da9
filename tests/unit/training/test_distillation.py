"""Distillation: its loss and gradients beside plain PyTorch, its cache, exact resume, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_models
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import training_cases
from torch import Tensor

from bertkit import finetune
from bertkit.data.batches import Group, Row, Target, pack
from bertkit.engines.torch import model_class
from bertkit.errors import UsageError
from bertkit.training import teacher as teaching
from bertkit.training.batches import Unit, units_of
from bertkit.training.distillation import Distillation, layer_pairs
from bertkit.training.distributed import Processes
from bertkit.training.loop import Finetuner
from bertkit.training.objectives import Objective, objective_of
from bertkit.training.teacher import Teacher, with_cache

PLAIN = "ForSequenceClassification"
TEXTS = [
    {"text": f"{word} {tail}", "label": label}
    for word, label in (("the", "bad"), ("a", "good"), ("of", "fine"))
    for tail in ("[MASK] it", "it is a", "the the of", "is", "of [MASK] a the")
]


def rows_of(head: str, problem: str | None) -> list[list[Row]]:
    """Return the rows of six examples with labels for a head: two windows or choices each, or one row."""
    rng, found = np.random.default_rng(4), []
    grouped = head in (PLAIN, "ForMultipleChoice")
    for number in range(6):
        group = Group(2)
        own = []
        for _ in range(2 if grouped else 1):
            ids = np.concatenate([[2], rng.integers(5, 50, rng.integers(2, 9)), [3]])
            labels = {
                "ForTokenClassification": Target(rng.choice([-100, 0, 1, 2], len(ids)), "token"),
                "ForMultipleChoice": Target(np.array(number % 2), "group"),
                PLAIN: Target(np.array(number % 3), "row"),
            }
            targets = {"labels": labels[head]} if head in labels else {}
            if problem == "regression":
                targets = {"labels": Target(np.array(number / 3, np.float32), "row")}
            elif problem == "multi_label_classification":
                targets = {"labels": Target(np.eye(3, dtype=np.float32)[number % 3], "row")}
            elif head == "ForQuestionAnswering":
                targets = {f"{side}_positions": Target(np.array(1), "row") for side in ("start", "end")}
            own.append(Row(ids, np.zeros_like(ids), targets=targets, group=group if grouped else None))
        found.append(own)
    return found


def models(head: str, **student: Any) -> tuple[Any, Any]:
    """Return a student and a teacher of other weights."""
    labels = {"num_labels": student.pop("num_labels")} if "num_labels" in student else {}
    small = training_cases.model(head, num_hidden_layers=2, **labels, **student).eval()
    torch.manual_seed(9)
    return small, model_class(head)(training_cases.model(head, **labels).config).eval()


def objective(task: Objective, model: Any, other: Any, **options: Any) -> Distillation:
    settings = training_cases.settings(teacher="t", **options)
    pairs = layer_pairs(model.config.num_hidden_layers, other.config.num_hidden_layers)
    names = tuple(teaching.HEADS[task.head].outputs) if settings.alpha else ()
    kind = task.head if settings.alpha else "Model"
    layers = tuple(there for _, there in pairs) if settings.hidden_states else ()
    attention = tuple(there - 1 for _, there in pairs) if settings.attention else ()
    projection = None
    if settings.hidden_states and model.config.hidden_size != other.config.hidden_size:
        torch.manual_seed(2)
        projection = torch.nn.Linear(model.config.hidden_size, other.config.hidden_size, bias=False)
    return Distillation(task, Teacher(other, kind, names, layers, attention), settings, pairs, projection)


def alone(model: Any, row: Row, **wanted: Any) -> Any:
    """Run one row, without packing."""
    ids = torch.from_numpy(row.input_ids)[None]
    ids = ids[None] if "MultipleChoice" in type(model).__name__ else ids
    return model(ids, **wanted)


def kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Return T² KL(teacher || student) of one item, by its definition."""
    p, q = (student / 3).softmax(-1), (teacher / 3).softmax(-1)
    return 9 * (q * (q.log() - p.log())).sum(-1)


def expected_logits(head: str, problem: str | None, student: Any, teacher: Any, rows: list[list[Row]]) -> Tensor:
    """Return the mean distance of the logits, example by example."""
    found = []
    for own in rows:
        s, t = ([alone(model, row) for row in own] for model in (student, teacher))
        if head == "ForQuestionAnswering":
            pairs = [(s[0][name][0], t[0][name][0]) for name in ("start_logits", "end_logits")]
            found.append(sum(kl(*pair) for pair in pairs) / 2)
            continue
        ours, theirs = (torch.cat([one.logits for one in some]) for some in (s, t))
        if head == "ForTokenClassification":
            labels = own[0].targets["labels"].values
            found += [kl(a, b) for a, b, label in zip(ours[0], theirs[0], labels, strict=True) if label != -100]
        elif head == "ForMultipleChoice":
            found.append(kl(ours.flatten(), theirs.flatten()))
        elif problem == "regression":
            found.append(F.mse_loss(ours.mean(), theirs.mean()))
        elif problem == "multi_label_classification":
            p, q = ((one.amax(0) / 3).sigmoid() for one in (ours, theirs))
            each = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
            found.append(9 * each.mean())
        else:
            found.append(kl(ours.mean(0), theirs.mean(0)))
    return torch.stack(found).mean()


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (PLAIN, None),
        (PLAIN, "multi_label_classification"),
        (PLAIN, "regression"),
        ("ForTokenClassification", None),
        ("ForMultipleChoice", None),
        ("ForQuestionAnswering", None),
    ],
)
def test_logits_beside_pytorch(head: str, problem: str | None) -> None:
    """The loss and its gradients, however the batch is split."""
    labels = {PLAIN: 1 if problem == "regression" else 3, "ForTokenClassification": 3}
    student, other = models(head, **({"num_labels": labels[head]} if head in labels else {}))
    rows = rows_of(head, problem)
    task = objective_of(head, problem)
    distillation = objective(task, student, other, alpha=0.7, temperature=3.0)
    batch = pack([row for own in rows for row in own])
    wanted = 0.7 * expected_logits(head, problem, student, other, rows) + 0.3 * task(student, batch)
    gradients = torch.autograd.grad(wanted, list(student.parameters()), allow_unused=True)
    tuner = Finetuner(student, units_of(rows, head), distillation, training_cases.settings(batch_tokens=20, clip=0.0))
    tuner.model.eval()
    tuner.model.train = lambda mode=True: tuner.model  # without dropout
    applied: list[Tensor] = []
    tuner.optimizer.step = lambda: applied.extend(  # type: ignore[method-assign, assignment]
        torch.zeros_like(p) if p.grad is None else p.grad.clone().to_dense() for p in student.parameters()
    )
    batches = [pack(own) for own in rows]
    assert tuner.step(batches).loss == pytest.approx(float(wanted.detach()), abs=1e-5)
    for found, gradient in zip(applied, gradients, strict=True):
        torch.testing.assert_close(found, torch.zeros_like(found) if gradient is None else gradient, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [{}, {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 8}])
def test_inner_outputs_beside_pytorch(size: dict[str, int]) -> None:
    """Hidden states by a matrix where the widths differ, attention by the mean of the heads where their numbers differ."""
    student, other = models(PLAIN, **size)
    rows = [row for own in rows_of(PLAIN, None) for row in own]
    distillation = objective(objective_of(PLAIN, None), student, other, alpha=0.0, hidden_states=0.5, attention=2.0)
    matrix = distillation.projection
    assert (matrix is None) == (not size)
    hidden, attention = [], []
    for row in rows:
        wanted = {"output_hidden_states": True, "output_attentions": True}
        ours = alone(student, row, **wanted)
        theirs = alone(other, row, **wanted)
        for mine, yours in ((1, 2), (2, 3)):
            states = ours.hidden_states[mine][0]
            states = states if matrix is None else states @ matrix.weight.T
            hidden.append((states - theirs.hidden_states[yours][0]).square().flatten())
            a, b = ours.attentions[mine - 1][0], theirs.attentions[yours - 1][0]  # [A, t, t]
            a, b = (a, b) if len(a) == len(b) else (a.mean(0), b.mean(0))
            attention.append((a - b).square().sum(-1).flatten())
    wanted_loss = 0.5 * torch.cat(hidden).mean() + 2 * torch.cat(attention).mean()
    trained = [*student.parameters(), *(parameter for _, parameter in distillation.named_parameters())]
    gradients = torch.autograd.grad(wanted_loss, trained, allow_unused=True)
    losses = distillation(student, pack(rows))[1:]
    found = torch.autograd.grad(losses.sum(), trained, allow_unused=True)
    assert float(losses.sum().detach()) == pytest.approx(float(wanted_loss.detach()), abs=1e-5)
    for one, gradient in zip(found, gradients, strict=True):
        if one is not None:
            torch.testing.assert_close(one, torch.zeros_like(one) if gradient is None else gradient, atol=1e-5, rtol=0)
        else:
            assert gradient is None


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each forward of a teacher."""
    found: list[int] = []
    run = Teacher.run

    def counted(self: Teacher, batch: Any) -> Any:
        found.append(len(batch.lengths))
        return run(self, batch)

    monkeypatch.setattr(Teacher, "run", counted)
    return found


def cached(distillation: Distillation, units: list[Unit], folder: Path, notes: list[str] | None = None) -> list[Unit]:
    note: Callable[[str], object] = (notes if notes is not None else []).append
    return with_cache(distillation.teacher, units, folder, 64, Processes(), note)


@pytest.mark.parametrize("head", [PLAIN, "ForTokenClassification", "ForMultipleChoice", "ForQuestionAnswering"])
def test_the_cache_gives_each_row_its_outputs(head: str, forwards: list[int], tmp_path: Path) -> None:
    """Each row and window once, however many epochs; the hidden states rounded to float16."""
    student, other = models(head)
    distillation = objective(objective_of(head, None), student, other, hidden_states=1.0)
    units = units_of(rows_of(head, None), head)
    kept = cached(distillation, units, tmp_path)
    count = sum(map(len, units))
    assert sum(forwards) == count + 1  # one more for the shapes
    for unit, plain in zip(kept, units, strict=True):
        device = torch.device("cpu")
        found = distillation.teacher.of(pack(unit), device)
        expected = distillation.teacher.run(pack(plain))
        assert found.keys() == expected.keys() == distillation.teacher.grains.keys()
        for name in found:
            atol = 2e-3 if name == "hidden_states" else 1e-5
            torch.testing.assert_close(found[name].reshape(expected[name].shape), expected[name], atol=atol, rtol=1e-3)
    forwards.clear()
    cached(distillation, units, tmp_path)
    assert sum(forwards) == 1
    with torch.no_grad():
        other.base_model.embeddings.word_embeddings.weight[7] += 1  # another teacher
    cached(objective(objective_of(head, None), student, other, hidden_states=1.0), units, tmp_path)
    assert sum(forwards) == 1 + 1 + count


def test_an_incomplete_cache_is_not_used(forwards: list[int], tmp_path: Path) -> None:
    student, other = models(PLAIN)
    distillation = objective(objective_of(PLAIN, None), student, other)
    units = training_cases.units(6)
    cached(distillation, units, tmp_path)
    (tmp_path / "teacher" / "logits.npy").write_bytes(b"\x93NUMPY")
    cached(distillation, units, tmp_path)
    assert sum(forwards) == 2 * 7
    (tmp_path / "teacher" / "index.json").unlink()
    cached(distillation, units, tmp_path)
    assert sum(forwards) == 3 * 7


def test_large_outputs_are_computed_in_each_step(
    forwards: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, other = models(PLAIN)
    units, notes = training_cases.units(8), []
    with_attention = objective(objective_of(PLAIN, None), student, other, attention=1.0)
    assert cached(with_attention, units, tmp_path, notes) == units
    monkeypatch.setattr(teaching, "MOST_BYTES", 90)
    plain = objective(objective_of(PLAIN, None), student, other)
    kept = cached(plain, units, tmp_path, notes)
    assert [note.partition(",")[0].partition(":")[0] for note in notes] == ["The teacher runs in each step"] * 2
    assert not (tmp_path / "teacher").exists()
    forwards.clear()
    tuner = Finetuner(student, kept, plain, training_cases.settings(epochs=2))
    while not tuner.finished:
        tuner.step()
    assert sum(forwards) == 2 * 8


def test_windows_drawn_at_random_keep_their_outputs(tmp_path: Path) -> None:
    student, other = models(PLAIN)
    distillation = objective(objective_of(PLAIN, None), student, other)
    units = cached(distillation, units_of(training_cases.rows(6, windows=5), PLAIN), tmp_path)
    tuner = Finetuner(student, units, distillation, training_cases.settings(max_windows=2, batch_size=6))
    (batch,) = tuner.next_batches()
    assert len(batch.lengths) == 12
    found = distillation.teacher.of(batch, torch.device("cpu"))["logits"]
    torch.testing.assert_close(found, distillation.teacher.run(batch)["logits"], atol=1e-5, rtol=0)


def test_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    """With dropout and a trained matrix: the same bits, also where the second process computes the cache again."""
    units = training_cases.units(12)

    def tuner(folder: Path) -> Finetuner:
        student, other = models(PLAIN, hidden_size=16, num_attention_heads=2, hidden_dropout_prob=0.1)
        distillation = objective(objective_of(PLAIN, None), student, other, hidden_states=1.0)
        kept = cached(distillation, units, folder)
        torch.manual_seed(3)
        return Finetuner(student, kept, distillation, training_cases.settings(epochs=3))

    def state(one: Finetuner) -> Iterator[Tensor]:
        yield from one.model.state_dict().values()
        yield from (parameter for _, parameter in one.objective.named_parameters())

    whole = tuner(tmp_path / "a")
    before = [tensor.clone() for tensor in state(whole)]
    losses = [whole.step().loss for _ in range(whole.total_steps)]
    assert not any(torch.equal(*pair) for pair in zip(before[-1:], list(state(whole))[-1:], strict=True))
    first = tuner(tmp_path / "a")
    again = [first.step().loss for _ in range(4)]
    values, tensors = first.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    for folder in (tmp_path / "a", tmp_path / "b"):
        second = tuner(folder)
        second.model.load_state_dict(first.model.state_dict())
        second.restore(json.loads(json.dumps(values)), tensors)
        assert again + [second.step().loss for _ in range(second.total_steps - 4)] == losses
        assert all(torch.equal(*pair) for pair in zip(state(second), state(whole), strict=True))


def test_a_student_learns_more_from_a_teacher(tmp_path: Path) -> None:
    """A student of examples with random labels learns the true ones from its teacher."""
    rows = training_cases.rows(60)
    truths = [own[0].targets["labels"].values for own in rows]
    teacher = Finetuner(
        training_cases.model(),
        units_of(rows, PLAIN),
        objective_of(PLAIN, None),
        training_cases.settings(epochs=20, lr=3e-3, batch_size=8),
    )
    while not teacher.finished:
        teacher.step()
    rng = np.random.default_rng(0)
    noisy = [
        [Row(one[0].input_ids, one[0].token_type_ids, targets={"labels": Target(rng.integers(3), "row")})]
        for one in rows
    ]
    scores = {}
    for alpha in (0.0, 0.9):
        student = training_cases.model(num_hidden_layers=2)
        task, units = objective_of(PLAIN, None), noisy
        if alpha:
            task = objective(task, student, teacher.model, alpha=alpha)
            units = cached(task, noisy, tmp_path)
        options = {"epochs": 20, "lr": 3e-3, "batch_size": 8}
        tuner = Finetuner(student, units, task, training_cases.settings(**options))
        while not tuner.finished:
            tuner.step()
        student.eval()
        with torch.no_grad():
            found = [int(alone(student, own[0]).logits.argmax()) for own in rows]
        scores[alpha] = np.mean([one == truth for one, truth in zip(found, truths, strict=True)])
    assert scores[0.9] > 0.9 > scores[0.0] + 0.3


# The whole run.


def run(folder: Path, teacher: Path | None, **options: Any) -> Any:
    options = {"epochs": 1, "batch_size": 4, "lr": 1e-3, "device": "cpu", **options}
    model = options.pop("model", pipeline_models.folder("plain"))
    return finetune("text-classification", model, TEXTS, out=folder, teacher=teacher and str(teacher), **options)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier whose labels have another order than those of the file."""
    folder = tmp_path_factory.mktemp("taught") / "teacher"
    run(folder, None, labels=["good", "bad", "fine"])
    return folder


def test_the_run(taught: Path, tmp_path: Path, forwards: list[int]) -> None:
    """The labels are matched by name, the cache is removed after the run, and the matrix is not part of the model."""
    notes: list[str] = []
    out = tmp_path / "student"
    run(out, taught, student_layers=1, hidden_states=1.0, epochs=2, on_note=notes.append)
    assert sum(forwards) == len(TEXTS) + 1
    assert any(note.startswith(f"The teacher runs once on {len(TEXTS)} rows") for note in notes)
    assert not (out / "teacher").exists()
    student = model_class(PLAIN).from_pretrained(out)
    assert student.config.num_hidden_layers == 1
    assert list(student.config.id2label.values()) == ["bad", "fine", "good"]


def test_a_teacher_without_a_head(tmp_path: Path) -> None:
    run(tmp_path / "student", pipeline_models.folder("plain"), alpha=0.0, hidden_states=1.0)
    message = (
        r"is a BertModel, which has no logits for text-classification: choose a teacher that was trained for the task, or to "
        r"learn only from hidden states type alpha=0\.0 and hidden_states=1\.0\."
    )
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "other", pipeline_models.folder("plain"))


def test_labels_that_differ(taught: Path, tmp_path: Path) -> None:
    message = "The teacher's labels are good, bad, fine .* and the student's are bad, worse .*: choose a teacher that was trained"
    with pytest.raises(UsageError, match=message):
        finetune(
            "text-classification",
            pipeline_models.folder("plain"),
            [{"text": "a", "label": "bad"}, {"text": "the", "label": "worse"}],
            out=tmp_path / "student",
            teacher=str(taught),
            device="cpu",
        )


def test_vocabularies_that_differ(taught: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    model_class("Model").from_pretrained(pipeline_models.folder("plain")).save_pretrained(other)
    tokenizer = pipeline_models.tokenizer()
    words = list(tokenizer.get_vocab())
    (other / "vocab.txt").write_text("\n".join([*words[:-1], "zebra"]))
    with pytest.raises(UsageError, match="The vocabularies of the teacher .* and of the model .* differ"):
        run(tmp_path / "student", taught, model=other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"hidden_states": 1.0},
            r'hidden_states=1\.0 needs a teacher: type teacher="\.\.\.", or leave hidden_states out',
        ),
        (
            {"alpha": 0.0, "teacher": True},
            r"alpha=0\.0 gives the teacher no weight: type alpha=0\.5 or hidden_states=1\.0\.",
        ),
    ],
)
def test_options_without_an_effect(options: dict[str, Any], message: str, taught: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "student", taught if options.pop("teacher", False) else None, **options)
