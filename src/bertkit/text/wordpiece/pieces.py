"""The interface of the engines, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Pieces(NamedTuple):
    """The ids of a batch of texts, concatenated. Those of text i are `ids[ends[i - 1] : ends[i]]`."""

    ids: NDArray[np.int32]  # [T]
    ends: NDArray[np.int64]  # [N]


class Details(NamedTuple):
    """The start and the end of each piece in its text, and the number of its word."""

    starts: list[int]
    ends: list[int]
    words: list[int]


class Located(NamedTuple):
    """The pieces of a batch, and the details of each."""

    pieces: Pieces
    starts: NDArray[np.int32]  # [T]
    ends: NDArray[np.int32]  # [T]
    words: NDArray[np.int32]  # [T]

    def details(self, text: int) -> Details:
        """Return the details of one text."""
        start, end = (int(self.pieces.ends[text - 1]) if text else 0), int(self.pieces.ends[text])
        return Details(*(column[start:end].tolist() for column in self[1:]))


class Engine(Protocol):
    """Texts -> pieces."""

    def encode(self, texts: Sequence[str]) -> Pieces: ...
    def ids(self, text: str) -> list[int]: ...
    def encode_words(self, texts: Sequence[Sequence[str]]) -> Pieces: ...
    def words(self, text: str) -> list[str]: ...
    def locate(self, texts: Sequence[str]) -> Located: ...
    def locate_words(self, texts: Sequence[Sequence[str]]) -> Located: ...
