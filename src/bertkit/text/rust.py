"""The `tokenizers` library as an engine, for a `tokenizer.json` that is not a plain BERT one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING

import numpy as np

from bertkit.text.description import TokenizerFiles
from bertkit.text.engine import Details, Pieces
from bertkit.text.tokenizer_json import backend_from, compose

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


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
        return _pieces(self.backend.encode_batch_fast(list(texts), add_special_tokens=False))

    def ids(self, text: str) -> list[int]:
        """The ids of one text."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_words(self, texts: Sequence[Sequence[str]]) -> Pieces:
        """The ids of texts that are lists of words."""
        words = [list(text) for text in texts]
        return _pieces(self.backend.encode_batch_fast(words, is_pretokenized=True, add_special_tokens=False))

    def details(self, text: str) -> Details:
        """Where the pieces of a text come from."""
        return _details(self.backend.encode(text, add_special_tokens=False))

    def details_of_words(self, words: Sequence[str]) -> Details:
        """The same for a list of words: offsets are within each of them, and `words` counts them."""
        return _details(self.backend.encode(list(words), is_pretokenized=True, add_special_tokens=False))


def to_backend(files: TokenizerFiles) -> Tokenizer:
    """The `tokenizers.Tokenizer` of a description; its changes do not reach the description."""
    return backend_from(compose(files), "The tokenizer")


def _pieces(encodings: Sequence[Encoding]) -> Pieces:
    ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32)
    return Pieces(ids, np.fromiter(accumulate(len(encoding) for encoding in encodings), np.int64, len(encodings)))


def _details(encoding: Encoding) -> Details:
    starts, ends = ([offset[side] for offset in encoding.offsets] for side in (0, 1))
    return Details(starts, ends, [-1 if word is None else word for word in encoding.word_ids])
