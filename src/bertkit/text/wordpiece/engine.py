"""bertkit's own engine: it normalizes a batch at once, looks up the pieces of words, and assembles them in NumPy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError
from bertkit.text.surrogates import SURROGATE, check_surrogates, surrogate_error
from bertkit.text.vocabulary import AddedToken, Vocabulary
from bertkit.text.wordpiece.blanks import Blanks
from bertkit.text.wordpiece.characters import Normalizer, Rules
from bertkit.text.wordpiece.finding import Finder, Spellings
from bertkit.text.wordpiece.pieces import Located, Pieces
from bertkit.text.wordpiece.wordpiece import MOST_WORDS, WordPiece

CHUNK = 2**20
"""The number of characters that are tokenized at a time, which limits the memory for a batch."""

_LETTER, _MARK = 1, 2
_KINDS = np.array([_LETTER if chr(c).isalnum() else _MARK if c > 32 else 0 for c in range(127)] + [0], np.uint8)
_BETWEEN_BLANKS = re.compile("[^ ]+")
_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002a6df"  # separate words under all rules
_BETWEEN_CHINESE = re.compile(f"[{_CHINESE}]|[^ {_CHINESE}]+")
_LONGEST_KNOWN = 1_000
"""The maximum number of characters of a cached chunk. A text without spaces may have millions."""
_ASCII_WITH_BLANKS = re.compile(r"[\t\n\r -~]*")  # whitespace that isprintable() rejects, but no control characters
_PLAIN_WORDS = re.compile("[A-Za-z0-9]+|[!-/:-@[-`{-~]")

_Columns = tuple[tuple[int, ...], ...]  # ids, starts, ends and words; tuples need less memory than lists

_ADDED = "\ud800"
"""The first character of the word that represents an added token, before its id. Texts cannot contain a lone surrogate."""


class OwnEngine:
    """Texts -> pieces, for any plain BERT tokenizer.

    >>> vocabulary = Vocabulary(["[UNK]", "[MASK]", "un", "##aff", "##able", "."])
    >>> engine = OwnEngine(vocabulary, Rules(), {1: AddedToken("[MASK]", special=True)})
    >>> engine.encode(["Unaffable [MASK].", "un"])
    Pieces(ids=array([2, 3, 4, 1, 5, 2], dtype=int32), ends=array([5, 6]))
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        rules: Rules,
        added: Mapping[int, AddedToken] | None = None,
        never_split: Iterable[str] = (),
        *,
        unk: str = "[UNK]",
        prefix: str = "##",
        max_chars: int = 100,
        basic: bool = True,
    ) -> None:
        self._rules, self._basic = rules, basic
        self._lowercase = rules.lowercase
        added = added or {}
        spellings = Spellings(rules, basic)
        unk_id = vocabulary.ids.get(unk, 0)
        kept = [word for word in never_split if self._normalizer.keeps(word)]
        whole = {word: vocabulary.ids.get(word, unk_id) for word in kept}
        patterns = [spellings.of_tokens(added), spellings.of_words(whole)]
        self._finders = [Finder(some) for some in patterns if some]
        ids = dict(vocabulary.ids) | {f"{_ADDED}{id}": id for id in [*added, *whole.values()]}
        self._wordpiece = WordPiece(ids, unk, prefix, max_chars)
        self._crosses_blanks = any(
            token.lstrip or token.rstrip or not token.content.isprintable() or " " in token.content
            for token in added.values()
        )
        # A Chinese text has no spaces. Its single characters are cached, since they repeat and need little memory.
        self._stretches = _BETWEEN_CHINESE if basic and rules.chinese else _BETWEEN_BLANKS
        self._ids_between_blanks: dict[str, list[int]] = {}
        self._between_blanks: dict[str, _Columns] = {}

    @cached_property
    def _normalizer(self) -> Normalizer | Blanks:
        """Splits texts that are not plain ASCII into words."""
        return Normalizer(self._rules) if self._basic else Blanks()

    def encode(self, texts: Sequence[str]) -> Pieces:
        """Return the ids of texts."""
        if len(texts) == 1:
            ids = self.ids(texts[0])
            return Pieces(np.array(ids, np.int32), np.array([len(ids)]))
        try:
            parts = [self._encode_chunk(chunk) for chunk in _chunks(texts)]
        except UsageError as error:
            raise surrogate_error(texts, error) from None
        return parts[0] if len(parts) == 1 else _concatenated(parts)

    def ids(self, text: str) -> list[int]:
        """Return the ids of one text. Chunks between spaces are looked up in a cache, without NumPy."""
        if self._crosses_blanks:
            return self._wordpiece.ids_of(self._words(text))
        ids: list[int] = []
        known = self._ids_between_blanks
        for part in text.split(" "):
            if (found := known.get(part)) is None:
                found = self._remember(part, text)
            ids += found
        return ids

    def _remember(self, part: str, text: str) -> list[int]:
        """Compute and cache the ids of a chunk between spaces. They do not depend on the rest of the text."""
        if SURROGATE.search(part):
            check_surrogates(text)  # raises, with the position in the whole text
        if len(self._ids_between_blanks) >= MOST_WORDS:
            self._ids_between_blanks.clear()
        ids = self._wordpiece.ids_of(self._words(part))
        if len(part) <= _LONGEST_KNOWN:
            self._ids_between_blanks[part] = ids
        return ids

    def encode_words(self, texts: Sequence[Sequence[str]]) -> Pieces:
        """Return the ids of texts that are lists of words."""
        try:
            return _grouped(self.encode([word for text in texts for word in text]), texts)
        except UsageError as error:
            raise surrogate_error(texts, error) from None

    def _detailed(self, text: str) -> tuple[list[int], list[int], list[int], list[int]]:
        """Return the ids of a text, and the start, the end and the word of each."""
        found: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
        ids, starts, ends, words = found
        number = 0
        for part, start, added in self._parts(text):
            if added:
                ids += self._wordpiece.ids_of([added])
                starts.append(start)
                ends.append(start + len(part))
                words.append(number)
                number += 1
                continue
            for match in self._stretches.finditer(part):
                at = start + match.start()
                some = self._detailed_between_blanks(match[0])
                ids += some[0]
                starts += [at + first for first in some[1]]
                ends += [at + last for last in some[2]]
                words += [number + word for word in some[3]]
                number += some[3][-1] + 1 if some[3] else 0
        return found

    def _detailed_between_blanks(self, text: str) -> _Columns:
        """Do the same as `_detailed` for a chunk between spaces, with a cache."""
        found = self._between_blanks.get(text)
        if found is None:
            rows: list[tuple[int, int, int, int]] = []
            for number, word in enumerate(self._normalizer.aligned(text)):
                start = 0
                for id, end in zip(*self._wordpiece.pieces(word.text), strict=True):
                    rows.append((id, word.starts[start], word.ends[end - 1], number))
                    start = end
            if len(self._between_blanks) >= MOST_WORDS:
                self._between_blanks.clear()
            found = tuple(zip(*rows, strict=True)) if rows else ((), (), (), ())
            if len(text) <= _LONGEST_KNOWN:
                self._between_blanks[text] = found
        return found

    def locate(self, texts: Sequence[str]) -> Located:
        """Return the pieces of a batch and their details. Plain ASCII texts are processed together in NumPy."""
        try:
            if len(texts) == 1:
                columns = [np.array(column, np.int32) for column in self._detailed(texts[0])]
                return Located(Pieces(columns[0], np.array([len(columns[0])])), *columns[1:])
            parts = [self._locate_chunk(chunk) for chunk in _chunks(texts)]
        except UsageError as error:
            raise surrogate_error(texts, error) from None
        pieces = _concatenated([part.pieces for part in parts])
        if not parts:
            return Located(pieces, *[np.empty(0, np.int32)] * 3)
        return Located(pieces, *map(np.concatenate, zip(*(part[1:] for part in parts), strict=True)))

    def locate_words(self, texts: Sequence[Sequence[str]]) -> Located:
        """Do the same as `locate` for texts that are lists of words. Offsets are relative to the word."""
        try:
            pieces, starts, ends, _ = self.locate([word for text in texts for word in text])
        except UsageError as error:
            raise surrogate_error(texts, error) from None
        numbers = np.fromiter(chain.from_iterable(range(len(text)) for text in texts), np.int32)
        return Located(_grouped(pieces, texts), starts, ends, np.repeat(numbers, np.diff(pieces.ends, prepend=0)))

    def _locate_chunk(self, texts: Sequence[str]) -> Located:
        is_plain = [self._is_plain(text) and not self._finds(text) for text in texts]
        found, counts = self._locate_plain([text for text, so in zip(texts, is_plain, strict=True) if so])
        others = [self._detailed(text) for text, so in zip(texts, is_plain, strict=True) if not so]
        if others:
            lists = [np.fromiter(chain.from_iterable(column), np.int32) for column in zip(*others, strict=True)]
            counts = np.concatenate([counts, [len(ids) for ids, *_ in others]])
            order = _order(np.array(is_plain), counts)
            found = [np.concatenate([one, other])[order] for one, other in zip(found, lists, strict=True)]
            counts = counts[np.argsort(np.argsort(~np.array(is_plain), kind="stable"))]
        return Located(Pieces(found[0], np.cumsum(counts)), *found[1:])

    def _is_plain(self, text: str) -> bool:
        """Whether normalization keeps the position of each character: ASCII without control characters."""
        return self._basic and text.isascii() and bool(text.isprintable() or _ASCII_WITH_BLANKS.fullmatch(text))

    def _finds(self, text: str) -> bool:
        """Whether a text may contain an added token, or a word of never_split."""
        return any(finder.search(text) for finder in self._finders)

    def _locate_plain(self, texts: Sequence[str]) -> tuple[list[NDArray[np.int32]], NDArray[np.int64]]:
        """Return the ids, starts, ends and words of plain texts, and the number of pieces of each text.

        A word is a run of letters and digits, or one punctuation mark.
        """
        joined = "\n".join(texts)
        kinds = _KINDS[np.frombuffer(joined.encode(), np.uint8)]
        letter, mark = kinds == _LETTER, kinds == _MARK
        is_after = np.concatenate([[False], letter[:-1]])
        is_before = np.concatenate([letter[1:], [False]])
        firsts = np.flatnonzero((letter & ~is_after) | mark)
        lasts = np.flatnonzero((letter & ~is_before) | mark)
        lowered = joined.lower() if self._lowercase else joined
        split = self._wordpiece.split(
            [lowered[first : last + 1] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)]
        )
        text_starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
        words_before = np.searchsorted(firsts, text_starts)  # words before each text
        pieces_before = np.concatenate([[0], np.cumsum(split.counts)])[words_before]
        counts = np.diff(pieces_before)
        word = np.repeat(np.arange(len(firsts)), split.counts)
        offset = (firsts - np.repeat(text_starts[:-1], np.diff(words_before)))[word]
        number = word - np.repeat(words_before[:-1], counts)
        columns = (split.ids, offset + split.starts, offset + split.ends, number)
        return [column.astype(np.int32) for column in columns], counts

    def _encode_chunk(self, texts: Sequence[str]) -> Pieces:
        found = self._finds("\n".join(texts))
        words = [self._words(text) for text in texts] if found else self._normalizer.joined(texts)
        split = self._wordpiece.split(list(chain.from_iterable(words)))
        last_words = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))
        return Pieces(split.ids, np.concatenate([[0], np.cumsum(split.counts)])[last_words])

    def _words(self, text: str) -> list[str]:
        """Return the normalized words of a text, and one word for each added token."""
        if not self._finds(text):
            return self.words(text)
        words = []
        for part, _, added in self._parts(text):
            words += [added] if added else self.words(part)
        return words

    def words(self, text: str) -> list[str]:
        """Return the normalized words of a text without added tokens."""
        if self._is_plain(text):
            return _PLAIN_WORDS.findall(text.lower() if self._lowercase else text)
        return self._normalizer.words(text)

    def _parts(self, text: str) -> Iterator[tuple[str, int, str]]:
        """Yield the parts of a text: (part, start, word), where word represents an added token and is "" for other text."""
        parts: Iterable[tuple[str, int, int | None]] = [(text, 0, None)]
        for finder in self._finders:
            parts = _split_further(finder, parts)
        for part, start, id in parts:
            yield part, start, "" if id is None else f"{_ADDED}{id}"


