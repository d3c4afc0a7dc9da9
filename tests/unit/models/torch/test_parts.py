"""Parts of a model called by themselves on [B, L, H], their activations replaced, and the hooks of others on them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from reading_path import passed_through
from torch import nn
from torch_models import batch, furthest, ours, theirs

from bertkit.errors import UsageError

TOLERANCE = 1e-5
LOWEST = torch.finfo(torch.float32).min


def states(length: int = 17, name: str = "states") -> torch.Tensor:
    return torch.randn(5, length, 32, generator=torch.Generator().manual_seed(len(name)))


def extended() -> torch.Tensor:
    """The mask of the batch as it is added to scores, [B, 1, 1, L]."""
    return (1.0 - batch()[1][:, None, None]) * LOWEST


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["none", "added", "bool", "causal"])
def test_layers_attention_and_encoder(kind: str, implementation: str) -> None:
    mask = batch()[1]
    our, their = ours("BertModel").encoder, theirs("BertModel").encoder
    real = mask.bool()
    pairs = real[:, None, None] & torch.ones(17, 17, dtype=torch.bool).tril()
    added = {"none": None, "causal": (~pairs) * LOWEST}.get(kind, extended())
    given = real[:, None, None] if kind == "bool" else added
    x = states()
    layer, peer = our.layer[1], their.layer[1]
    for got, expected in (
        (layer(x, given)[0], peer(x, added)),
        (layer.attention(x, given)[0], peer.attention(x, added)[0]),
        (layer.attention.self(x, given)[0], peer.attention.self(x, added)[0]),
        (layer.attention.self(x, given, output_attentions=True)[1], peer.attention.self(x, added)[1]),
        (our(x, given).last_hidden_state, their(x, added).last_hidden_state),
        (our(x, attention_mask=given, return_dict=False)[0], their(x, added)[0]),
    ):
        assert furthest(got, expected) < TOLERANCE
    assert layer(x, given)[1] is None
    whole = our(x, given, output_hidden_states=True, output_attentions=True)
    assert torch.equal(whole.hidden_states[0], x) and torch.equal(whole.hidden_states[-1], whole.last_hidden_state)
    assert furthest(whole.attentions[0], their.layer[0].attention(x, added)[1]) < TOLERANCE
    assert list(whole) == ["last_hidden_state", "hidden_states", "attentions"]


def test_a_model_put_together_by_hand() -> None:
    ids, mask = batch()
    our, their = ours("BertForPreTraining"), theirs("BertForPreTraining")
    expected = our(ids, mask)
    x = our.bert.encoder(our.bert.embeddings(ids), extended()).last_hidden_state
    words, related = our.cls(x, our.bert.pooler(x))
    real = mask.bool()
    assert furthest(words[real], expected.prediction_logits[real]) < TOLERANCE
    assert furthest(related, expected.seq_relationship_logits) < TOLERANCE
    x = states()
    assert furthest(our.bert.pooler(x), their.bert.pooler(x)) < TOLERANCE
    for got, wanted in zip(our.cls(x, x[:, 0]), their.cls(x, x[:, 0]), strict=True):
        assert furthest(got, wanted) < TOLERANCE
    assert furthest(our.cls.predictions(x), their.cls.predictions(x)) < TOLERANCE
    assert furthest(our.cls.predictions.transform(x), their.cls.predictions.transform(x)) < TOLERANCE
    for name, given in (("BertForMaskedLM", x), ("BertForNextSentencePrediction", x[:, 0])):
        assert furthest(ours(name).cls(given), theirs(name).cls(given)) < TOLERANCE


def test_cross_attention_called_by_itself() -> None:
    our, their = (model("BertLMHeadModel", add_cross_attention=True).bert.encoder for model in (ours, theirs))
    x, encoder = states(), states(7, "encoder")
    seen = (torch.arange(7) < torch.tensor([7, 3, 2, 5, 1])[:, None])[:, None, None]
    before = torch.ones(17, 17, dtype=torch.bool).tril()[None, None].expand(5, -1, -1, -1)
    added, of_encoder = (~before) * LOWEST, (~seen) * LOWEST
    part, peer = our.layer[0].crossattention, their.layer[0].crossattention
    got = part(x, of_encoder, encoder_hidden_states=encoder, output_attentions=True)
    expected = peer(x, None, encoder, of_encoder)
    assert furthest(got[0], expected[0]) < TOLERANCE and furthest(got[1], expected[1]) < TOLERANCE
    output = our.layer[0](x, None, None, encoder, of_encoder, output_attentions=True)  # a decoder sees those before
    assert furthest(output[0], their.layer[0](x, added, encoder, of_encoder)) < TOLERANCE
    assert [weights.shape for weights in output[1:]] == [(5, 4, 17, 17), (5, 4, 17, 7)]
    whole = our(x, added, encoder_hidden_states=encoder, encoder_attention_mask=of_encoder, use_cache=True)
    assert furthest(whole.last_hidden_state, their(x, added, encoder, of_encoder).last_hidden_state) < TOLERANCE
    assert whole.past_key_values.get_seq_length() == 17 and len(whole.past_key_values[0]) == 4
    start = our(x[:, :9], None, None, encoder, of_encoder, use_cache=True)
    rest = our(x[:, 9:], None, None, encoder, of_encoder, start.past_key_values).last_hidden_state
    assert furthest(rest, whole.last_hidden_state[:, 9:]) < TOLERANCE


def test_factors_of_heads() -> None:
    model, x = ours("BertModel"), states()
    factors = torch.tensor([1.0, 0.5, 0.0, 1.0])
    extended_factors = factors.view(1, 1, 4, 1, 1).expand(3, -1, -1, -1, -1)
    ids, mask = batch()
    expected = model(ids, mask, head_mask=factors).last_hidden_state
    got = model.encoder(model.embeddings(ids), extended(), head_mask=extended_factors).last_hidden_state
    assert furthest(got[mask.bool()], expected[mask.bool()]) < TOLERANCE
    assert torch.equal(model.encoder(x, None, [None] * 3)[0], model.encoder(x)[0])
    layer = model.encoder.layer[0]
    assert furthest(layer(x, None, extended_factors[0])[0], layer(x, None, factors, None, None, None, True)[0]) < 1e-6


def test_invalid_arguments_of_a_part_are_refused() -> None:
    encoder, x = ours("BertModel").encoder, states()
    crossed = ours("BertLMHeadModel", add_cross_attention=True).bert.encoder.layer[0]
    layer, mask = encoder.layer[0], batch()[1]
    for call, sentence in (
        (lambda: layer(x, mask), r"not \[5, 17\].*mask\[:, None, None\].bool\(\)"),
        (lambda: layer(x[0]), r"\[17, 32\], and must be \[batch, length, 32\]"),
        (lambda: layer(x, None, torch.ones(3)), r"must be \[4\] or \[1, 4, 1, 1\]"),
        (lambda: encoder(x, None, torch.ones(2, 1, 4, 1, 1)), "has 2 layers, and the model has 3"),
        (lambda: layer(x, past_key_values=()), "pass them to the model, or to its encoder"),
        (lambda: layer(x, None, None, x), "add_cross_attention=True"),
        (lambda: layer.attention(x, None, None, x), "pass them to crossattention"),
        (lambda: crossed.crossattention(x), "pass encoder_hidden_states"),
    ):
        with pytest.raises(UsageError, match=sentence):
            call()


def test_activations_are_replaced() -> None:
    ids, mask = batch()
    our, their = ours("BertForMaskedLM"), copy.deepcopy(theirs("BertForMaskedLM"))
    for model in (our, their):
        for layer in model.bert.encoder.layer:
            layer.intermediate.intermediate_act_fn = nn.ReLU()
        model.cls.predictions.transform.transform_act_fn = nn.Tanh()
    real = mask.bool()
    got = our(ids, mask).logits[real]
    assert furthest(got, their(ids, mask).logits[real]) < TOLERANCE
    assert furthest(got, ours("BertForMaskedLM")(ids, mask).logits[real]) > 1e-2


def test_the_activation_of_the_pooler_is_replaced() -> None:
    our, their = ours("BertModel"), copy.deepcopy(theirs("BertModel"))
    for model in (our, their):
        model.pooler.activation = nn.ReLU()
    assert furthest(our(*batch()).pooler_output, their(*batch()).pooler_output) < TOLERANCE


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_dropout_modules_of_attention_have_an_effect(implementation: str) -> None:
    for model in (ours("BertModel"), copy.deepcopy(theirs("BertModel"))):
        model.set_attn_implementation(implementation)
        ids, part = batch()[0], model.train().encoder.layer[0].attention.self
        assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)  # 0.0 in the configuration
        part.dropout.p = 0.5
        assert furthest(model(ids).last_hidden_state, model(ids).last_hidden_state) > 1e-3
        part.dropout = nn.Dropout(0.0)
        assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)
    our = ours("BertModel")
    our.encoder.layer[0].attention.self.dropout = nn.Dropout(0.5)  # in training mode: Monte Carlo dropout
    assert furthest(our(ids).last_hidden_state, our(ids).last_hidden_state) > 1e-3
    our.encoder.layer[0].attention.self.dropout = nn.Identity()
    assert torch.equal(our(ids).last_hidden_state, our(ids).last_hidden_state)


def test_a_hook_on_token_types_is_called_without_token_type_ids() -> None:
    (ids, mask), found = batch(), []
    for model in (ours("BertModel"), copy.deepcopy(theirs("BertModel"))):
        model.embeddings.token_type_embeddings.register_forward_hook(lambda module, args, output: output * 3)
        found.append(model(ids, mask).last_hidden_state[mask.bool()])
    assert furthest(*found) < TOLERANCE


def integrated(model: Any, embedding: nn.Module, ids: torch.Tensor, mask: torch.Tensor, steps: int = 8) -> torch.Tensor:
    """Integrated gradients of a layer as Captum takes them: its output is replaced, by a hook, with points on a line."""
    kept: list[torch.Tensor] = []
    hook = embedding.register_forward_hook(lambda module, args, output: kept.append(output.detach()))
    model(ids, attention_mask=mask)
    model(torch.zeros_like(ids), attention_mask=mask)
    hook.remove()
    end, start = kept
    points = torch.cat([start + (end - start) * (i + 0.5) / steps for i in range(steps)]).requires_grad_()
    hook = embedding.register_forward_hook(lambda module, args, output: points)
    logits = model(ids.repeat(steps, 1), attention_mask=mask.repeat(steps, 1)).logits
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), points)
    return (end - start) * gradient.view(steps, *end.shape).mean(0)


@pytest.mark.parametrize("where", ["embeddings", "embeddings.word_embeddings"])
def test_integrated_gradients_of_embeddings(where: str) -> None:
    ids, mask = batch()
    name = "BertForSequenceClassification"
    got, expected = (
        integrated(model, model.bert.get_submodule(where), ids, mask) for model in (ours(name), theirs(name))
    )
    assert got.shape == (5, 17, 32)
    real = mask.bool()
    assert furthest(got[real], expected[real]) < TOLERANCE


@pytest.mark.filterwarnings("ignore")  # those of Captum
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("where", ["embeddings", "embeddings.word_embeddings"])
def test_integrated_gradients_of_captum(where: str, padded: bool) -> None:
    reason = "Captum is not installed: pip install captum"
    captum = pytest.importorskip("captum.attr", reason=reason, exc_type=ImportError)
    ids, mask = batch()
    mask = mask if padded else torch.ones_like(mask)
    found = []
    for model in (ours("BertForSequenceClassification"), theirs("BertForSequenceClassification")):

        def scores(ids: torch.Tensor, mask: torch.Tensor, model: nn.Module = model) -> torch.Tensor:
            return model(ids, attention_mask=mask).logits

        explainer = captum.LayerIntegratedGradients(scores, model.bert.get_submodule(where))
        found.append(
            explainer.attribute(
                ids,
                baselines=torch.zeros_like(ids),
                additional_forward_args=(mask,),
                target=1,
                n_steps=8,
                internal_batch_size=4,
                return_convergence_delta=True,
            )
        )
    for got, expected in zip(*found, strict=True):
        assert furthest(got, expected) < TOLERANCE
    assert found[0][0].shape == (5, 17, 32) and found[0][0].abs().max() > 1e-3


@pytest.mark.parametrize("padded", [True, False])
def test_noise_of_neftune(padded: bool) -> None:
    from transformers.integrations.neftune import neftune_post_forward_hook

    ids, mask = batch()
    mask = mask if padded else torch.ones_like(mask)
    outputs = []
    for model in (ours("BertForMaskedLM").train(), copy.deepcopy(theirs("BertForMaskedLM")).train()):
        embedding = model.get_input_embeddings()
        embedding.neftune_noise_alpha = 5.0
        embedding.register_forward_hook(neftune_post_forward_hook)
        torch.manual_seed(3)
        outputs.append(model(ids, mask).logits[mask.bool()])
    assert furthest(*outputs) < TOLERANCE
    assert furthest(outputs[0], ours("BertForMaskedLM")(ids, mask).logits[mask.bool()]) > 1e-3


def test_the_error_of_a_hook_on_the_embedding_is_its_own() -> None:
    model = ours("BertModel")
    model.embeddings.word_embeddings.register_forward_hook(lambda module, args, output: output.size(7))
    with pytest.raises(IndexError, match="Dimension out of range"):
        model(batch()[0])


@pytest.mark.parametrize("name", ["BertModel", "BertForTokenClassification"])
def test_the_configuration_says_how_attention_is_computed(name: str) -> None:
    model, given = ours(name), batch()
    for implementation in ("eager", "sdpa"):
        model.config._attn_implementation = implementation
        names = [called for _, called in passed_through(lambda: model(*given))]
        assert ("eager" in names) == (implementation == "eager")
