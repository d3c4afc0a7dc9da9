"""Prepared layers give what the layers gave that they were made of."""

import numpy as np
import pytest
import torch
from torch_models import LENGTHS, batch, furthest, ours

from bertkit import batch_invariant
from bertkit.data.batches import Batch
from bertkit.engines.torch import TorchEngine
from bertkit.models.torch.prepared import Prepared, prepare


def states(model: torch.nn.Module) -> torch.Tensor:
    ids, mask = batch()
    with torch.inference_mode():
        return model(ids, mask).last_hidden_state


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh"])
def test_prepared_layers_give_the_same(activation: str) -> None:
    model = ours("BertModel", hidden_act=activation)
    expected = states(model)
    prepare(model.encoder, activation)
    assert sum(isinstance(module, Prepared) for module in model.modules()) == 6 * 3
    assert furthest(states(model), expected) < 1e-5


def test_what_cannot_be_prepared_stays_as_it_is() -> None:
    model = ours("BertModel").double()
    expected = states(model)
    prepare(model.encoder, "gelu")
    assert torch.equal(states(model), expected)


def test_half_precision_stays_as_near() -> None:
    model, exact = ours("BertModel").bfloat16(), states(ours("BertModel"))
    before = furthest(states(model).float(), exact)
    prepare(model.encoder, "gelu")
    assert furthest(states(model).float(), exact) < 1.5 * before


def test_a_sentence_gives_the_same_bits_in_any_batch() -> None:
    model = ours("BertModel", hidden_size=96, intermediate_size=384)
    prepare(model.encoder, "gelu")
    engine = TorchEngine(model)
    ids, mask = batch()
    flat, lengths = ids[mask.bool()].numpy(), np.array(LENGTHS)
    with batch_invariant():
        whole = engine.run(Batch(flat, 0 * flat, lengths), ["hidden_states.3"])["hidden_states.3"]
        for start, length in zip(lengths.cumsum() - lengths, LENGTHS, strict=True):
            own = flat[start : start + length]
            alone = engine.run(Batch(own, 0 * own, np.array([length])), ["hidden_states.3"])["hidden_states.3"]
            assert np.array_equal(alone, whole[start : start + length])
