"""Prepared layers compute the same as the original layers."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from torch_models import LENGTHS, batch, furthest, ours

from bertkit import BertConfig, BertModel, batch_invariant
from bertkit.data.batches import Batch
from bertkit.engines.prepared import Prepared, can_prepare, prepared
from bertkit.engines.torch import TorchEngine
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
    assert sum(isinstance(module, Prepared) for module in twin.modules()) == 4 * 3
    assert furthest(states(twin), expected) < 1e-5
    assert pickle.dumps(model) == before and twin.pooler.dense.weight is model.pooler.dense.weight


def test_types_that_cannot_be_prepared() -> None:
    cpu = torch.device("cpu")
    assert can_prepare(cpu, torch.float32)
    assert not any(can_prepare(cpu, dtype) for dtype in (torch.float64, torch.float16))
    assert not can_prepare(torch.device("meta"), torch.float32)


def test_half_precision_is_more_accurate_than_a_model_of_half_precision() -> None:
    """Only the products are in bfloat16. The sums and norms are in float32."""
    assert can_prepare(torch.device("cpu"), torch.bfloat16) == torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no products of bfloat16 for this processor, which needs AVX-512")
    for kind in ("absolute", "relative_key_query"):
        torch.manual_seed(0)
        exact = BertModel(BertConfig(**{**ours("BertModel").config.to_dict(), "position_embedding_type": kind})).eval()
        expected, half = states(exact), states(copy.deepcopy(exact).bfloat16()).float()
        found = states(prepared(exact, partial(Prepared, dtype=torch.bfloat16)))
        assert found.dtype == torch.float32
        assert 0 < furthest(found, expected) < 0.8 * furthest(half, expected)


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


@pytest.mark.parametrize(
    ("head", "ask"),
    [
        ("ForSequenceClassification", Ask(("logits",))),
        ("ForTokenClassification", Ask(("logits",), layers=(0, 3))),
        ("Model", Ask(("last_hidden_state",), pooled=True)),
        ("ForMaskedLM", Ask(("logits",))),
    ],
)
def test_many_batches_have_few_numbers_of_tokens(head: str, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """OneDNN keeps code for each number, so that memory would grow for as long as new ones appear."""
    model, rng = ours(f"Bert{head}"), np.random.default_rng(0)
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    if head == "Model":
        tensors = {f"bert.{name}": array for name, array in tensors.items()}
    engine, seen = TorchEngine.open(tensors, model.config, head, "cpu", "fp32"), set[int]()
    forward = Prepared.forward

    def recorded(layer: Prepared, x: torch.Tensor) -> torch.Tensor:
        seen.add(x.shape[0])
        return forward(layer, x)

    monkeypatch.setattr(Prepared, "forward", recorded)
    exact = TorchEngine(model)
    for number in range(150):
        lengths = rng.integers(1, 12, rng.integers(1, 90))
        ids = rng.integers(5, model.config.vocab_size, lengths.sum())
        positions = np.sort(rng.choice(len(ids), rng.integers(1, len(ids) + 1), replace=False))
        some = Batch(ids, 0 * ids, lengths, positions=positions if head == "ForMaskedLM" and number % 2 else None)
        found = engine.run(some, ask)
        if number < 10:
            for name, expected in exact.run(some, ask).items():
                np.testing.assert_allclose(found[name], expected, atol=1e-5, rtol=0, err_msg=name)
    assert len(seen) < 100
    assert all(count <= 32 or count % (1 << count.bit_length() - 5) == 0 for count in seen)
