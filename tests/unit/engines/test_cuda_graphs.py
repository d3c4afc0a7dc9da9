"""What runs on a GPU, as far as a CPU can run it; and on a GPU, if there is one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pipeline_cases
import pytest
import torch
from pipeline_cases import MODELS
from torch_models import furthest, ours

from bertkit.data.batches import Row, Target, pack
from bertkit.engines.cuda_graphs import Replayed
from bertkit.engines.prepared import Dense, prepared
from bertkit.engines.torch import TorchEngine
from bertkit.heads import Ask
from bertkit.models.torch.model import States

LENGTHS = ([5], [3, 9, 1], [16] * 4, [17, 2], [30] * 9, [200], [4, 0, 3], [])


def run_again(run: Callable[[], States], device: torch.device) -> tuple[States, Callable[[], object]]:
    """Like a CUDA graph, it computes into the same tensors."""
    found = run()

    def replay() -> None:
        for old, new in zip(found, run(), strict=True):
            if isinstance(old, torch.Tensor):
                old.copy_(new)

    return found, replay


def rows(lengths: list[int], config: Any) -> list[Row]:
    rng = np.random.default_rng(len(lengths))
    return [
        Row(
            rng.integers(5, config.vocab_size, length),
            rng.integers(0, 2, length),
            np.array([max(0, length - 1)]),
            {"labels": Target(np.array([7]), "place")},
        )
        for length in lengths
    ]


@pytest.mark.parametrize("options", [{}, {"position_embedding_type": "relative_key"}, {"is_decoder": True}])
@pytest.mark.parametrize("head", ["Model", "ForMaskedLM", "ForSequenceClassification"])
def test_small_batches_give_the_same(head: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = ours(f"Bert{head}").eval()
    model = type(model)(
        type(model.config)(**{**model.config.to_dict(), **options, "max_position_embeddings": 256})
    ).eval()
    plain, own = TorchEngine(model), TorchEngine(prepared(model, Dense))
    own._body = body = Replayed(own._runs.base_model, run_again)
    ask = {
        "Model": Ask(("last_hidden_state",), pooled=True),
        "ForMaskedLM": Ask(("logits",), log_probs=True),
    }.get(head, Ask(("logits",)))
    for _ in range(2):  # a shape is recorded, and then replayed with other rows
        for lengths in LENGTHS:
            given = rows(lengths, model.config)
            some = pack([row if head == "ForMaskedLM" else Row(row.input_ids, row.token_type_ids) for row in given])
            if head == "ForMaskedLM" and (0 in lengths or not lengths):
                continue
            found = own.run(some, ask)
            for name, expected in plain.run(some, ask).items():
                np.testing.assert_allclose(found[name], expected, atol=1e-5, rtol=0, err_msg=f"{name} {lengths}")
    assert body._held.keys() == {(1, 16), (4, 16), (2, 32)}
    inner = Ask(layers=(0, 1))
    some = pack([Row(row.input_ids, row.token_type_ids) for row in rows([3, 5], model.config)])
    np.testing.assert_allclose(
        own.run(some, inner)["hidden_states"], plain.run(some, inner)["hidden_states"], atol=1e-5
    )


def test_a_rectangle_is_no_longer_than_the_model() -> None:
    model = ours("BertModel").eval()
    model = type(model)(type(model.config)(**{**model.config.to_dict(), "max_position_embeddings": 20})).eval()
    plain, own = TorchEngine(model), TorchEngine(prepared(model, Dense))
    own._body = Replayed(own._runs.base_model, run_again)
    some = pack([Row(row.input_ids, row.token_type_ids) for row in rows([18, 2], model.config)])
    found, expected = (one.run(some, Ask(pooled=True))["pooler_output"] for one in (own, plain))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    assert own._body._held.keys() == {(2, 20)}


def test_threads_do_not_mix_their_batches() -> None:
    model = ours("BertModel").eval()
    plain, own = TorchEngine(model), TorchEngine(prepared(model, Dense))
    own._body = Replayed(own._runs.base_model, run_again)
    batches = [pack([Row(np.full(9, word), np.zeros(9, int))]) for word in range(5, 21)]
    expected = [plain.run(batch, Ask(pooled=True))["pooler_output"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: own.run(batch, Ask(pooled=True))["pooler_output"], batches * 4))
    np.testing.assert_allclose(found, expected * 4, atol=1e-5, rtol=0)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu", "tanh"])
def test_fused_products_give_the_same(activation: str) -> None:
    model = ours("BertModel", hidden_act=activation)
    twin = prepared(model, Dense)
    ids = torch.arange(5, 17)[None]
    with torch.inference_mode():
        assert furthest(twin(ids).last_hidden_state, model(ids).last_hidden_state) < 1e-5
        assert twin.double()(ids).last_hidden_state.dtype is torch.float64
    assert len(list(twin.encoder.layer[0].attention.self.parameters())) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU of NVIDIA")
@pytest.mark.parametrize(("precision", "near"), [("fp32", 1e-4), ("bf16", 0.1)])
def test_a_gpu_gives_the_same(precision: str, near: float) -> None:
    name = "masked"
    parts = pipeline_cases.weights(name), pipeline_cases.config(name), MODELS[name][0]
    own, exact = (TorchEngine.open(*parts, device, kind) for device, kind in (("cuda", precision), ("cpu", "fp32")))
    for _ in range(2):
        for lengths in LENGTHS[:6]:
            lengths = [min(length, pipeline_cases.config(name).max_position_embeddings) for length in lengths]
            some = pack(rows(lengths, parts[1]))
            ask = Ask(("logits",), log_probs=True)
            for key, expected in exact.run(some, ask).items():
                np.testing.assert_allclose(own.run(some, ask)[key], expected, atol=near, rtol=0)
    assert len(own._body._held) == 3
