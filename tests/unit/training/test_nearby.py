"""Initial weights with which the heads of the first layer attend to nearby tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import corpora
import pretraining_cases
import pytest
import torch

import bertkit
from bertkit import BertConfig, BertForPreTraining
from bertkit.errors import UsageError
from bertkit.training.pretraining.nearby import start_nearby
from bertkit.training.pretraining.opening import open_all
from bertkit.training.pretraining.options import PretrainingSettings


@pytest.mark.parametrize(
    ("hidden", "heads", "positions"), [(32, 2, 64), (128, 2, 128), (256, 4, 512), (768, 12, 128), (60, 4, 40)]
)
def test_each_head_attends_to_one_distance(hidden: int, heads: int, positions: int) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=500, hidden_size=hidden, num_attention_heads=heads, num_hidden_layers=1, intermediate_size=32,
        max_position_embeddings=positions, attn_implementation="eager",
    )  # fmt: skip
    model = BertForPreTraining(config).eval()
    start_nearby(model)
    ids = torch.randint(5, 500, (8, positions))
    with torch.no_grad():
        (attentions,) = model(ids, output_attentions=True).attentions  # [8, heads, positions, positions]
    for head in range(heads):
        distance = (-1, 1, -2, 2)[head % 4]
        at = {place: attentions[:, head].diagonal(place, 1, 2).mean() for place in range(-8, 9)}
        assert max(at, key=lambda place: float(at[place])) == distance
        others = max(value for place, value in at.items() if place != distance)
        assert at[distance] > {64: 3, 16: 2, 15: 2}.get(hidden // heads, 1) * others


def test_the_embeddings_have_their_shares_of_the_variance() -> None:
    model = BertForPreTraining(BertConfig(vocab_size=500, num_hidden_layers=1))
    start_nearby(model)
    embeddings = model.bert.embeddings
    words, positions = (
        x.weight.detach().square().mean() for x in (embeddings.word_embeddings, embeddings.position_embeddings)
    )
    assert float(positions / (positions + words)) == pytest.approx(0.7, abs=0.01)


def opened(folder: Path, position_embedding_type: str = "absolute", start: Any = None) -> Any:
    """Return the new model of a run."""
    if not (folder / "config.json").exists():
        pretraining_cases.shards(folder)
    sizes = {"vocab_size": len(corpora.tokenizer()), "max_position_embeddings": 64, **pretraining_cases.SIZES}
    config = BertConfig(position_embedding_type=position_embedding_type, **sizes)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    data, of_config = str(folder / "shards"), str(folder / "config.json")
    return open_all(PretrainingSettings(config=of_config, data=data, out="", max_length=32, start=start)).model


def test_a_new_model_starts_so_unless_its_weights_are_to_be_random(tmp_path: Path) -> None:
    nearby, random = opened(tmp_path), opened(tmp_path, start="random")
    torch.manual_seed(0)
    usual = BertForPreTraining(random.config)
    for (name, own), theirs in zip(random.named_parameters(), usual.parameters(), strict=True):
        torch.testing.assert_close(own, theirs, atol=0, rtol=0, msg=name)
    changed = [
        name
        for (name, own), theirs in zip(nearby.named_parameters(), usual.parameters(), strict=True)
        if (own != theirs).any()
    ]
    layer = "bert.encoder.layer.0.attention.self."
    assert changed == ["bert.embeddings.position_embeddings.weight", f"{layer}query.weight", f"{layer}key.weight"]


def test_relative_positions(tmp_path: Path) -> None:
    relative = opened(tmp_path, position_embedding_type="relative_key")
    assert relative.config.position_embedding_type == "relative_key"
    with pytest.raises(
        UsageError, match=r"start='nearby' needs a model with embeddings of positions: type start=\"random\""
    ):
        opened(tmp_path, position_embedding_type="relative_key", start="nearby")


def test_pruned_heads() -> None:
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 64}
    model = BertForPreTraining(BertConfig(vocab_size=50, pruned_heads={0: [1, 2], 1: [0]}, **sizes))
    before = model.bert.encoder.layer[0].attention.self.query.weight.detach().clone()
    start_nearby(model)
    assert before.shape == (32, 64)
    assert (model.bert.encoder.layer[0].attention.self.query.weight != before).any(1).all()


def test_a_trained_model_has_its_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="start='nearby' has no effect on a trained model"):
        bertkit.pretrain(model="model", data=str(tmp_path), out=str(tmp_path / "out"), start="nearby")
