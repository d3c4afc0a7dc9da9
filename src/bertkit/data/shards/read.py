"""Read shards. The files are memory-mapped, so that opening is fast and memory is shared between processes."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.data.shards.layout import INDEX, PARTIAL, Index, Shard, Special
from bertkit.errors import DataError

_BLOCK = 2**20  # bytes that are hashed at a time


class Text(NamedTuple):
    """Some tokens of a shard."""

    ids: NDArray[np.int64]  # [t]
    word_starts: NDArray[np.bool_]  # [t]


class Span(NamedTuple):
    """Neighbouring tokens of a shard."""

    shard: int
    start: int
    end: int


class OpenShard:
    """The arrays of one shard."""

    def __init__(self, path: Path, entry: Shard, tokens: np.dtype[Any]) -> None:
        if not path.is_file() or path.stat().st_size != entry.size(tokens):
            raise DataError(f"{path} is missing or has the wrong size: copy it again, or repeat bertkit prepare.")
        self.path, self.entry = path, entry
        data = np.memmap(path, np.uint8, "r")
        arrays, start = [], 0
        for dtype, count in entry.parts(tokens):
            end = start + dtype.itemsize * count
            arrays.append(np.asarray(data[start:end]).view(dtype))
            start = end
        self.document_ends: NDArray[np.uint32]  # [D]
        self.sentence_ends: NDArray[np.uint32]  # [S]
        self.document_ends, self.sentence_ends, self.tokens, self._bits = arrays
        if not (_are_ends(self.document_ends, entry.sentences) and _are_ends(self.sentence_ends, entry.tokens)):
            raise DataError(f"{path} is damaged: copy it again, or repeat bertkit prepare.")

    def sentence_start(self, sentence: int) -> int:
        """Return the number of tokens before a sentence."""
        return int(self.sentence_ends[sentence - 1]) if sentence else 0

    def document(self, number: int) -> tuple[int, int]:
        """Return the first sentence of a document, and the end of its last."""
        return int(self.document_ends[number - 1]) if number else 0, int(self.document_ends[number])

    def text(self, start: int, end: int) -> Text:
        """Return the tokens from `start` to `end`."""
        first = start // 8
        bits = np.unpackbits(self._bits[first : (end + 7) // 8])[start - 8 * first : end - 8 * first]
        return Text(self.tokens[start:end].astype(np.int64), bits.view(bool))

    def is_intact(self) -> bool:
        """Return whether the file has the checksum of the index."""
        digest = hashlib.sha256()
        with open(self.path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest() == self.entry.sha256


def _are_ends(ends: NDArray[np.uint32], total: int) -> bool:
    """Return whether numbers ascend from above 0 to the total."""
    return bool(ends[0] > 0 and ends[-1] == total and (ends[1:] > ends[:-1]).all())


class Shards:
    """The documents of a folder that `bertkit prepare` wrote. A document is a list of sentences, which are arrays of ids.

    Args:
        folder: the folder with index.json.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.is_file():
            raise DataError(
                f"{self.folder} is a file, not a folder of shards: type bertkit prepare {self.folder} --tokenizer DIR "
                "--out SHARDS, and pass that folder."
            )
        if not (self.folder / INDEX).is_file():
            partial = (self.folder / PARTIAL).exists()
            what = "has unfinished shards" if partial else "has no shards"
            raise DataError(f"{self.folder} {what}: type bertkit prepare FILES --tokenizer DIR --out {self.folder}")
        self.index = Index.read(self.folder / INDEX)
        dtype = self.special.dtype
        self.files = [OpenShard(self.folder / entry.file, entry, dtype) for entry in self.index.shards]

    @property
    def special(self) -> Special:
        """The ids of special tokens, and the size of the vocabulary."""
        return self.index.special

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """The number of documents up to the end of each shard."""
        return np.cumsum([file.entry.documents for file in self.files])

    @property
    def digest(self) -> str:
        """A hash of all documents and of the tokenizer, from the index."""
        content = [self.index.settings, [asdict(file.entry) for file in self.files]]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def tokens(self) -> int:
        """The number of tokens of all documents."""
        return sum(file.entry.tokens for file in self.files)

    @property
    def sentences(self) -> int:
        """The number of sentences of all documents."""
        return sum(file.entry.sentences for file in self.files)

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.files else 0

    def __getitem__(self, number: int) -> list[NDArray[np.int64]]:
        shard, own = self.find(number)
        file = self.files[shard]
        first, end = file.document(own)
        edges = [file.sentence_start(sentence) for sentence in range(first, end + 1)]
        return [file.text(*pair).ids for pair in pairwise(edges)]

    def text(self, span: Span) -> Text:
        """Return the tokens of a span."""
        return self.files[span.shard].text(span.start, span.end)

    def find(self, document: int) -> tuple[int, int]:
        """Return the shard of a document, and its number in that shard."""
        if not -len(self) <= document < len(self):
            raise IndexError(f"Document {document} of {len(self)}.")
        document %= len(self)
        shard = int(np.searchsorted(self.ends, document, "right"))
        return shard, document - int(self.ends[shard] - self.files[shard].entry.documents)

    def verify(self) -> None:
        """Compare all files with their checksums. Raises DataError if a file differs, or has a token outside the vocabulary."""
        damaged = [str(file.path) for file in self.files if not file.is_intact()]
        if damaged:
            raise DataError(f"{', '.join(damaged)}: the checksum differs. Copy it again, or repeat bertkit prepare.")
        for file in self.files:
            if file.tokens.max() >= self.special.vocab_size:
                raise DataError(f"{file.path} has a token outside the vocabulary: repeat bertkit prepare.")
