"""The `tokenizers` library as an engine, for a `tokenizer.json` that is not that of a plain BERT."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING

import numpy as np

from bertkit.text.panics import as_errors
from bertkit.text.surrogates import check_surrogates, check_surrogates_of_batch
from bertkit.text.wordpiece.pieces import Located, Pieces

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_FAILED = "The tokenizers library failed on the text with this tokenizer.json"


class RustEngine:
    """An engine that runs a `tokenizers.Tokenizer`, without its truncation and padding.

    It adds no special tokens around a text, but finds those in a text.
    """

    def __init__(self, backend: Tokenizer) -> None:
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend

    def encode(self, texts: Sequence[str]) -> Pieces:
        """Return the ids of texts."""
        check_surrogates_of_batch(texts)
        with as_errors(_FAILED):
            return _pieces(self.backend.encode_batch_fast(list(texts), add_special_tokens=False))

    def ids(self, text: str) -> list[int]:
        """Return the ids of one text."""
        check_surrogates(text)
        with as_errors(_FAILED):
            ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_words(self, texts: Sequence[Sequence[str]]) -> Pieces:
        """Return the ids of texts that are lists of words."""
        check_surrogates_of_batch(texts)
        words = [list(text) for text in texts]
        with as_errors(_FAILED):
            return _pieces(self.backend.encode_batch_fast(words, is_pretokenized=True, add_special_tokens=False))

    def words(self, text: str) -> list[str]:
        """Return the normalized words of a text without added tokens."""
        check_surrogates(text)
        normalizer, splitter = self.backend.normalizer, self.backend.pre_tokenizer
        with as_errors(_FAILED):
            normalized = text if normalizer is None else normalizer.normalize_str(text)
            return [normalized] if splitter is None else [word for word, _ in splitter.pre_tokenize_str(normalized)]

    def locate(self, texts: Sequence[str]) -> Located:
        """Return the pieces of texts and their details."""
        check_surrogates_of_batch(texts)
        with as_errors(_FAILED):
            return _located(self.backend.encode_batch(list(texts), add_special_tokens=False))

    def locate_words(self, texts: Sequence[Sequence[str]]) -> Located:
        """Do the same as `locate` for texts that are lists of words. Offsets are relative to the word."""
        check_surrogates_of_batch(texts)
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
