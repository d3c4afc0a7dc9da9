"""`str.translate` for long texts, with NumPy arrays."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key")
Value = TypeVar("Value")

_LARGEST_MEMO = 1 << 16  # entries; more than the number of characters of any language
_LONG = 400  # characters; arrays are two to five times as fast for longer texts
_ENCODING = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"


class Memo(dict[Key, Value]):
    """A cache of the results of `make`, which is cleared at 65,536 entries. It can be the table of `str.translate`."""

    def __init__(self, make: Callable[[Key], Value]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> Value:
        if len(self) >= _LARGEST_MEMO:
            self.clear()
        value = self[key] = self._make(key)
        return value


class Translation:
    """Replaces each character by `make(code point)`, which is called once for each different character.

    >>> spaced = Translation(lambda code: f" {chr(code)} " if chr(code) in ".,!" else chr(code).lower())
    >>> spaced("Oh, no!")
    'oh ,  no ! '

    All these strings are concatenated in one array, the pool. For each character of a text, the start and the length of its
    string in the pool are looked up, and the strings are gathered from the pool. The arrays take at most 20 MB.
    """

    def __init__(self, make: Callable[[int], str]) -> None:
        self._memo = Memo(make)
        self._pool = np.zeros(1, np.uint32)
        self._start = np.zeros(
            sys.maxunicode + 1, np.int32
        )  # 0: not known yet. Zeros use no memory until they are overwritten
        self._length = np.zeros(sys.maxunicode + 1, np.int32)
        self._lock = threading.Lock()

    def __call__(self, text: str) -> str:
        """Return the text with all characters replaced."""
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
        with self._lock:  # other threads may read meanwhile, so the strings are written before their starts
            new = np.unique(codes[self._start[codes] == 0])
            texts = [self._memo[code] for code in new.tolist()]
            lengths = np.array([len(text) for text in texts], np.int32)
            starts = len(self._pool) + np.cumsum(lengths, dtype=np.int32) - lengths
            self._pool = np.concatenate([self._pool, codes_of("".join(texts))])
            self._length[new] = lengths
            self._start[new] = starts


def codes_of(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text as a read-only array."""
    return np.frombuffer(text.encode(_ENCODING, "surrogatepass"), np.uint32)
