"""The table of heads: values derived from it, and a new head made of one row, one class and one function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from pipeline_cases import config as config_of_case
from pipeline_models import tokenizer
from torch import Tensor

import bertkit
from bertkit import outputs, pipelines, reference
from bertkit.config import BertConfig
from bertkit.data.batches import pack
from bertkit.heads import CLASSIFIER, HEADS, PAIR_TASKS, Head, Output, counterparts, tasks_of
from bertkit.models.torch import heads as torch_heads
from bertkit.models.torch.model import BertModel, linear
from bertkit.tasks import TASKS, task_class


def test_the_table_is_complete() -> None:
    for suffix, head in HEADS.items():
        assert set(head.outputs) <= set(head.output.names)
        assert len(head.labels) in (0, len(head.outputs)), suffix
        assert set(reference.OUTPUTS) >= {suffix}
        for task in head.tasks:
            assert task in TASKS
    assert {task for head in HEADS.values() for task in head.tasks} | set(PAIR_TASKS) == set(TASKS)
    for task in TASKS:
        assert task in tasks_of(task_class(task).head)


def test_outputs_of_the_same_part_are_counterparts() -> None:
    for task in TASKS:
        own = task_class(task).head
        for head in HEADS:
            if task in HEADS[head].tasks and own != "Model":
                names = counterparts(own, head, HEADS[own].outputs)
                assert [HEADS[own].outputs[a].grain == HEADS[head].outputs[b].grain for a, b in names.items()]
    assert counterparts("ForNextSentencePrediction", "ForPreTraining", ["logits"]) == {
        "logits": "seq_relationship_logits"
    }


# A new head for the tests, with the parameters of a token classifier.


class BertForInside(torch_heads.BertWithHead):
    """BERT with a token classifier whose logits are doubled."""

    _head = "ForInside"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Any = None,
    ) -> Any:
        """labels: [B, L]."""
        inputs = torch_heads.arrange(input_ids, attention_mask, None, None, None, lengths, labels=labels)
        return self._answer(inputs, {"labels": inputs.labels}, None, None, None, return_dict)

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": 2 * self.classifier(x)}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the head: one row, one class, one function."""
    row = Head(
        (CLASSIFIER,),
        outputs.TokenClassifierOutput,
        {"logits": Output("token", CLASSIFIER)},
        {"labels": "token"},
        ("token-classification",),
    )
    monkeypatch.setitem(HEADS, "ForInside", row)
    monkeypatch.setattr(torch_heads, "BertForInside", BertForInside, raising=False)
    monkeypatch.setitem(
        reference.OUTPUTS,
        "ForInside",
        lambda config, p, x, pooled: {"logits": 2 * reference.linear(p, "classifier", x)},
    )


def test_a_new_head_is_one_row_one_class_and_one_function(toy: None, tmp_path: Path) -> None:
    config = BertConfig.from_dict(
        config_of_case("names").to_dict(), architectures=["BertForInside"], hidden_dropout_prob=0.0
    )
    weights = tiny.weights(config, "ForInside")
    bertkit.save_checkpoint(tmp_path / "files", weights, config, "ForInside")
    tokenizer().save_pretrained(tmp_path / "files")

    model = BertForInside.from_pretrained(tmp_path / "files")
    model.save_pretrained(tmp_path / "again")
    assert bertkit.load_checkpoint(tmp_path / "again")[1].head == "ForInside"
    assert bertkit.inspect(tmp_path / "again").task == "token-classification"

    pipes = [
        pipelines.pipeline(model=tmp_path / "files", engine=engine, precision="fp32") for engine in ("torch", "numpy")
    ]
    text = "The river Kamo runs through Kyoto."
    answers = [pipe(text, ignore_labels=[]) for pipe in pipes]
    assert [one["entity"] for one in answers[0]] == [one["entity"] for one in answers[1]]
    assert np.allclose([one["score"] for one in answers[0]], [one["score"] for one in answers[1]], atol=1e-5)

    task = pipes[0]._task
    words = [["Anna", "sings"], ["the", "river", "Kamo"]]
    tags = [["B-PER", "O"], ["O", "O", "B-LOC"]]
    options = task.options({"is_split_into_words": True})
    rows = [row for some in task.targets(words, tags, options) for row in some]
    batch = pack(rows)
    labels = {name: torch.from_numpy(values) for name, values in batch.labels("ForInside").items()}
    found = model(torch.from_numpy(batch.input_ids), lengths=batch.lengths, **labels)
    longest = max(len(row) for row in rows)
    ids, mask, wanted = (np.full((2, longest), empty) for empty in (0, 0, -100))
    for number, row in enumerate(rows):
        ids[number, : len(row)], mask[number, : len(row)] = row.input_ids, 1
        wanted[number, : len(row)] = row.targets["labels"].values
    expected = reference.forward(config, weights, "ForInside", input_ids=ids, attention_mask=mask, labels=wanted)
    assert found.loss.item() == pytest.approx(float(expected["loss"]), abs=1e-5)
