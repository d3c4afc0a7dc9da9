"""A text on its way through the tokenizer: normalized, split into words, pieces, ids, token types and positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.explain.opened import check_texts, opened_tokenizer
from bertkit.explain.view import Explanation
from bertkit.terminal import Page, cut, shown, straight, width
from bertkit.training.report.markup import Section, element, escaped, paragraph, table
from bertkit.training.report.pictures import BLUE, LINE, MUTED, families

_ACROSS = 7.2
"""The width of the picture in inches."""
_MOST = 400
"""The tokens of a picture. A page and a terminal show all."""


class Word(NamedTuple):
    """A word: as it is in the text, as it is normalized, and its tokens, `tokens[start:end]`. `text_number`: 0 or 1 of a pair."""

    text: str
    normalized: str
    text_number: int
    start: int
    end: int


@dataclass(frozen=True, eq=False, repr=False)
class Tokens(Explanation):
    """A text or a pair of texts as tokens. L: the number of tokens."""

    texts: tuple[str, ...]
    words: tuple[Word, ...]
    tokens: tuple[str, ...]  # [L]
    ids: NDArray[np.int64]  # [L]
    types: NDArray[np.int64]  # [L]: 0 for the first text, 1 for the second
    positions: NDArray[np.int64]  # [L]
    offsets: NDArray[
        np.int64
    ]  # [L, 2]: the first character in the text and the one after the last; 0 and 0: a special token

    @property
    def normalized(self) -> tuple[str, ...]:
        """The words of each text after normalization, between spaces."""
        return tuple(
            " ".join(word.normalized for word in self.words if word.text_number == number)
            for number in range(len(self.texts))
        )

    def _title(self) -> tuple[str, str]:
        return "Tokens", f"{len(self.words)} words are {len(self.tokens)} tokens, with the special tokens."

    def _rows(self) -> Iterator[tuple[str, int, int, int, str]]:
        """Yield the token, id, type and position of each token, and its part of the text."""
        numbers = {place: word.text_number for word in self.words for place in range(word.start, word.end)}
        columns = (self.tokens, self.ids.tolist(), self.types.tolist(), self.positions.tolist(), self.offsets.tolist())
        for place, (token, id_, type_, position, (start, end)) in enumerate(zip(*columns, strict=True)):
            part = self.texts[numbers[place]][start:end] if place in numbers else ""
            yield token, id_, type_, position, part

    def _lines(self, page: Page) -> list[str]:
        facts = [
            (name, cut(text, page.columns - 12))
            for text, after in zip(self.texts, self.normalized, strict=True)
            for name, text in (("text", text), ("normalized", after))
        ]
        head = ("token", "id", "type", "position", "text")
        cells = [(shown(token), *map(str, numbers), shown(part)) for token, *numbers, part in self._rows()]
        return [*straight(facts, indent=""), *straight([head, *cells], right=(1, 2, 3), indent="")]

    def _sections(self) -> Sequence[Section]:
        found = [
            Section(f"text-{number}", "Words and pieces" if number == 0 else "The second text", self._flow(number))
            for number in range(len(self.texts))
        ]
        cells = ([token, str(id_), *rest, part or "–"] for token, id_, *rest, part in self._rows())
        rows = table(["token", "id", "type", "position", "text"], cells)
        kinds = paragraph("type: 0 in the first text, 1 in the second. Special tokens are no part of a text.", "muted")
        return [*found, Section("tokens", "Tokens", kinds + rows)]

    def _flow(self, number: int) -> str:
        """The text, the normalized text, and a box for each word with its pieces and their ids."""
        boxes = []
        for word in (one for one in self.words if one.text_number == number):
            pieces = "".join(
                f"<span><code>{escaped(self.tokens[place])}</code><small>{self.ids[place]}</small></span>"
                for place in range(word.start, word.end)
            )
            after = f" → {escaped(word.normalized)}" if word.normalized != word.text else ""
            boxes.append(
                f'<li><small dir="auto">{escaped(word.text)}{after}</small><span class="row">{pieces}</span></li>'
            )
        facts = "".join(
            f"<dt>{name}</dt>" + element("dd", escaped(text), "text")
            for name, text in (("text", self.texts[number]), ("normalized", self.normalized[number]))
        )
        return f'<dl>{facts}</dl><ol class="flow" aria-label="words with their pieces and ids">{"".join(boxes)}</ol>'

    def _size(self) -> tuple[float, float]:
        return _ACROSS + 0.2, 0.8 * self._places()[-1][1] + 0.9

    def _places(self) -> list[tuple[float, int]]:
        """The left side of the box of each token in inches, and its line."""
        found, x, line = [], 0.0, 0
        for token in self.tokens[:_MOST]:
            wide = _width(token)
            if x and x + wide > _ACROSS:
                x, line = 0.0, line + 1
            found.append((x, line))
            x += wide + 0.12
        return found

    def _draw(self, figure: Any) -> None:
        axes, places, fixed = figure.subplots(), self._places(), families("DejaVu Sans Mono")
        axes.set_axis_off()
        axes.set_xlim(-0.1, _ACROSS + 0.1)
        axes.set_ylim(-0.8 * (places[-1][1] + 1), 0.1)
        special = self.offsets[:, 1] == 0
        if len(self.tokens) > _MOST:
            axes.set_title(f"the first {_MOST} of {len(self.tokens):,} tokens", loc="left", fontsize=9)
        for place, (x, line) in enumerate(places):
            middle, y = x + _width(self.tokens[place]) / 2, -0.8 * line - 0.2
            box = {"boxstyle": "round,pad=0.3", "facecolor": "none", "edgecolor": LINE if special[place] else BLUE}
            font = {"ha": "center", "va": "center"}
            axes.text(middle, y, self.tokens[place], family=fixed, fontsize=9, bbox=box, **font)
            axes.text(middle, y - 0.3, f"{self.ids[place]} · {self.positions[place]}", fontsize=7, color=MUTED, **font)


def _width(token: str) -> float:
    return 0.3 + 0.08 * max(width(token), 6)


def tokens(tokenizer: Any, text: str, pair: str | None = None) -> Tokens:
    """Show what a tokenizer does to a text, or to a pair of texts.

    >>> from bertkit import BertTokenizerFast
    >>> found = tokens(BertTokenizerFast(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##able", "cafe"]), "Unable: Café")
    >>> found.normalized, found.tokens
    (('unable : cafe',), ('[CLS]', 'un', '##able', '[UNK]', 'cafe', '[SEP]'))

    Args:
        tokenizer: a tokenizer, or a folder, a Hub id or a built-in model with one.
        text: the text.
        pair: the second text.
    """
    check_texts(text, pair)
    made = opened_tokenizer(tokenizer)
    encoded = made(text, pair, verbose=False)
    row = encoded.encodings[0]
    given = (text,) if pair is None else (text, pair)
    words = tuple(word for number, one in enumerate(given) for word in _words(made, row, number, one))
    arrays = (row.ids, row.type_ids, range(len(row.ids)), row.offsets)
    return Tokens(given, words, tuple(row.tokens), *(np.asarray(column, np.int64) for column in arrays))


def _words(tokenizer: Any, row: Any, number: int, text: str) -> Iterator[Word]:
    """Yield the words of one text of a row. A special or added token in the text is a word, too, which is not normalized."""
    spans = list(_spans(row, number))
    parts = [text[row.offsets[start][0] : row.offsets[end - 1][1]] for start, end in spans]
    after, added = tokenizer.engine.words(text), tokenizer.added_tokens_decoder
    if len(after) != len(parts) or any(row.ids[start] in added for start, _ in spans):
        after = [
            part if row.ids[start] in added else "".join(tokenizer.engine.words(part))
            for part, (start, _) in zip(parts, spans, strict=True)
        ]
    for part, normalized, (start, end) in zip(parts, after, spans, strict=True):
        yield Word(part, normalized, number, start, end)


def _spans(row: Any, number: int) -> Iterator[tuple[int, int]]:
    """Yield the first token of each word of a text, and the one after its last."""
    start, length, _ = row.spans[number]
    last = start + length
    while start < last:
        end = start + 1
        while end < last and row.word_ids[end] == row.word_ids[start] is not None:
            end += 1
        yield start, end
        start = end
