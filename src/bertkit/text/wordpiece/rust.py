"""The `tokenizers` library as an engine, for a `tokenizer.json` that is not a plain BERT one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING

import numpy as np

from bertkit.text.panics import as_errors
from bertkit.text.surrogates import refuse_halves, refuse_halves_of_batch
from bertkit.text.wordpiece.pieces import Located, Pieces

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_FAILED = "The tokenizers library cannot read the text with what tokenizer.json says"


class RustEngine:
    """An engine around a `tokenizers.Tokenizer`, whose truncation and padding it turns off.

    Special tokens are not added around a text; those that stand in it become their ids.
    """

    def __init__(self, backend: Tokenizer) -> None:
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend

    def encode(self, texts: Sequence[str]) -> Pieces:
        """The ids of texts."""
        refuse_halves_of_batch(texts)
        with as_errors(_FAILED):
            return _pieces(self.backend.encode_batch_fast(list(texts), add_special_tokens=False))

    def ids(self, text: str) -> list[int]:
        """The ids of one text."""
        refuse_halves(text)
        with as_errors(_FAILED):
            ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_words(self, texts: Sequence[Sequence[str]]) -> Pieces:
        """The ids of texts that are lists of words."""
        refuse_halves_of_batch(texts)
        words = [list(text) for text in texts]
        with as_errors(_FAILED):
            return _pieces(self.backend.encode_batch_fast(words, is_pretokenized=True, add_special_tokens=False))

    def locate(self, texts: Sequence[str]) -> Located:
        """The pieces of texts, and where each comes from."""
        refuse_halves_of_batch(texts)
        with as_errors(_FAILED):
            return _located(self.backend.encode_batch(list(texts), add_special_tokens=False))

    def locate_words(self, texts: Sequence[Sequence[str]]) -> Located:
        """The same for texts that are lists of words: offsets are within each word, and `words` counts them."""
        refuse_halves_of_batch(texts)
        words = [list(text) for text in texts]
        with as_errors(_FAILED):
            return _located(self.backend.encode_batch(words, is_pretokenized=True, add_special_tokens=False))


def _pieces(encodings: Sequence[Encoding]) -> Pieces:
    ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32)
    return Pieces(ids, np.fromiter(accumulate(len(encoding) for encoding in encodings), np.int64, len(encodings)))


def _located(encodings: Sequence[Encoding]) -> Located:
    offsets = [offset for encoding in encodings for offset in encoding.offsets]
    words = [-1 if word is None else word for encoding in encodings for word in encoding.word_ids]
    places = np.array(offsets, np.int32).reshape(-1, 2)
    return Located(_pieces(encodings), places[:, 0], places[:, 1], np.array(words, np.int32))
