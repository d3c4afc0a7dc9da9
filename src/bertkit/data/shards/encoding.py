"""Documents -> the arrays of a shard, in this process or in several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.data.shards.sentences import split_sentences
from bertkit.workers import ordered


class Tokens(NamedTuple):
    """The tokens of several texts, one text after the other."""

    ids: NDArray[np.integer[Any]]  # [T]
    ends: NDArray[np.int64]  # [N], the number of tokens up to the end of each text
    word_starts: NDArray[np.bool_]  # [T]


class Tokenize(Protocol):
    """A function that splits texts into tokens, without special tokens. It must be picklable."""

    def __call__(self, texts: Sequence[str]) -> Tokens: ...


class Encoded(NamedTuple):
    """The tokens of some documents, without empty sentences and empty documents."""

    documents: NDArray[np.int64]  # [D], number of sentences of each
    sentences: NDArray[np.int64]  # [S], number of tokens of each
    ids: NDArray[Any]  # [T]
    word_starts: NDArray[np.bool_]  # [T]


@dataclass(frozen=True)
class EncodeDocuments:
    """Splits documents into sentences and tokens.

    Args:
        tokenize: the tokenizer.
        dtype: the type of the tokens.
        sentence_per_line: whether each line is a sentence, so that lines are not split.
    """

    tokenize: Tokenize
    dtype: np.dtype[Any]
    sentence_per_line: bool = False

    def __call__(self, documents: Sequence[str]) -> Encoded:
        """Return the tokens of some documents."""
        split = str.splitlines if self.sentence_per_line else split_sentences
        sentences = [split(document) for document in documents]
        found = self.tokenize([sentence for some in sentences for sentence in some])
        sizes = np.diff(found.ends, prepend=0)
        owners = np.repeat(np.arange(len(documents)), [len(some) for some in sentences])[sizes > 0]
        counts = np.bincount(owners, minlength=len(documents))
        return Encoded(counts[counts > 0], sizes[sizes > 0], found.ids.astype(self.dtype), found.word_starts)


class Chunk(NamedTuple):
    """Neighbouring documents, and where their reader was after them."""

    documents: list[str]
    crc: int  # of all documents up to here
    position: int  # bytes of the input


def encode_chunks(chunks: Iterable[Chunk], encode: EncodeDocuments, processes: int) -> Iterator[tuple[Chunk, Encoded]]:
    """Yield each chunk with its tokens, in order. Only a few chunks are in memory."""
    if processes == 1:
        for chunk in chunks:
            yield chunk, encode(chunk.documents)
        return
    yield from ordered(chunks, encode, _documents, processes)


def _documents(chunk: Chunk) -> list[str]:
    return chunk.documents
