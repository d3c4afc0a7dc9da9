"""Prepared layers compute the same as the original layers."""

import pickle

import numpy as np
import pytest
import torch
from torch_models import LENGTHS, batch, furthest, ours

from bertkit import batch_invariant
from bertkit.data.batches import Batch
from bertkit.engines.torch import Prepared, TorchEngine, can_prepare, prepared
from bertkit.heads import Ask


def states(model: torch.nn.Module) -> torch.Tensor:
    ids, mask = batch()
    with torch.inference_mode():
        return model(ids, mask).last_hidden_state


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh"])
def test_prepared_layers_give_the_same(activation: str) -> None:
    model = ours("BertModel", hidden_act=activation)
    expected, before = states(model), pickle.dumps(model)
    twin = prepared(model)
    assert sum(isinstance(module, Prepared) for module in twin.modules()) == 6 * 3
    assert furthest(states(twin), expected) < 1e-5
    assert pickle.dumps(model) == before and twin.pooler.dense.weight is model.pooler.dense.weight


def test_types_that_cannot_be_prepared() -> None:
    assert not can_prepare(ours("BertModel").double()) and not can_prepare(ours("BertModel").half())
    assert can_prepare(ours("BertModel"))


def test_half_precision_is_as_accurate() -> None:
    model, exact = ours("BertModel").bfloat16(), states(ours("BertModel"))
    assert can_prepare(model) == torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not can_prepare(model):
        pytest.skip("oneDNN has no products of bfloat16 for this processor, which needs AVX-512")
    before = furthest(states(model).float(), exact)
    assert furthest(states(prepared(model)).float(), exact) < 1.5 * before


def test_a_sentence_gives_the_same_bits_in_any_batch() -> None:
    model = ours("BertModel", hidden_size=96, intermediate_size=384)
    engine = TorchEngine(prepared(model))
    ids, mask = batch()
    flat, lengths = ids[mask.bool()].numpy(), np.array(LENGTHS)
    with batch_invariant():
        whole = engine.run(Batch(flat, 0 * flat, lengths), Ask(layers=(3,)))["hidden_states"]
        for start, length in zip(lengths.cumsum() - lengths, LENGTHS, strict=True):
            own = flat[start : start + length]
            alone = engine.run(Batch(own, 0 * own, np.array([length])), Ask(layers=(3,)))["hidden_states"]
            assert np.array_equal(alone, whole[start : start + length])
