"""Code that users have, with its import line changed: the documentation page's own, and subclasses."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_models import settings

from bertkit import BertConfig, BertForMaskedLM, BertModel, BertPreTrainedModel, BertTokenizer

SENTENCE = "[PAD] [UNK] [CLS] [SEP] [MASK] plants create sugar light through a process known as photosynthesis ."
WORDS = SENTENCE.split(" ")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the name of the model on the Hub, below the current one: small, and with its own vocabulary."""
    folder = tmp_path / "google-bert" / "bert-base-uncased"
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    BertTokenizer(vocab_file=folder / "vocab.txt").save_pretrained(folder)
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(**settings("BertForMaskedLM", vocab_size=len(WORDS)))).save_pretrained(folder)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("hub")
def test_auto_model_of_the_page() -> None:
    from bertkit import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        "google-bert/bert-base-uncased",
    )
    model = AutoModelForMaskedLM.from_pretrained(
        "google-bert/bert-base-uncased", torch_dtype=torch.float16, device_map="auto", attn_implementation="sdpa"
    )
    inputs = tokenizer("Plants create [MASK] through a process known as photosynthesis.", return_tensors="pt").to(
        model.device
    )

    with torch.no_grad():
        outputs = model(**inputs)
        predictions = outputs.logits

    masked_index = torch.where(inputs["input_ids"] == tokenizer.mask_token_id)[1]
    predicted_token_id = predictions[0, masked_index].argmax(dim=-1)
    predicted_token = tokenizer.decode(predicted_token_id)
    assert predicted_token in WORDS
    assert predictions.dtype == torch.float16


@pytest.mark.usefixtures("hub")
def test_half_precision_of_the_page() -> None:
    model = BertModel.from_pretrained("google-bert/bert-base-uncased", dtype=torch.float16, attn_implementation="sdpa")
    assert model.dtype == torch.float16
    assert model(torch.tensor([[2, 5, 3]])).last_hidden_state.shape == (1, 3, 32)


def test_configuration_of_the_page() -> None:
    configuration = BertConfig(**settings("BertModel"))
    model = BertModel(configuration)
    assert model.config is configuration


class Tagger(BertPreTrainedModel):
    """As users write them."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.tagger = nn.Linear(config.hidden_size, 5)
        self.post_init()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.tagger(self.bert(input_ids).last_hidden_state)


@pytest.mark.usefixtures("hub")
def test_a_subclass_of_the_users_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model = Tagger.from_pretrained("google-bert/bert-base-uncased")
    assert "tagger.weight" in caplog.text
    expected = BertModel.from_pretrained("google-bert/bert-base-uncased", add_pooling_layer=False)
    ids = torch.tensor([[2, 5, 6, 3]])
    assert torch.equal(model.bert(ids).last_hidden_state, expected(ids).last_hidden_state)
    caplog.clear()
    model.save_pretrained(tmp_path / "tagger")
    again = Tagger.from_pretrained(tmp_path / "tagger")
    assert torch.equal(again(ids), model(ids))
    assert "tagger." not in caplog.text
    assert again.config.architectures == ["Tagger"]
