"""`generate` of FlaxBertForCausalLM writes what the PyTorch class writes, which is compared with transformers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch
from generation_cases import case

import bertkit
from bertkit.errors import UsageError


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 6, 9, 14])
def test_words_are_those_of_the_torch_class(seed: int, tmp_path: Any) -> None:
    one = case(seed)
    model = bertkit.BertLMHeadModel(one.config)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in one.weights.items()})
    model.eval().save_pretrained(tmp_path)
    expected = model.generate(
        torch.from_numpy(one.prompt), attention_mask=torch.from_numpy(one.mask), **one.options
    ).numpy()
    flax = bertkit.FlaxBertForCausalLM.from_pretrained(tmp_path)
    found = np.asarray(flax.generate(one.prompt, attention_mask=one.mask, **one.options).sequences)
    assert found.shape[1] == one.prompt.shape[1] + one.options["max_new_tokens"]
    assert found[:, : expected.shape[1]].tolist() == expected.tolist()


def test_keys_of_sampling() -> None:
    model = bertkit.FlaxBertForCausalLM(case(0).config)
    given = {"do_sample": True, "max_new_tokens": 6, "pad_token_id": 0}
    first, again, other = (
        np.asarray(model.generate(np.array([[4, 5]]), prng_key=jax.random.PRNGKey(seed), **given).sequences)
        for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist() != other.tolist()


def test_an_encoder_cannot_write() -> None:
    model = bertkit.FlaxBertForCausalLM(bertkit.BertConfig.from_dict(case(0).config.to_dict() | {"is_decoder": False}))
    with pytest.raises(
        UsageError, match=r"generate needs a decoder: make the model with BertConfig\(is_decoder=True\)"
    ):
        model.generate(np.array([[4]]), max_new_tokens=2)


def test_what_is_invalid() -> None:
    model = bertkit.FlaxBertForCausalLM(case(0).config)
    prompt = np.array([[4, 5], [6, 7]])
    for options, message in (
        ({"output_scores": True}, "output_scores=True is not supported by Flax: leave it out"),
        ({"return_dict_in_generate": True}, "return_dict_in_generate=True is not supported by Flax"),
        ({"attention_mask": np.ones((2, 3))}, r"attention_mask has the shape \[2, 3\], and the words have \[2, 2\]"),
    ):
        with pytest.raises(UsageError, match=message):
            model.generate(prompt, max_new_tokens=2, **options)
    for given in (np.array([[4.7, 5.2]]), np.array([4, 5]), None, "hello"):
        with pytest.raises(UsageError, match=r"must be a tensor \[batch, length\] of whole numbers"):
            model.generate(given, max_new_tokens=2)


def test_padding_is_found_without_a_mask() -> None:
    model = bertkit.FlaxBertForCausalLM(case(0).config)
    prompt, options = np.array([[0, 0, 4, 5]]), {"max_new_tokens": 6, "pad_token_id": 0}
    found = np.asarray(model.generate(prompt, **options).sequences)
    alone = np.asarray(model.generate(prompt[:, 2:], **options).sequences)
    masked = np.asarray(model.generate(prompt, attention_mask=prompt != 0, **options).sequences)
    assert found[:, 4:].tolist() == alone[:, 2:].tolist() == masked[:, 4:].tolist()
