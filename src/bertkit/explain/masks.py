"""Who sees whom: which positions may attend to which, in batches with padding, decoders, packed rows and cross-attention."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import Setting, UsageError, described
from bertkit.explain.markup import grid, image
from bertkit.explain.opened import opened_tokenizer
from bertkit.explain.shades import heat, shaded
from bertkit.explain.view import Explanation
from bertkit.terminal import Page, shown
from bertkit.training.report.markup import Section, escaped, paragraph

_MOST = 64
"""The tokens of a row that are shown as a table. A longer row is a picture."""
_MOST_ROWS = 16
"""The rows of a batch that are shown."""
_MOST_PAIRS = 100_000_000
"""Pairs of positions of a batch, each of which takes a byte."""

_RULES = {
    "padding": "Each token sees all tokens of its row. Padding sees nothing, and no token sees it.",
    "causal": "Each token sees itself and the tokens before it. Padding sees nothing, and no token sees it.",
    "packed": "The texts are in one row without padding. Each token sees the tokens of its own text.",
    "packed causal": "The texts are in one row without padding. Each token sees itself and the tokens before it in its own text.",
    "cross": "Each token of the decoder (a row) sees all tokens of the encoder (the columns).",
}


@dataclass(frozen=True, eq=False, repr=False)
class Mask(Explanation):
    """Which positions may attend to which. B: rows of the batch; L: positions of a row; S: positions that are attended to."""

    kind: str  # "padding", "causal", "packed", "packed causal" or "cross"
    rows: tuple[tuple[str, ...], ...]  # [B][L]: the tokens that attend
    columns: tuple[tuple[str, ...], ...]  # [B][S]: the tokens that are attended to
    positions: NDArray[np.int64]  # [B, L]: the position of each token that attends; 0 for padding
    seen: NDArray[np.bool_]  # [B, L, S]: True where a position may attend

    def _title(self) -> tuple[str, str]:
        return f"Who sees whom: {self.kind}", _RULES[self.kind]

    def _caption(self, row: int) -> str:
        pairs = int(self.seen[row].sum())
        return f"Row {row}: {pairs:,} of {self.seen[row].size:,} pairs of positions, {pairs / self.seen[row].size:.0%}."

    def _lines(self, page: Page) -> list[str]:
        found = [page.paint(self._title()[0], "bold"), _RULES[self.kind]]
        for row, (left, right) in enumerate(zip(self.rows[:_MOST_ROWS], self.columns, strict=False)):
            names = [f"{shown(token)} {place}" for place, token in enumerate(left)]
            found += [self._caption(row), *shaded(names, right, self.seen[row], page)]
            found += (
                [f"  columns: {' '.join(f'{place} {shown(token)}' for place, token in enumerate(right))}"]
                if self.kind == "cross"
                else []
            )
        return [*found, page.paint(self._left_out(), "dim")] if self._left_out() else found

    def _left_out(self) -> str:
        """How many rows are not shown, in words; empty if all are."""
        count = len(self.rows) - _MOST_ROWS
        return f"{count:,} more rows of the batch are not shown." if count > 0 else ""

    def _sections(self) -> Sequence[Section]:
        found = [Section(f"row-{row}", f"Row {row}", self._row(row)) for row in range(len(self.rows[:_MOST_ROWS]))]
        return [*found, Section("rest", "More rows", paragraph(self._left_out()))] if self._left_out() else found

    def _row(self, row: int) -> str:
        left, right = self.rows[row], self.columns[row]
        if max(len(left), len(right)) > _MOST:
            caption = escaped(self._caption(row))
            start = f'<div class="grid" tabindex="0" role="group" aria-label="{caption}">'
            return f"{start}{image(self.seen[row], self._caption(row))}</div>" + paragraph(self._caption(row), "muted")
        counts = self.seen[row].sum(1)
        names = [f"{token} sees {count}" for token, count in zip(left, counts.tolist(), strict=True)]
        return grid(names, right, self.seen[row].astype(int), self._caption(row))

    def _size(self) -> tuple[float, float]:
        side = min(1.2 + 0.16 * self.seen.shape[1], 8.0)
        return min(1.2 + 0.16 * self.seen.shape[2], 8.0) * min(len(self.rows), _MOST_ROWS), side

    def _draw(self, figure: Any) -> None:
        every = figure.subplots(1, min(len(self.rows), _MOST_ROWS), squeeze=False)[0]
        for axes, left, right, seen in zip(every, self.rows, self.columns, self.seen, strict=False):
            heat(axes, left, right, seen)


def mask(
    tokenizer: Any,
    texts: str | Sequence[str],
    *,
    causal: bool = False,
    packed: bool = False,
    sources: str | Sequence[str] | None = None,
) -> Mask:
    """Show which positions of a batch may attend to which.

    >>> from bertkit import BertTokenizerFast
    >>> words = BertTokenizerFast(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"])
    >>> mask(words, ["a b", "a"]).seen[1].astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 1, 0],
           [1, 1, 1, 0],
           [0, 0, 0, 0]])

    Args:
        tokenizer: a tokenizer, or a folder, a Hub id or a built-in model with one.
        texts: the texts of the batch. Shorter ones are padded.
        causal: as in a decoder, each token sees only itself and those before it.
        packed: the texts are in one row, without padding, as with `DataCollatorWithPacking`.
        sources: the texts that an encoder reads, one for each text, for the cross-attention of a decoder.
    """
    made = opened_tokenizer(tokenizer)
    each = _tokens(made, texts, "texts")
    if sources is not None:
        if causal or packed:
            other = Setting("causal" if causal else "packed", True)
            raise UsageError("Cross-attention sees all tokens of the sources: leave ", other, " out.")
        return _cross(made, each, _tokens(made, sources, "sources"))
    length = sum(map(len, each)) if packed else max(map(len, each))
    _check_size((1 if packed else len(each)) * length**2)
    kind = " ".join(name for name, on in (("packed", packed), ("causal", causal)) if on) or "padding"
    if packed:
        owner = np.repeat(np.arange(len(each)), [len(one) for one in each])[None]  # [1, L]
        each = [[token for one in each for token in one]]
        positions = np.arange(owner.size) - np.searchsorted(owner[0], owner[0])[None]
    else:
        owner = _real(each).astype(int) - 1  # -1 at padding
        positions = np.where(owner < 0, 0, np.arange(owner.shape[1]))
    seen = (owner[:, :, None] == owner[:, None]) & (owner[:, :, None] >= 0)
    rows = _padded(made, each)
    return Mask(kind, rows, rows, positions, np.tril(seen) if causal else seen)


def _cross(tokenizer: Any, each: list[list[str]], sources: list[list[str]]) -> Mask:
    if len(sources) != len(each):
        raise UsageError(f"There are {len(each)} texts and {len(sources)} sources: pass one source for each text.")
    _check_size(len(each) * max(map(len, each)) * max(map(len, sources)))
    seen = _real(each)[:, :, None] & _real(sources)[:, None]
    positions = np.where(_real(each), np.arange(seen.shape[1]), 0)
    return Mask("cross", _padded(tokenizer, each), _padded(tokenizer, sources), positions, seen)


def _check_size(pairs: int) -> None:
    """Raise UsageError for a mask that would not fit into the memory."""
    if pairs > _MOST_PAIRS:
        raise UsageError(
            f"The mask has {pairs:,} pairs of positions, more than {_MOST_PAIRS:,}: pass fewer or shorter texts."
        )


def _tokens(tokenizer: Any, texts: str | Sequence[str], name: str) -> list[list[str]]:
    given = [texts] if isinstance(texts, str) else list(texts) if isinstance(texts, Iterable) else []
    if not given or not all(isinstance(text, str) for text in given):
        raise UsageError(f"{name} is {described(texts)}: pass a text, or a list of texts.")
    encoded = tokenizer(given, verbose=False)
    return [encoded.tokens(number) for number in range(len(given))]


def _real(each: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """[B, L], False at padding."""
    lengths = np.array([len(one) for one in each])
    found: NDArray[np.bool_] = np.arange(lengths.max()) < lengths[:, None]
    return found


def _padded(tokenizer: Any, each: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    most = max(map(len, each))
    return tuple((*one, *[str(tokenizer.pad_token)] * (most - len(one))) for one in each)
