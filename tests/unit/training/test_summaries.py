"""Fine-tuning of an encoder-decoder: the losses of transformers, a whole run, resuming, adapters, and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import moved
import numpy as np
import pytest
import torch
from seq2seq_cases import OPTIONS, SIZE, STEPS, config, examples, weights
from training_examples import settings

import bertkit
from bertkit import EncoderDecoderModel, finetune
from bertkit.data.batches import Row, Target, pack
from bertkit.errors import UsageError
from bertkit.heads import PAIR
from bertkit.tasks.summarization import LABELS, LENGTH
from bertkit.training.evaluation import evaluate
from bertkit.training.loop import Finetuner
from bertkit.training.summaries import Writing

DATA = Path(__file__).parents[2] / "data" / "seq2seq_transformers4.json"
SENTENCES = moved.TEXTS


def row(text: list[int], summary: list[int]) -> Row:
    labels = {LABELS: Target(np.array(summary), "token"), LENGTH: Target(np.array(len(summary)), "row")}
    return Row(np.array(text), np.zeros(len(text), np.int64), targets=labels)


def test_losses_are_those_of_transformers() -> None:
    """50 steps of Seq2SeqTrainer of transformers 4.57.6, recorded by tests/oracles/seq2seq_transformers4.py."""
    expected = json.loads(DATA.read_text(encoding="utf-8"))
    model = EncoderDecoderModel(config())
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights().items()})
    rows = [row(*example) for example in examples()]
    tuner = Finetuner(model, [[one] for one in rows], Writing(), settings(**OPTIONS))
    steps = [rows[at : at + SIZE] for at in range(0, len(rows), SIZE)]
    found = []
    for number in range(STEPS):
        some = steps[number % len(steps)]
        batches = [some] if number % 2 else [some[:1], some[1:]]  # the gradient does not depend on how a step is split
        found.append(tuner.step([pack(part) for part in batches]).loss)
    assert sum(expected[-5:]) < 0.9 * sum(expected[:5])
    assert max(abs(one - other) for one, other in zip(found, expected, strict=True)) < 1e-5


def test_label_smoothing_is_that_of_pytorch() -> None:
    model = EncoderDecoderModel(config()).eval()
    batch = pack([row(*example) for example in examples()[:3]])
    labels = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(summary) for _, summary in examples()[:3]], batch_first=True, padding_value=-100
    )
    objective = Writing(0.1)
    scores = objective.outputs(model, batch).logits.flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(scores, labels.flatten(), label_smoothing=0.1)
    torch.testing.assert_close(objective(model, batch), expected)
    assert objective.weight(batch) == sum(len(summary) for _, summary in examples()[:3])
    assert objective.head == PAIR


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return moved.checkpoint(tmp_path_factory.mktemp("summaries") / "bert")


def data() -> list[dict[str, Any]]:
    """Texts of two sentences, whose summary is the first one; as lists of sentences and of summaries."""
    pairs = zip(SENTENCES, SENTENCES[1:] + SENTENCES[:1], strict=True)
    return [
        {"source": [one, two], "target": [one, two] if number % 2 else [one]} for number, (one, two) in enumerate(pairs)
    ]


def run(start: str, out: Path, **options: Any) -> Any:
    given = {"epochs": 2, "batch_size": 4, "lr": 2e-3, "max_target_length": 10, "num_beams": 2, "device": "cpu"}
    return finetune("summarization", start, data(), data()[:4], out, **(given | options))


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(EncoderDecoderModel.from_pretrained(folder).state_dict())


def test_a_run_from_a_bert(start: str, tmp_path: Path) -> None:
    notes: list[str] = []
    found = run(start, tmp_path / "run", on_note=notes.append, label_smoothing=0.1)
    assert "Column 'source' is the text, 'target' the summary." in notes
    assert list(found.scores) == ["rouge1", "rouge2", "rougeL", "words"]
    written = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    assert [line["truth"] for line in written] == [one["target"] for one in data()[:4]]
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Summaries and references" in report and written[0]["truth"][0] in report
    card = (tmp_path / "run" / "README.md").read_text()
    assert "pipeline_tag: summarization" in card and "EncoderDecoderModel.from_pretrained" in card
    model = EncoderDecoderModel.from_pretrained(tmp_path / "run")
    assert (model.generation_config.num_beams, model.generation_config.max_length) == (2, 11)
    assert model.config.decoder_start_token_id == bertkit.AutoTokenizer.from_pretrained(start).cls_token_id
    again = evaluate(tmp_path / "run", data()[:4], device="cpu", on_long="truncate", options={"num_beams": 2})
    assert again.scores == pytest.approx(found.scores)
    text = " ".join(data()[0]["source"])
    assert (
        found.pipeline(device="cpu")(text, on_long="truncate", num_beams=2)[0]["summary_text"] == written[0]["answer"]
    )
    further = run(str(tmp_path / "run"), tmp_path / "further", epochs=1)  # from an encoder-decoder
    assert set(weights_of(tmp_path / "further")) == set(weights_of(tmp_path / "run"))
    assert further.scores.keys() == found.scores.keys()


def test_a_resumed_run_has_the_same_weights(start: str, tmp_path: Path) -> None:
    run(start, tmp_path / "whole", dropout=0.1)
    run(start, tmp_path / "resumed", dropout=0.1, keep=9)
    for name in ("run.json", "model.safetensors", "config.json"):
        (tmp_path / "resumed" / name).unlink()
    last = max((tmp_path / "resumed").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    run(start, tmp_path / "resumed", dropout=0.1, keep=9, resume=True)
    whole, resumed = weights_of(tmp_path / "whole"), weights_of(tmp_path / "resumed")
    for name, weight in whole.items():
        assert torch.equal(weight, resumed[name]), name


def test_tied_and_with_adapters(start: str, tmp_path: Path) -> None:
    run(start, tmp_path / "tied", tie_encoder_decoder=True)
    tied = EncoderDecoderModel.from_pretrained(tmp_path / "tied")
    assert tied.decoder.bert.embeddings.word_embeddings.weight is tied.encoder.embeddings.word_embeddings.weight
    run(start, tmp_path / "lora", lora=2)
    before, after = bertkit.BertModel.from_pretrained(start).state_dict(), weights_of(tmp_path / "lora")
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[f"encoder.{name}"])}
    assert changed == {
        f"encoder.layer.{layer}.attention.self.{part}.weight" for layer in (0, 1) for part in ("query", "value")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": "embeddings"}, "is not supported for summarization"),
        ({"on_long": "window"}, "trained on one row for each text"),
        ({"max_target_length": 64}, "above the positions of the decoder"),
        ({"num_beams": 0}, "not at least 1"),
        ({"metric": "f1"}, "choose one of loss, rouge1, rouge2, rougeL"),
        ({"class_weights": "balanced"}, "has no meaning in the loss"),
    ],
)
def test_errors(start: str, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(start, tmp_path, **options)
