"""Full sentences for masked words, without next sentence prediction, as in RoBERTa's FULL-SENTENCES."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bertkit.data.batches import Row
from bertkit.data.pretraining.epoch import Epoch, check_numbers
from bertkit.data.pretraining.masks import Masking, OfSpans, framed, masked_row
from bertkit.data.pretraining.plan import SequencePlan, plan_sequences
from bertkit.data.shards.read import Shards, Span


@dataclass(frozen=True)
class FullSentences:
    """Examples of as many whole sentences as fit, with masked words: [CLS] text [SEP].

    Where a document ends, the next one follows after a [SEP]. All tokens have the type 0. `epoch(number)` returns the examples of
    an epoch, which is a sequence of Rows. Each Row depends only on the arguments of this class, the number of the epoch and its
    index.

    Args:
        shards: the documents.
        max_length: the maximum number of tokens of an example.
        seed: the seed of all random choices.
        masking: how the tokens to predict are chosen.
        of_spans: returns further targets for the span of the whole example; None: no further targets.
    """

    shards: Shards
    max_length: int = 128
    seed: int = 0
    masking: Masking = field(default_factory=Masking)
    of_spans: OfSpans | None = None

    def __post_init__(self) -> None:
        check_numbers(self.seed, self.max_length, least=3)

    def epoch(self, number: int) -> Epoch:
        """Return the examples of an epoch. Epochs have the same sequences, in another order and with other masks."""
        plans = self._plans

        def make(shard: int, own: int, rng: np.random.Generator) -> Row:
            return self._row(shard, plans[shard], own, rng)

        return Epoch([len(plan.starts) for plan in plans], make, self.seed, number)

    @cached_property
    def _plans(self) -> list[SequencePlan]:
        """The sequences of each shard."""
        return [plan_sequences(file, self.max_length - 2) for file in self.shards.files]

    def _row(self, shard: int, plan: SequencePlan, own: int, rng: np.random.Generator) -> Row:
        start, end = int(plan.starts[own]), int(plan.ends[own])
        ends = self._document_ends[shard]
        first, last = np.searchsorted(ends, start, "right"), np.searchsorted(ends, end, "left")
        edges = [start, *ends[first:last].tolist(), end]
        texts = [self.shards.files[shard].text(*edges[at : at + 2]) for at in range(len(edges) - 1)]
        row, _ = framed(texts, self.shards.special)
        others = self.of_spans([Span(shard, start, end)]) if self.of_spans else {}
        types = np.zeros(len(row.ids), np.int64)
        return masked_row(row, types, self.shards.special, self.masking, rng, others=others)

    @cached_property
    def _document_ends(self) -> list[NDArray[np.int64]]:
        """The number of tokens up to the end of each document, for each shard."""
        return [file.sentence_ends[file.document_ends - 1].astype(np.int64) for file in self.shards.files]