def _split_further(
    finder: Finder, parts: Iterable[tuple[str, int, int | None]]
) -> Iterator[tuple[str, int, int | None]]:
    """Split the parts without an id: (text, start, id or None)."""
    for part, start, id in parts:
        if id is not None:
            yield part, start, id
            continue
        for smaller, place, found in finder.split(part):
            yield smaller, start + place, found


def _order(is_plain: NDArray[np.bool_], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index that restores the order of the texts, when the pieces of plain texts precede those of the others."""
    place = np.empty(len(counts), np.int64)
    place[np.argsort(~is_plain, kind="stable")] = np.arange(len(counts))
    starts = (np.cumsum(counts) - counts)[place]
    counts = counts[place]
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield slices of the texts with about CHUNK characters."""
    first, size = 0, 0
    for i, text in enumerate(texts):
        size += len(text)
        if size > CHUNK:
            yield texts[first : i + 1]
            first, size = i + 1, 0
    if first < len(texts):
        yield texts[first:]


def _grouped(pieces: Pieces, texts: Sequence[Sequence[str]]) -> Pieces:
    """Return the pieces of words as pieces of the texts that consist of these words."""
    words = np.cumsum([len(text) for text in texts], dtype=np.int64)
    return Pieces(pieces.ids, np.concatenate([[0], pieces.ends])[words])


def _concatenated(parts: Sequence[Pieces]) -> Pieces:
    if not parts:
        return Pieces(np.empty(0, np.int32), np.empty(0, np.int64))
    offsets = np.cumsum([0, *(len(part.ids) for part in parts[:-1])])
    ends: list[NDArray[np.int64]] = [part.ends + offset for part, offset in zip(parts, offsets, strict=True)]
    return Pieces(np.concatenate([part.ids for part in parts]), np.concatenate(ends))
