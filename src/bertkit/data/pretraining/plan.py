"""How the sentences of a shard are divided into examples.

An epoch covers each sentence of the corpus. Documents are planned together, one example of each document at a time, so that a
corpus of a billion tokens is planned in seconds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.data.shards.read import OpenShard

Numbers = NDArray[np.int64]


class PairPlan(NamedTuple):
    """The pairs of a shard [N]. A has the sentences from `starts` to `cuts`. If B continues it, B ends at `ends`."""

    documents: Numbers
    starts: Numbers
    cuts: Numbers
    ends: Numbers
    is_next: NDArray[np.bool_]
    targets: Numbers  # the number of tokens that A and B together should have


def plan_pairs(shard: OpenShard, rng: np.random.Generator, most: int, short_seq_prob: float) -> PairPlan:
    """Plan the pairs of one epoch as BERT's paper does, with A and B of up to `most` tokens together.

    An example takes sentences until they have its target number of tokens, and at least two. They are cut at random into A and
    the rest. In half of the examples B is the rest; in the others it is from another document, and the rest becomes part of the
    next example. The last sentence of a document alone is preceded by the sentence before it, so that B can continue A there
    too. A document of one sentence only gets a B from another document.
    """
    firsts = np.concatenate([[0], shard.document_ends[:-1]]).astype(np.int64)
    lasts = shard.document_ends.astype(np.int64)  # exclusive
    tokens = np.concatenate([[0], shard.sentence_ends]).astype(np.int64)  # up to each sentence
    at, lanes = firsts.copy(), np.arange(len(firsts))
    plans: list[PairPlan] = []
    while len(lanes):
        last, count = lasts[lanes], len(lanes)
        alone = at[lanes] == last - 1
        start = np.maximum(at[lanes] - alone, firsts[lanes])
        targets = np.where(rng.random(count) < short_seq_prob, rng.integers(2, most + 1, count), most)
        end = np.searchsorted(tokens, tokens[start] + targets)
        end = np.minimum(np.maximum(end, start + 2), last)
        is_next = (rng.random(count) < 0.5) & (end - start > 1)
        cut = start + 1 + (rng.random(count) * np.maximum(end - start - 1, 1)).astype(np.int64)
        single = alone & ~is_next
        start, cut = np.where(single, last - 1, start), np.where(single, last, cut)
        plans.append(PairPlan(lanes, start, cut, end, is_next, targets))
        at[lanes] = np.where(is_next | alone, end, cut)
        lanes = lanes[at[lanes] < last]
    columns: list[Any] = [np.concatenate(column) for column in zip(*plans, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return PairPlan(*(column[order] for column in columns))


class SequencePlan(NamedTuple):
    """The sequences of a shard [N], by the tokens where they start and end."""

    starts: Numbers
    ends: Numbers


def plan_sequences(shard: OpenShard, most: int) -> SequencePlan:
    """Plan the sequences of each epoch: as many whole sentences as fit into `most` tokens, also from several documents.

    Each document after the first of a sequence costs one more token, for its [SEP]. A sentence longer than `most` is cut.
    """
    ends = shard.sentence_ends.astype(np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    pieces = np.maximum((ends - starts + most - 1) // most, 1)
    unit_sentence = np.repeat(np.arange(len(ends)), pieces)
    number = np.arange(len(unit_sentence)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    unit_ends = np.minimum(starts[unit_sentence] + (number + 1) * most, ends[unit_sentence])
    closes = np.zeros(len(ends), np.int64)
    closes[shard.document_ends.astype(np.int64) - 1] = 1
    is_last = number == pieces[unit_sentence] - 1
    closed = np.concatenate([[0], np.cumsum(closes[unit_sentence] * is_last)])[
        :-1
    ]  # documents that end before each unit
    start_costs = np.concatenate([[0], unit_ends[:-1]]) + closed
    end_costs = unit_ends + closed  # the final [SEP] is not counted in `most`
    following = np.searchsorted(end_costs, start_costs + most, "right")
    following = np.maximum(following, np.arange(len(unit_ends)) + 1).tolist()
    cuts = [0]
    while cuts[-1] < len(unit_ends):
        cuts.append(following[cuts[-1]])
    edges = np.concatenate([[0], unit_ends])[np.array(cuts)]
    return SequencePlan(edges[:-1], edges[1:])
