"""The reference implementation. tests/conformance compares it with transformers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from bertkit import BertConfig, load_checkpoint, save_checkpoint
from bertkit.config import ACTIVATIONS
from bertkit.errors import UsageError
from bertkit.parameters import kept_heads
from bertkit.reference import activate, classification_loss, cross_entropy, forward

IDS = np.array([[2, 5, 7, 3], [2, 9, 3, 4]])


def small(**given: Any) -> tuple[BertConfig, dict[str, np.ndarray]]:
    """A tiny BertModel with two heads of width 4."""
    config = tiny.config(**given)
    return config, tiny.weights(config, "Model")


def test_exact_gelu_is_exact_in_float32() -> None:
    x = np.concatenate([np.linspace(-7, 7, 20001), [-1000, -60, 60, 1000]]).astype(np.float32)
    exact = np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.tolist()])
    assert np.max(np.abs(activate("gelu", x) - exact) / np.maximum(1, np.abs(x))) < 2e-7
    wide = np.linspace(-7, 7, 20001)
    exact = np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in wide.tolist()])
    assert np.abs(activate("gelu", wide) - exact).max() < 7e-8


def test_every_activation_has_its_definition() -> None:
    x = np.linspace(-8, 8, 1001)
    near = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    defined = {"gelu_new": near, "gelu_pytorch_tanh": near, "relu": x * (x > 0), "tanh": np.tanh(x)}
    defined |= dict.fromkeys(("silu", "swish"), x / (1 + np.exp(-x)))
    assert defined.keys() | {"gelu"} == set(ACTIVATIONS)
    for name, wanted in defined.items():
        np.testing.assert_allclose(activate(name, x), wanted, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_row_of_padding_gives_zeros_and_no_nan(dtype: Any) -> None:
    config, p = small()
    p = {name: array.astype(dtype) for name, array in p.items()}
    outputs = forward(config, p, input_ids=IDS, attention_mask=[[1, 1, 1, 0], [0, 0, 0, 0]])
    for x in (
        outputs["last_hidden_state"],
        *outputs["hidden_states"],
        outputs["pooler_output"],
        *outputs["attentions"],
    ):
        assert x.dtype == dtype
        assert np.isfinite(x).all() and x[0].any() and not x[1].any()
    assert not outputs["last_hidden_state"][0, 3].any()


def test_padding_does_not_change_outputs() -> None:
    config, p = small()
    unpadded = forward(config, p, input_ids=IDS[:1, :3])
    right = forward(config, p, input_ids=IDS, attention_mask=[[1, 1, 1, 0], [1, 1, 1, 1]])
    moved = np.roll(IDS, 1, 1)
    places = {"attention_mask": [[0, 1, 1, 1], [1, 1, 1, 1]], "position_ids": [[0, 0, 1, 2], [3, 0, 1, 2]]}
    left = forward(config, p, input_ids=moved, **places)
    for padded, tokens in ((right, slice(0, 3)), (left, slice(1, 4))):
        np.testing.assert_allclose(padded["last_hidden_state"][0, tokens], unpadded["last_hidden_state"][0], atol=1e-5)
        np.testing.assert_allclose(padded["pooler_output"][0], unpadded["pooler_output"][0], atol=1e-5)


def test_a_decoder_attends_only_to_earlier_tokens() -> None:
    config, p = small(is_decoder=True, position_embedding_type="relative_key_query")
    whole, part = forward(config, p, input_ids=IDS), forward(config, p, input_ids=IDS[:, :2])
    np.testing.assert_allclose(whole["last_hidden_state"][:, :2], part["last_hidden_state"], atol=1e-5)


def test_a_pruned_head_equals_a_masked_head(tmp_path: Path) -> None:
    whole, p = small()
    config = tiny.config(pruned_heads={1: [0]})
    assert kept_heads(config, 1) == [1]
    pruned = dict(p)
    for name in p:
        if name.startswith("bert.encoder.layer.1.attention.self."):
            pruned[name] = p[name][4:]
    dense = "bert.encoder.layer.1.attention.output.dense.weight"
    pruned[dense] = p[dense][:, 4:]
    save_checkpoint(tmp_path, pruned, config, "Model")
    read, _ = load_checkpoint(tmp_path)
    masked = forward(whole, p, input_ids=IDS, head_mask=[[1, 1], [0, 1]])
    outputs = forward(BertConfig.from_pretrained(tmp_path), read, input_ids=IDS)
    np.testing.assert_allclose(outputs["last_hidden_state"], masked["last_hidden_state"], atol=1e-6)
    assert [x.shape[1] for x in outputs["attentions"]] == [2, 1]


def test_head_mask_uses_the_numbers_of_heads_before_pruning() -> None:
    config = tiny.config(pruned_heads={1: [0]})
    p = tiny.weights(config, "Model")
    outputs = forward(config, p, input_ids=IDS, head_mask=[[1, 1], [1, 0]])
    assert not outputs["attentions"][1].any()


def test_float64_stays_float64() -> None:
    config, p = small()
    wide = forward(config, {name: array.astype(np.float64) for name, array in p.items()}, input_ids=IDS)
    narrow = forward(config, p, input_ids=IDS)
    assert wide["last_hidden_state"].dtype == np.float64
    np.testing.assert_allclose(wide["last_hidden_state"], narrow["last_hidden_state"], atol=1e-5)


def test_parameters_and_inputs_are_not_changed() -> None:
    config, p = small()
    before = {name: array.copy() for name, array in p.items()}
    embeds = tiny.numbers("embeds", (2, 4, 8))
    copy = embeds.copy()
    for array in (*p.values(), embeds):
        array.flags.writeable = False
    forward(config, p, inputs_embeds=embeds, attention_mask=[[1, 1, 0, 0], [1, 1, 1, 1]])
    assert all((p[name] == before[name]).all() for name in p) and (embeds == copy).all()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "either input_ids or inputs_embeds"),
        ({"input_ids": IDS, "inputs_embeds": np.zeros((2, 4, 8))}, "either input_ids or inputs_embeds"),
        ({"input_ids": [[23]]}, "input_ids must be 0 to 22; received 23 to 23"),
        ({"input_ids": [[-1]]}, "input_ids must be 0 to 22; received -1"),
        ({"input_ids": IDS, "token_type_ids": IDS}, "token_type_ids must be 0 to 1"),
        ({"input_ids": IDS, "position_ids": IDS + 6}, "position_ids must be 0 to 9"),
        ({"input_ids": np.ones((1, 11), int)}, "11 tokens, but max_position_embeddings is 10"),
        ({"input_ids": IDS, "attention_mask": np.ones((4, 2))}, r"attention_mask has the shape \(4, 2\)"),
        ({"input_ids": IDS, "encoder_hidden_states": np.zeros((2, 3, 8))}, "add_cross_attention=True"),
    ],
)
def test_invalid_inputs_are_refused(inputs: dict[str, Any], message: str) -> None:
    config, p = small()
    with pytest.raises(UsageError, match=message):
        forward(config, p, **inputs)


def test_a_checkpoint_without_the_head_is_refused() -> None:
    config, p = small()
    with pytest.raises(
        UsageError, match=r"BertForTokenClassification needs 2 more parameters, such as classifier.bias"
    ):
        forward(config, p, "ForTokenClassification", input_ids=IDS)


def test_labels_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="Labels must be 0 to 2, or -100; received 1 to 3"):
        cross_entropy(np.zeros((2, 3)), np.array([1, 3]))


def test_losses_of_large_logits_are_finite() -> None:
    logits = np.array([[-1e4, 1e4, 0]], np.float32)
    assert cross_entropy(logits, np.array([0])) == 2e4
    several = tiny.config(problem_type="multi_label_classification")
    assert classification_loss(several, logits, np.array([[0, 1, 0]])) == pytest.approx(math.log(2) / 3)
    assert cross_entropy(logits, np.array([[1]])) == 0


def test_attention_of_large_scores_is_finite() -> None:
    config, p = small()
    part = "bert.encoder.layer.0.attention.self."
    p |= {f"{part}{name}.weight": p[f"{part}{name}.weight"] * np.float32(1e12) for name in ("query", "key")}
    first, _ = forward(config, p, input_ids=IDS)["attentions"]
    np.testing.assert_allclose(first.sum(-1), 1, rtol=1e-6)


def test_unsigned_positions_are_accepted() -> None:
    config = tiny.config()
    p = tiny.weights(config, "ForQuestionAnswering")
    signed, unsigned = (
        forward(config, p, "ForQuestionAnswering", input_ids=IDS, start_positions=at, end_positions=at)["loss"]
        for at in (np.array([1, 9]), np.array([1, 9], np.uint8))  # the second is after the last token
    )
    assert np.isfinite(signed) and signed == unsigned
