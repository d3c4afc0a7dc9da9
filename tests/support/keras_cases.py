"""Cases for the tests of the TensorFlow classes and their oracle: inputs of models, and code points for the tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from conformance.cases import ROWS, Arrays, Case, cases, labels, padding, tokens
from conformance.cases import types as token_types

BLOCK = 4096  # number of code points in a block; each block has a digest
KINDS = ((True, True), (False, True), (True, False), (False, False))  # do_lower_case, use_fast_bert_tokenizer


def questions() -> dict[str, Case]:
    """Return the cases that 4.57.6's TensorFlow classes support, and cases for their own masking of labels."""
    own = ("plain", "padded", "left padding", "positions", "embedded", "decoder", "not a decoder", "labels on padding")
    own = (*own, "decoder, masked cross-attention", "masked cross-attention", "regression", "regression, a column")
    found = {name: case for name, case in cases().items() if name.partition("/")[2] in own}
    base = tokens("Model") | padding("Model")
    for head, name, given in (
        ("ForNextSentencePrediction", "a row without label", np.array([1, -100, 0])),
        ("ForTokenClassification", "labels of -1", np.where(labels("ForTokenClassification")["labels"] < 0, -1, 1)),
        ("ForSequenceClassification", "classes", np.array([2, 0, 1])),
    ):
        found[f"{head}/{name}"] = Case(f"{head}/{name}", head, {}, base | {"labels": given})
    beside = {"labels": labels("ForPreTraining")["labels"], "next_sentence_label": np.array([1, -100, 0])}
    found["ForPreTraining/a row without label"] = Case(
        "ForPreTraining/a row without label", "ForPreTraining", {}, base | token_types("Model") | beside
    )
    assert all(len(next(iter(case.inputs.values()))) == ROWS for case in found.values())
    return found


def arguments(case: Case) -> Arrays:
    """Return the inputs, with the label argument's name in 4.57.6."""
    given = dict(case.inputs)
    if case.head == "ForNextSentencePrediction" and "labels" in given:
        given["next_sentence_label"] = given.pop("labels")
    return given


def blocks() -> Iterator[list[str]]:
    """Yield blocks of texts with each code point of Unicode between letters, except surrogates."""
    for start in range(0, 0x110000, BLOCK):
        yield [f"a{chr(i)}b c" for i in range(start, start + BLOCK) if not 0xD800 <= i < 0xE000]


def digests(ids_of: Callable[[Sequence[str]], Any]) -> list[str]:
    """Return a digest of the ids of each block. ids_of: texts -> ids [B, L]."""
    found = []
    for texts in blocks():
        ids = np.asarray(ids_of(texts), np.int32) if texts else np.zeros((0, 0), np.int32)
        found.append(hashlib.sha256(ids.tobytes() + str(ids.shape).encode()).hexdigest()[:8])
    return found
