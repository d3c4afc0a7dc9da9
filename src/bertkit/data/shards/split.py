"""Hold out some documents of shards for evaluation."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np

from bertkit.data.shards.read import OpenShard, Shards, Text
from bertkit.errors import Setting, UsageError, received

_BLOCKS = 16


class Slice(OpenShard):
    """Some neighbouring documents of a shard, as a shard."""

    def __init__(self, file: OpenShard, first: int, last: int) -> None:
        sentences, end = file.document(first)[0], file.document(last - 1)[1]
        self._whole, self._start = file, file.sentence_start(sentences)
        self.path, self.tokens = file.path, file.tokens
        self.document_ends = file.document_ends[first:last] - np.uint32(sentences)
        self.sentence_ends = file.sentence_ends[sentences:end] - np.uint32(self._start)
        tokens = file.sentence_start(end) - self._start
        self.entry = replace(file.entry, documents=last - first, sentences=end - sentences, tokens=tokens)

    def text(self, start: int, end: int) -> Text:
        """Return the tokens from `start` to `end`."""
        return self._whole.text(start + self._start, end + self._start)

    def is_intact(self) -> bool:
        """Return whether the file has the checksum of the index."""
        return self._whole.is_intact()


def split(shards: Shards, share: float) -> tuple[Shards, Shards]:
    """Return the documents for training, and those that are held out. Raise UsageError if there are too few.

    The held-out documents are at up to 16 places of each shard, at equal distances, so that they are of all parts of the corpus.

    Args:
        shards: the documents.
        share: the share that is held out.
    """
    kept: list[OpenShard] = []
    held: list[OpenShard] = []
    seen = chosen = 0
    for file in shards.files:
        documents = file.entry.documents
        seen += documents
        count = round(share * seen) - chosen  # the share is right for all shards together, if not for each
        chosen += count
        blocks = max(min(count, _BLOCKS), 1)
        edges = np.linspace(0, documents, blocks + 1).astype(int).tolist()
        sizes = np.diff(np.linspace(0, count, blocks + 1).astype(int)).tolist()
        for (first, last), size in zip(pairwise(edges), sizes, strict=True):
            kept += [Slice(file, first, last - size)] if first < last - size else []
            held += [Slice(file, last - size, last)] if size else []
    of_each = _with(shards, kept), _with(shards, held)
    if min(map(len, of_each)) < 2:
        raise UsageError(
            received("eval_share", share), f" of {len(shards):,} documents leaves fewer than 2 for training or for evaluation: "
            "type another share, or pass other shards with ", Setting("eval", "..."), ".",
        )  # fmt: skip
    return of_each


def _with(shards: Shards, files: list[OpenShard]) -> Shards:
    """Return shards with other files."""
    own = copy.copy(shards)
    own.__dict__.pop("ends", None)
    own.files = files
    return own
