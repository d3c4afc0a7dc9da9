"""Compares an exported model with the original on real texts. The original is computed in fp32 by the NumPy reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import numpy as np

from bertkit import reference
from bertkit.config import BertConfig
from bertkit.errors import DataError, ExportError, Setting
from bertkit.exporting.base import Forward
from bertkit.graphs.names import INPUTS, has_choices, output_names
from bertkit.heads import ANSWERS, CLASSIFIER, HEADS, POOLER, Output
from bertkit.parameters import expand
from bertkit.pipelines.open import Weights
from bertkit.tensors import Array

LIMITS = {"fp32": 1e-4}
"""The largest accepted difference of an output by precision. Others are reported, whatever they are."""

MOST_TEXTS = 256
"""The most texts of a file that are compared."""

_ROWS = 4  # of a batch, where the format takes any shape

TEXTS = (
    "The museum opens at nine on weekdays.",
    "She left her keys on the kitchen table and noticed only at the station, twenty minutes before the train to the coast.",
    "Is this seat taken?",
    "Copper conducts heat better than iron, which is why the bases of good pans are made of it.",
    "In 1904 the bridge was closed for repairs; it reopened two years later, wider and with a second track.",
    "I would not watch this film again, not even for free.",
    "The committee, having heard both sides, postponed its decision until the figures of the last quarter were known.",
    "Bees dance to tell others where flowers are.",
    "Who wrote the letter that Maria found in Lisbon?",
    "Rain is likely in the north, with strong winds along the coast and some sun in the afternoon further inland.",
    "A recipe for six people needs 400 g of flour, two eggs and a pinch of salt.",
    "He said yes.",
)


@dataclass
class Difference:
    """How an output differs from the original."""

    output: str
    shape: tuple[int, ...] = ()  # of the output in the last batch
    worst: float = 0.0  # the largest absolute difference of two numbers
    total: float = 0.0  # the sum of all differences
    numbers: int = 0
    cosine: float = 1.0  # the lowest cosine of two vectors, each of a token or a row
    cosines: float = 0.0  # the sum of all cosines
    vectors: int = 0
    answers: int = 0  # labels, words or positions with the highest score; 0 if the output has no answers
    equal: int = 0  # those that are the same in both models

    def row(self) -> tuple[str, ...]:
        """The columns of a table: see HEADER."""
        equal = f"{self.equal / self.answers:.2%} of {self.answers:,}" if self.answers else ""
        cosines = (f"{self.cosine:.6f}", f"{self.cosines / max(self.vectors, 1):.6f}")
        return self.output, f"{self.worst:.1e}", f"{self.total / self.numbers:.1e}", *cosines, equal


HEADER = ("output", "largest difference", "mean difference", "lowest cosine", "mean cosine", "equal answers")


@dataclass
class Parity:
    """The differences of all outputs on some texts."""

    limit: float
    texts: int = 0
    tokens: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def worst(self) -> float:
        """The largest absolute difference of all outputs."""
        return max(one.worst for one in self.differences)

    def check(self) -> None:
        """Raise ExportError if a difference is above the limit, or an output has no valid number."""
        for one in self.differences:
            what = f"{one.output} of the exported model"
            if not math.isfinite(one.worst):
                raise ExportError(f"{what} has other shapes, or values that are not numbers: nothing was written.")
            if one.worst > self.limit:
                advice = ("To accept a larger difference, type ", Setting("limit", float(f"{2 * one.worst:.1g}")), ".")
                apart = f"{what} differs from fp32 by {one.worst:.1e}, and at most {self.limit:g} is accepted"
                raise ExportError(f"{apart}: nothing was written. ", *advice)


def outputs_of(weights: Weights) -> list[str]:
    """The outputs of a model."""
    return output_names(weights.head, f"{POOLER}dense.weight" in weights.tensors)


def parameters_of(weights: Weights) -> dict[str, Array]:
    """All parameters of a class for the reference, as float32. An absent pooler is zeros."""
    p = {name: np.zeros(one.shape, np.float32) for name, one in expand(weights.config, weights.head).items()}
    return p | {name: np.asarray(array, np.float32) for name, array in weights.tensors.items()}


def compare(
    weights: Weights,
    forward: Forward,
    texts: Sequence[str],
    tokenizer: Any,
    shape: tuple[int, ...] | None,
    limit: float,
) -> Parity:
    """Run texts through the exported model, `forward`, and the original."""
    if not texts:
        raise DataError(
            "There are no texts to compare the models on: pass texts, or leave ", Setting("data", "..."), " out."
        )
    config, head = weights.config, weights.head
    p = parameters_of(weights)
    found = Parity(limit, len(texts), differences=[Difference(name) for name in outputs_of(weights)])
    for given in batches(texts, tokenizer, config, head, shape):
        exported, wanted = forward(given), reference.forward(config, p, head, **given)
        real = given["attention_mask"].astype(bool)
        found.tokens += int(real.sum())
        for one in found.differences:
            _add(one, exported[one.output], wanted[one.output], real, HEADS[head].outputs[one.output], config)
    return found


def batches(
    texts: Sequence[str], tokenizer: Any, config: BertConfig, head: str, shape: tuple[int, ...] | None
) -> Iterator[dict[str, Array]]:
    """Batches of the texts, with padding. Every second batch has pairs of texts, which have two types of tokens."""
    sides = shape[:-1] if shape else (_ROWS // 2, 2) if has_choices(head) else (_ROWS,)
    longest = min(config.max_position_embeddings, getattr(tokenizer, "model_max_length", 512))
    options = {"padding": "max_length" if shape else True, "max_length": shape[-1] if shape else longest}
    count = math.prod(sides)
    for number, start in enumerate(range(0, len(texts), count)):
        own = list(texts[start : start + count])
        if shape or has_choices(head):  # the last batch repeats its texts
            own = list(islice(cycle(own), count))
        pairs = [own[1:] + own[:1]] if number % 2 and config.type_vocab_size > 1 else []
        rows = tokenizer(
            own,
            *pairs,
            **options,
            truncation=True,
            return_token_type_ids=True,
            return_attention_mask=True,
            return_tensors="np",
        )
        yield {name: np.asarray(rows[name], np.int64).reshape(-1, *sides[1:], rows[name].shape[-1]) for name in INPUTS}


def _add(one: Difference, found: Array, wanted: Array, real: Array, output: Output, config: BertConfig) -> None:
    """Add the differences of a batch. Both arrays are those of an output: [B, L, C], [B, C], or [B, L] for ANSWERS."""
    valid = found.shape == wanted.shape and bool(np.isfinite(found).all())
    apart = np.abs(found.astype(np.float64) - wanted) if valid else np.full(wanted.shape, np.inf)
    one.shape = found.shape
    one.worst = max(one.worst, float(apart.max()))
    one.total += float(apart.sum())
    one.numbers += apart.size
    if not valid:
        return
    if output.part == ANSWERS:
        pair = [np.where(real, x, 0) for x in (found, wanted)]
    else:
        pair = [x if output.grain == "row" else x[real] for x in (found, wanted)]
    cosines = _cosines(*pair)
    one.cosine = min(one.cosine, float(cosines.min()))
    one.cosines += float(cosines.sum())
    one.vectors += cosines.size
    ours, theirs = (_answers(x, output, config) for x in ((found, wanted) if output.part == ANSWERS else pair))
    one.answers += theirs.size
    one.equal += int(np.equal(ours, theirs).sum())


def _cosines(found: Array, wanted: Array) -> Array:
    """The cosine of each two vectors, [n, C] -> [n]. Two vectors of zeros are alike."""
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    lengths = np.sqrt((found**2).sum(-1) * (wanted**2).sum(-1))
    both: Array = np.where(lengths > 0, (found * wanted).sum(-1) / np.where(lengths > 0, lengths, 1), 1.0)
    return both


def _answers(x: Array, output: Output, config: BertConfig) -> Array:
    """What a user reads from logits: the best class, word or position, or which labels apply. Nothing for vectors and numbers."""
    if output.part in ("", POOLER) or x.shape[-1] == 1:
        return np.zeros(0)
    if output.part == CLASSIFIER and config.problem_type == "multi_label_classification":
        return np.asarray(x > 0)
    return np.asarray(x.argmax(-1))
