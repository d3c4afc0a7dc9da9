"""The table of parameters compared with the names and shapes of each library that saves BERT."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import transformers

from bertkit.checkpoint import hdf5, msgpack
from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.heads import HEADS, head_of
from bertkit.parameters import TABLE, UNTIED, expand, initial, spelling, transposed

# Names in the graph of google-research/bert, one of each kind, with the shape in the tiny model.
GOOGLE = {
    "bert/embeddings/word_embeddings": (23, 8),
    "bert/embeddings/position_embeddings": (10, 8),
    "bert/embeddings/token_type_embeddings": (2, 8),
    "bert/embeddings/LayerNorm/gamma": (8,),
    "bert/embeddings/LayerNorm/beta": (8,),
    "bert/encoder/layer_1/attention/self/query/kernel": (8, 8),
    "bert/encoder/layer_1/attention/self/query/bias": (8,),
    "bert/encoder/layer_1/attention/output/dense/kernel": (8, 8),
    "bert/encoder/layer_1/attention/output/LayerNorm/beta": (8,),
    "bert/encoder/layer_1/intermediate/dense/kernel": (8, 12),
    "bert/encoder/layer_1/intermediate/dense/bias": (12,),
    "bert/encoder/layer_1/output/dense/kernel": (12, 8),
    "bert/encoder/layer_1/output/LayerNorm/gamma": (8,),
    "bert/pooler/dense/kernel": (8, 8),
    "bert/pooler/dense/bias": (8,),
    "cls/predictions/transform/dense/kernel": (8, 8),
    "cls/predictions/transform/LayerNorm/gamma": (8,),
    "cls/predictions/output_bias": (23,),
    "cls/seq_relationship/output_weights": (2, 8),
    "cls/seq_relationship/output_bias": (2,),
    "output_weights": (3, 8),
    "output_bias": (3,),
    "cls/squad/output_weights": (2, 8),
    "cls/squad/output_bias": (2,),
}


def test_the_table_has_34_rows_and_one_for_relative_positions() -> None:
    absolute = [row for row in TABLE if "distance_embedding" not in row.name]
    assert len(absolute) == 34
    assert len(TABLE) == 35
    assert len({row.name for row in TABLE}) == 35


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "given", [{}, {"is_decoder": True, "add_cross_attention": True}, {"tie_word_embeddings": False}, {"num_labels": 7}]
)
def test_names_and_shapes_are_those_of_transformers(head: str, given: dict[str, bool]) -> None:
    config = tiny.config(**given)
    if head == "ForQuestionAnswering":
        config.num_labels = 2
    cls = getattr(transformers, f"Bert{head}")
    with torch.device("meta"):
        model = cls(transformers.BertConfig(**config.to_dict()))
    theirs = {name: tuple(p.shape) for name, p in model.named_parameters(remove_duplicate=True)}
    if head == "Model":
        theirs = {f"bert.{name}": shape for name, shape in theirs.items()}
    theirs.pop("cls.predictions.decoder.bias", None)  # transformers has a second bias if the projection is not tied
    assert {name: p.shape for name, p in expand(config, head).items()} == theirs


def test_all_heads_together_have_every_row() -> None:
    rows = {parameter.row.name for parameter in expand(tiny.config(position_embedding_type="relative_key")).values()}
    assert rows == {row.name for row in TABLE}


def test_google_names_and_shapes() -> None:
    spelled = {
        p.spelled("google"): p.shape[::-1] if transposed(p.row, "google") else p.shape
        for p in expand(tiny.config()).values()
    }
    assert GOOGLE.items() <= spelled.items()
    assert {_template(name) for name in spelled} - {_template(name) for name in GOOGLE} == {
        f"bert/encoder/layer_{{}}/attention/{rest}"
        for rest in (
            "self/key/kernel",
            "self/key/bias",
            "self/value/kernel",
            "self/value/bias",
            "output/dense/bias",
            "output/LayerNorm/gamma",
        )
    } | {
        "bert/encoder/layer_{}/output/dense/bias",
        "bert/encoder/layer_{}/output/LayerNorm/beta",
        "cls/predictions/transform/dense/bias",
        "cls/predictions/transform/LayerNorm/beta",
    }


def _template(name: str) -> str:
    return re.sub(r"layer_\d+", "layer_{}", name)


@pytest.mark.parametrize("head", [*HEADS, "LMHeadModel-cross"])
def test_keras_and_flax_names_and_shapes(head: str, transformers4: Path) -> None:
    config = BertConfig.from_json_file(transformers4 / head / "config.json")
    parameters = expand(config, head.partition("-")[0]).values()
    keras = {p.spelled("keras"): p.shape[::-1] if transposed(p.row, "keras") else p.shape for p in parameters}
    theirs = hdf5.read(transformers4 / head / "tf_model.h5")
    assert keras == {name.split("/", 2)[2].removesuffix(":0"): array.shape for name, array in theirs.items()}
    flax = {p.spelled("flax"): p.shape[::-1] if transposed(p.row, "flax") else p.shape for p in parameters}
    bare = {name.removeprefix("bert/"): shape for name, shape in flax.items()}
    theirs = msgpack.read(transformers4 / head / "flax_model.msgpack")
    assert (bare if head == "Model" else flax) == {name: array.shape for name, array in theirs.items()}


def test_legacy_names() -> None:
    legacy = {spelling(row, "legacy") for row in TABLE}
    assert "bert.encoder.layer.{}.attention.output.LayerNorm.gamma" in legacy
    assert "bert.embeddings.LayerNorm.beta" in legacy
    assert "cls.seq_relationship.bias" in legacy


def test_parameters_that_a_format_cannot_store_have_no_name() -> None:
    distance = next(row for row in TABLE if "distance_embedding" in row.name)
    for layout in ("google", "google2", "keras"):
        assert spelling(distance, layout) == spelling(UNTIED, layout) == ""
    assert spelling(UNTIED, "flax") == "cls/predictions/decoder/kernel"


def test_only_matrices_have_weight_decay() -> None:
    kept = {p.row.name for p in expand(tiny.config()).values() if not p.decays}
    assert all(name.endswith("bias") or "LayerNorm" in name for name in kept)
    assert len(kept) == sum(row.name.endswith("bias") or row.name.endswith("LayerNorm.weight") for row in TABLE)


def test_initial_values_are_those_of_bert() -> None:
    config = BertConfig.named("tiny", pad_token_id=3)
    rng = np.random.default_rng(0)
    fresh = {name: initial(parameter, config, rng) for name, parameter in expand(config, "ForPreTraining").items()}
    words = fresh["bert.embeddings.word_embeddings.weight"]
    assert words.dtype == np.float32
    assert words.std() == pytest.approx(0.02, rel=0.01)
    assert not words[3].any()
    assert np.count_nonzero(words.any(axis=1)) == len(words) - 1
    assert (fresh["bert.embeddings.LayerNorm.weight"] == 1).all()
    assert not fresh["bert.embeddings.LayerNorm.bias"].any()
    assert not fresh["cls.predictions.bias"].any()


def test_head_of() -> None:
    for head in HEADS:
        assert head_of(f"Bert{head}") == head_of(f"TFBert{head}") == head_of(f"FlaxBert{head}") == head_of(head) == head
    with pytest.raises(UsageError, match="Did you mean 'BertForMaskedLM'"):
        head_of("BertForMaskLM")


def test_pruned_heads_make_the_attention_of_their_layer_narrower() -> None:
    given = {"is_decoder": True, "add_cross_attention": True, "position_embedding_type": "relative_key"}
    whole = expand(tiny.config(**given))
    pruned = expand(tiny.config(**given, pruned_heads={1: [0]}))
    changed = {name: parameter.shape for name, parameter in pruned.items() if parameter.shape != whole[name].shape}
    layer = "bert.encoder.layer.1.attention."
    assert changed == {
        **{f"{layer}self.{part}.weight": (4, 8) for part in ("query", "key", "value")},
        **{f"{layer}self.{part}.bias": (4,) for part in ("query", "key", "value")},
        f"{layer}output.dense.weight": (8, 4),
    }
    assert pruned.keys() == whole.keys()
