"""Tokens with masks and targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from bertkit.data.batches import Ints, Row, Target
from bertkit.data.masking import mask_spans, mask_words
from bertkit.data.shards.layout import Special
from bertkit.data.shards.read import Span, Text
from bertkit.errors import DataError, Setting, UsageError, received

Unit = Literal["words", "tokens", "spans"]

OfSpans = Callable[[Sequence[Span]], Mapping[str, Target]]
"""A function of the texts of a row, as spans of the shards, that returns further targets by name."""


@dataclass(frozen=True)
class Masking:
    """How the tokens to predict are chosen.

    Args:
        unit: "words" masks all tokens of a word together, "tokens" chooses single tokens, and "spans" chooses neighbouring words,
            as SpanBERT does.
        share: the share of tokens to predict.
        max_predictions: the maximum number of tokens to predict in an example; None: no maximum.
        mask_replace_prob: the share of the chosen tokens that are replaced by [MASK].
        random_replace_prob: the share of the chosen tokens that are replaced by a random token. The others do not change.
    """

    unit: Unit = "words"
    share: float = 0.15
    max_predictions: int | None = None
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise UsageError(
                received("unit", self.unit), " is invalid: choose one of ", ", ".join(map(repr, get_args(Unit))), "."
            )
        for name in ("share", "mask_replace_prob", "random_replace_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(received(name, getattr(self, name)), " is not between 0 and 1.")
        if self.mask_replace_prob + self.random_replace_prob > 1:
            raise UsageError(
                received("mask_replace_prob", self.mask_replace_prob), " and ",
                received("random_replace_prob", self.random_replace_prob), " have a sum above 1.",
            )  # fmt: skip
        if self.max_predictions is not None and self.max_predictions < 1:
            raise UsageError(
                received("max_predictions", self.max_predictions), " is below 1: type for example ",
                Setting("max_predictions", 20), ".",
            )  # fmt: skip


def framed(texts: Sequence[Text], special: Special) -> tuple[Text, Ints]:
    """Return [CLS] A [SEP] B [SEP] ..., and the number of the text of each token, which counts for its [SEP] too.

    >>> special = Special(cls=2, sep=3, mask=4, never=(2, 3, 4), vocab_size=9)
    >>> texts = [Text(np.array(ids), np.ones(len(ids), bool)) for ids in ([5, 6], [7])]
    >>> row, owners = framed(texts, special)
    >>> row.ids, owners
    (array([2, 5, 6, 3, 7, 3]), array([0, 0, 0, 0, 1, 1]))
    """
    size = 1 + sum(len(text.ids) + 1 for text in texts)
    ids, starts, owners = np.empty(size, np.int64), np.empty(size, bool), np.zeros(size, np.int64)
    ids[0], starts[0], at = special.cls, True, 1
    for number, text in enumerate(texts):
        end = at + len(text.ids)
        ids[at:end], ids[end] = text.ids, special.sep
        starts[at:end], starts[end] = text.word_starts, True
        owners[at : end + 1] = number
        at = end + 1
    return Text(ids, starts), owners


def masked_row(
    text: Text,
    token_type_ids: Ints,
    special: Special,
    masking: Masking,
    rng: np.random.Generator,
    is_next: bool | None = None,
    others: Mapping[str, Target] = MappingProxyType({}),
) -> Row:
    """Return a Row with masks, and the true tokens as its targets.

    Args:
        text: the tokens of the row, with special tokens.
        token_type_ids: 0 for A and 1 for B [t].
        special: the special tokens.
        masking: how the tokens to predict are chosen.
        rng: the random generator of the example.
        is_next: whether B continues A; None: the row has no such target.
        others: further targets.
    """
    if text.ids.max() >= special.vocab_size:
        raise DataError(
            f"The shards have the token {text.ids.max()}, but a vocabulary of {special.vocab_size:,}: repeat bertkit prepare."
        )
    choose = mask_spans if masking.unit == "spans" else mask_words
    words = None if masking.unit == "tokens" else text.word_starts.cumsum()
    found = choose(
        text.ids,
        special.never,
        rng,
        mask_id=special.mask,
        vocab_size=special.vocab_size,
        words=words,
        share=masking.share,
        max_predictions=masking.max_predictions,
        mask_replace_prob=masking.mask_replace_prob,
        random_replace_prob=masking.random_replace_prob,
    )
    targets = {"labels": Target(found.labels, "place"), **others}
    if is_next is not None:
        targets["next_sentence_label"] = Target(0 if is_next else 1, "row")
    return Row(found.input_ids, token_type_ids, found.positions, targets)
