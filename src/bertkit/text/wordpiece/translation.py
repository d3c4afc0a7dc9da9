"""`str.translate` for much text: a table of what each character becomes, applied by arrays."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key")
Value = TypeVar("Value")

_LARGEST_MEMO = 1 << 16  # entries; more than any language has characters
_LONG = 400  # characters from which on the arrays are faster, by two to five times
_ENCODING = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"


class Memo(dict[Key, Value]):
    """What `make` answers, kept until it has been asked about 65,536 different things; fit for `str.translate`."""

    def __init__(self, make: Callable[[Key], Value]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> Value:
        if len(self) >= _LARGEST_MEMO:
            self.clear()
        value = self[key] = self._make(key)
        return value


class Translation:
    """Replaces each character by the string that `make` gives for its code point, asked once.

    >>> spaced = Translation(lambda code: f" {chr(code)} " if chr(code) in ".,!" else chr(code).lower())
    >>> spaced("Oh, no!")
    'oh ,  no ! '

    All those strings stand in one array, the pool. A text becomes the places of its characters' strings in the pool and
    their lengths; these become the places of all characters of the result. At most 20 MB, for a text of all characters.
    """

    def __init__(self, make: Callable[[int], str]) -> None:
        self._memo = Memo(make)
        self._pool = np.zeros(1, np.uint32)
        self._start = np.zeros(sys.maxunicode + 1, np.int32)  # 0: not asked yet. Memory is taken where it is written
        self._length = np.zeros(sys.maxunicode + 1, np.int32)
        self._lock = threading.Lock()

    def __call__(self, text: str) -> str:
        """The text of replacements."""
        if len(text) < _LONG:
            return text.translate(self._memo)
        codes = codes_of(text)
        starts = self._start[codes]
        if not starts.all():
            self._learn(codes[starts == 0])
            starts = self._start[codes]
        lengths = self._length[codes]
        before = np.cumsum(lengths) - lengths
        places = np.repeat(starts - before, lengths)
        places += np.arange(len(places))
        return str(self._pool[places].tobytes(), _ENCODING, "surrogatepass")

    def _learn(self, codes: NDArray[np.uint32]) -> None:
        with self._lock:  # other threads read on; what a start points to is there before it
            new = np.unique(codes[self._start[codes] == 0])
            texts = [self._memo[code] for code in new.tolist()]
            lengths = np.array([len(text) for text in texts], np.int32)
            starts = len(self._pool) + np.cumsum(lengths, dtype=np.int32) - lengths
            self._pool = np.concatenate([self._pool, codes_of("".join(texts))])
            self._length[new] = lengths
            self._start[new] = starts


def codes_of(text: str) -> NDArray[np.uint32]:
    """The code points of a text, which cannot be written to."""
    return np.frombuffer(text.encode(_ENCODING, "surrogatepass"), np.uint32)
