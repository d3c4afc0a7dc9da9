"""Sentence pairs for masked words and next sentence prediction, as in BERT's paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bertkit.data.batches import Row
from bertkit.data.pretraining.epoch import PLAN, Epoch, check_numbers, generator
from bertkit.data.pretraining.masks import Masking, OfSpans, framed, masked_row
from bertkit.data.pretraining.plan import PairPlan, plan_pairs
from bertkit.data.shards.read import Shards, Span
from bertkit.errors import UsageError, received


@dataclass(frozen=True)
class SentencePairs:
    """Examples [CLS] A [SEP] B [SEP] with masked words. In half of them B continues A; in the others it is from another document.

    `epoch(number)` returns the examples of an epoch, which is a sequence of Rows. Each Row depends only on the arguments of this
    class, the number of the epoch and its index.

    Args:
        shards: the documents, at least two.
        max_length: the maximum number of tokens of an example.
        seed: the seed of all random choices.
        short_seq_prob: the share of examples that get a random length, up to the maximum.
        masking: how the tokens to predict are chosen.
        of_spans: returns further targets for the spans of A and B; None: no further targets.
    """

    shards: Shards
    max_length: int = 128
    seed: int = 0
    short_seq_prob: float = 0.1
    masking: Masking = field(default_factory=Masking)
    of_spans: OfSpans | None = None

    def __post_init__(self) -> None:
        check_numbers(self.seed, self.max_length, least=5)
        if not 0 <= self.short_seq_prob <= 1:
            raise UsageError(received("short_seq_prob", self.short_seq_prob), " is not between 0 and 1.")
        if len(self.shards) < 2:
            raise UsageError(
                f"{self.shards.folder} has one document, but half of the pairs need a text from another document: separate "
                "documents by empty lines, or use FullSentences."
            )

    @property
    def _most(self) -> int:
        """The maximum number of tokens of A and B together."""
        return self.max_length - 3

    def epoch(self, number: int) -> Epoch:
        """Return the examples of an epoch."""
        plans = [
            plan_pairs(file, generator(self.seed, number, shard, PLAN), self._most, self.short_seq_prob)
            for shard, file in enumerate(self.shards.files)
        ]

        def make(shard: int, own: int, rng: np.random.Generator) -> Row:
            return self._row(shard, plans[shard], own, rng)

        return Epoch([len(plan.starts) for plan in plans], make, self.seed, number)

    def _row(self, shard: int, plan: PairPlan, own: int, rng: np.random.Generator) -> Row:
        file = self.shards.files[shard]
        start, cut, end = int(plan.starts[own]), int(plan.cuts[own]), int(plan.ends[own])
        is_next = bool(plan.is_next[own])
        a = (shard, file.sentence_start(start), file.sentence_start(cut))
        if is_next:
            b = (shard, file.sentence_start(cut), file.sentence_start(end))
        else:
            wanted = max(int(plan.targets[own]) - (a[2] - a[1]), 1)
            b = self._random_text(self._firsts[shard] + int(plan.documents[own]), wanted, rng)
        cut_a, cut_b = truncate_pair(a[1:], b[1:], self._most, rng)
        spans = [Span(a[0], *cut_a), Span(b[0], *cut_b)]
        row, owners = framed([self.shards.text(span) for span in spans], self.shards.special)
        others = self.of_spans(spans) if self.of_spans else {}
        return masked_row(row, owners, self.shards.special, self.masking, rng, is_next, others)

    def _random_text(self, document: int, wanted: int, rng: np.random.Generator) -> tuple[int, int, int]:
        """Return (shard, start, end) of a text of another document, of about the wanted number of tokens."""
        other = int(rng.random() * (len(self.shards) - 1))
        shard, own = self.shards.find(other + (other >= document))
        file = self.shards.files[shard]
        first, last = file.document(own)
        sentence = first + int(rng.random() * (last - first))
        start = file.sentence_start(sentence)
        goal = np.uint32(start + wanted)  # another type would convert all ends
        end = sentence + 1 + int(file.sentence_ends[sentence:last].searchsorted(goal))
        return shard, start, file.sentence_start(min(end, last))

    @cached_property
    def _firsts(self) -> list[int]:
        """The number of documents before each shard."""
        return [0, *self.shards.ends[:-1].tolist()]


def truncate_pair(
    a: tuple[int, int], b: tuple[int, int], most: int, rng: np.random.Generator
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shorten two spans to `most` tokens together, the longer one first, at random from the front or the back.

    >>> truncate_pair((0, 10), (0, 3), 20, np.random.default_rng(0))
    ((0, 10), (0, 3))
    """
    size_a, size_b = a[1] - a[0], b[1] - b[0]
    if size_a + size_b <= most:
        return a, b
    kept_b = min(size_b, max(most // 2, most - size_a))
    return _shortened(a, most - kept_b, rng), _shortened(b, kept_b, rng)


def _shortened(span: tuple[int, int], size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Remove tokens one by one, each from the front or the back with equal probability."""
    start = span[0] + int(rng.binomial(span[1] - span[0] - size, 0.5))
    return start, start + size
