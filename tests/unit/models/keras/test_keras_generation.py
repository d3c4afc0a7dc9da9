"""`generate` of TFBertLMHeadModel writes what the PyTorch class writes, which is compared with transformers."""

from __future__ import annotations

from typing import Any

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
    options = {**one.options, "return_dict_in_generate": True, "output_scores": True}
    given = {"seed": 3} if one.options["do_sample"] else {}
    expected = model.generate(
        torch.from_numpy(one.prompt), attention_mask=torch.from_numpy(one.mask), **options, **given
    )
    keras = bertkit.TFBertLMHeadModel.from_pretrained(tmp_path)
    found = keras.generate(one.prompt, attention_mask=one.mask, **options, **given)
    assert np.asarray(found.sequences).tolist() == expected.sequences.tolist()
    assert len(found.scores) == len(expected.scores)
    for own, theirs in zip(found.scores, expected.scores, strict=True):
        assert np.allclose(np.asarray(own), theirs.numpy(), atol=1e-4)


def test_seeds_and_the_padding_token() -> None:
    model = bertkit.TFBertLMHeadModel(case(0).config)
    given: dict[str, Any] = {"do_sample": True, "max_new_tokens": 6, "pad_token_id": 0}
    prompt = np.array([[0, 0, 4, 5]])
    first, again, other = (np.asarray(model.generate(prompt, seed=seed, **given)) for seed in (7, [0, 7], [1, 7]))
    assert first.tolist() == again.tolist() != other.tolist()
    alone = np.asarray(model.generate(input_ids=prompt[:, 2:], seed=7, **given))
    assert first[:, 4:].tolist() == alone[:, 2:].tolist()


def test_errors() -> None:
    model = bertkit.TFBertLMHeadModel(bertkit.BertConfig.from_dict(case(0).config.to_dict() | {"is_decoder": False}))
    with pytest.raises(UsageError, match="generate needs a decoder"):
        model.generate(np.array([[4]]), max_new_tokens=2)
    with pytest.raises(UsageError, match="received no prompt"):
        model.generate(max_new_tokens=2)
    with pytest.raises(UsageError, match="leaves no room"):
        model.generate(np.array([[4, 5]]), max_length=2)
