"""Documents -> the arrays of a shard, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bertkit.data.shards.sentences import split_sentences
from bertkit.errors import DataError


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
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start_worker, (encode,))
    waiting: deque[tuple[Chunk, Future[Encoded]]] = deque()
    try:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(_encode, chunk.documents)))
            if len(waiting) > 2 * processes:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "A worker process was killed, probably because memory ran out. Run the same command with fewer --processes; "
            "it continues where this run stopped."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_WORKER: list[EncodeDocuments] = []
"""The function of this worker process."""


def _start_worker(encode: EncodeDocuments) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C
    _WORKER[:] = [encode]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the main process ends, even if that was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _encode(documents: list[str]) -> Encoded:
    return _WORKER[0](documents)
