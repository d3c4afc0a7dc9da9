"""transformers and bertkit load each other's files: installed 5.x, and recorded files of 4.57.6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers

from bertkit import BertConfig, load_checkpoint, save_checkpoint
from bertkit.checkpoint.files import Tensors
from bertkit.heads import HEADS

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "cross-attention": {"is_decoder": True, "add_cross_attention": True},
    "untied": {"tie_word_embeddings": False},
}


def state(model: torch.nn.Module, head: str) -> Tensors:
    """The state of a model of transformers by the names of the table."""
    bert = "bert." if head == "Model" else ""
    return {bert + name: array.numpy() for name, array in model.state_dict().items()}


def config_of(head: str, case: str) -> BertConfig:
    config = tiny.config(**CASES[case])
    if head == "ForQuestionAnswering":
        config.num_labels = 2
    return config


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shard", ["5GB", "1KB"])
def test_transformers_loads_files_of_bertkit(tmp_path: Path, head: str, case: str, shard: str) -> None:
    config = config_of(head, case)
    weights = tiny.weights(config, head)
    save_checkpoint(tmp_path, weights, config, head, max_shard_size=shard)
    model, info = getattr(transformers, f"Bert{head}").from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    theirs = state(model, head)
    for name, array in weights.items():
        np.testing.assert_array_equal(theirs[name], array)
    if case == "untied" and "cls.predictions.bias" in weights:
        np.testing.assert_array_equal(theirs["cls.predictions.decoder.bias"], weights["cls.predictions.bias"])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["safetensors", "shards", "bin", "legacy bin", "float16", "bfloat16"])
def test_bertkit_loads_files_of_transformers(tmp_path: Path, head: str, case: str, kind: str) -> None:
    torch.manual_seed(0)
    config = config_of(head, case)
    model = getattr(transformers, f"Bert{head}")(transformers.BertConfig(**config.to_dict()))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    if kind.endswith("bin"):
        model.config.save_pretrained(tmp_path)
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=kind == "bin")
    else:
        model = model.to(getattr(torch, kind)) if "float" in kind else model
        model.save_pretrained(tmp_path, max_shard_size="1KB" if kind == "shards" else "5GB")
    tensors, report = load_checkpoint(tmp_path, head)
    assert report.exact
    assert not report.fresh
    theirs = {f"bert.{name}" if head == "Model" else name: array for name, array in model.state_dict().items()}
    theirs["cls.predictions.bias"] = theirs.get("cls.predictions.decoder.bias", torch.empty(0))
    for name, array in tensors.items():
        np.testing.assert_array_equal(array.astype(np.float32), theirs[name].float().numpy())
        assert str(array.dtype) == str(theirs[name].dtype).removeprefix("torch.")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"])
@pytest.mark.parametrize("case", [*HEADS, "LMHeadModel-cross"])
def test_files_of_transformers_4(transformers4: Path, case: str, file: str) -> None:
    """The nine PyTorch, TensorFlow and Flax classes of transformers 4.57.6 (tests/oracles/transformers4.py)."""
    head = case.partition("-")[0]
    config = BertConfig.from_pretrained(transformers4 / case)
    tensors, report = load_checkpoint(transformers4 / case / file, head)
    assert report.exact
    assert not report.fresh
    assert not report.left_out
    weights = tiny.weights(config, head)
    assert tensors.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(tensors[name], array)
