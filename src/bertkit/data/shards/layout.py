"""The files of a folder of shards.

    index.json          the settings, the special tokens, and the sizes and the checksum of each shard
    shard-00000.bin     some whole documents
    tokenizer/          a copy of the tokenizer

A shard has four arrays, one after the other, in little-endian order:

    document_ends   uint32 [D]         the number of sentences up to the end of each document
    sentence_ends   uint32 [S]         the number of tokens up to the end of each sentence
    tokens          uint16/32 [T]      ids without special tokens; 16 bits if the vocabulary has at most 65,536 tokens
    word_starts     uint8 [(T+7)//8]   a bit for each token, which is 1 for the first token of a word
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.errors import DataError
from bertkit.hub import parse_object, read_text
from bertkit.hub.disk import whole_file

FORMAT = "bertkit-shards-1"
INDEX, PARTIAL, TOKENIZER, LOCK = "index.json", "partial.json", "tokenizer", ".lock"

_LARGEST_INDEX = 64 * 2**20  # bytes
_LARGEST_COUNT = 2**32  # tokens of a shard and of a vocabulary, whose numbers have up to 32 bits


@dataclass(frozen=True)
class Special:
    """The ids that examples need besides those of the text.

    Args:
        cls: the id of [CLS].
        sep: the id of [SEP].
        mask: the id of [MASK].
        never: the ids of all special tokens, which are never predicted and never used as random tokens.
        vocab_size: the number of tokens in the vocabulary.
    """

    cls: int
    sep: int
    mask: int
    never: tuple[int, ...]
    vocab_size: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the tokens in a shard."""
        return np.dtype("<u2" if self.vocab_size <= 2**16 else "<u4")

    def is_valid(self) -> bool:
        """Return whether all ids are in the vocabulary, and the vocabulary has other tokens."""
        ids = (self.cls, self.sep, self.mask, *self.never)
        if not _are_natural(self.vocab_size, *ids) or self.vocab_size > _LARGEST_COUNT:
            return False
        return max(ids) < self.vocab_size and len({self.mask, *self.never}) < self.vocab_size


@dataclass(frozen=True)
class Shard:
    """The sizes and the checksum of one file."""

    file: str
    documents: int
    sentences: int
    tokens: int
    sha256: str

    def parts(self, tokens: np.dtype[Any]) -> list[tuple[np.dtype[Any], int]]:
        """Return the type and the length of each of the four arrays."""
        ends = np.dtype("<u4")
        bits = (np.dtype(np.uint8), (self.tokens + 7) // 8)
        return [(ends, self.documents), (ends, self.sentences), (tokens, self.tokens), bits]

    def size(self, tokens: np.dtype[Any]) -> int:
        """Return the size of the file in bytes."""
        return sum(dtype.itemsize * count for dtype, count in self.parts(tokens))

    def is_valid(self, number: int) -> bool:
        """Return whether the entry has the name of the shard with a number, and possible sizes."""
        sizes = (self.documents, self.sentences, self.tokens)
        possible = _are_natural(*sizes) and 1 <= sizes[0] <= sizes[1] <= sizes[2] < _LARGEST_COUNT
        return possible and self.file == shard_name(number) and isinstance(self.sha256, str)


def shard_name(number: int) -> str:
    """Return the name of the file of a shard.

    >>> shard_name(12)
    'shard-00012.bin'
    """
    return f"shard-{number:05}.bin"


@dataclass
class Index:
    """The contents of index.json, and of partial.json while shards are written."""

    special: Special
    settings: dict[str, Any]  # what the shards were made from; the same settings and texts give the same shards
    shards: list[Shard] = field(default_factory=list)
    documents: int = 0  # documents that were read
    crc: int = 0  # CRC-32 of these documents

    def write(self, path: Path) -> None:
        """Write the index as JSON."""
        values = {"format": FORMAT, **asdict(self)}
        with whole_file(path) as file:
            file.write(json.dumps(values, indent=1).encode() + b"\n")

    @classmethod
    def read(cls, path: Path) -> Index:
        """Read an index. Raises DataError if it is invalid."""
        values = parse_object(read_text(path, _LARGEST_INDEX, DataError), str(path), DataError)
        try:
            special = dict(values["special"])
            special["never"] = tuple(special["never"])
            shards = [Shard(**shard) for shard in values["shards"]]
            index = cls(Special(**special), values["settings"], shards, values["documents"], values["crc"])
            valid = values["format"] == FORMAT and index._is_valid()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path} is not an index of shards ({error}): write it again with bertkit prepare."
            ) from error
        if not valid:
            raise DataError(f"{path} is not an index of {FORMAT}: write it again with bertkit prepare.")
        return index

    def _is_valid(self) -> bool:
        shards = all(shard.is_valid(number) for number, shard in enumerate(self.shards))
        numbers = _are_natural(self.documents, self.crc) and max(self.documents, self.crc) < 2**63
        values = isinstance(self.settings, dict) and numbers
        return bool(self.shards) and shards and values and self.special.is_valid()


def _are_natural(*values: object) -> bool:
    """Return whether all values are integers that are not negative."""
    return all(type(value) is int and value >= 0 for value in values)
