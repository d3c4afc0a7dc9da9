"""Texts -> rows that the model can take, and where the windows of a long text meet.

A text that is too long becomes windows that share some tokens with their neighbours. Where two windows have the same token, it
is read from the one that shows more around it, so that neighbours meet in the middle of what they share:

    pieces      a b c d e f g h i j
    windows     a b c d e f
                      d e f g h i j
    read from   1 1 1 1 2 2 2 2 2 2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.data.batches import Row
from bertkit.errors import UsageError
from bertkit.tasks.base import Encoded, Options, Told
from bertkit.text import call as encoder
from bertkit.text.call import Encoding, Encodings, read
from bertkit.text.call import Options as Wishes

if TYPE_CHECKING:
    from bertkit.tasks.base import Tokenizer


@dataclass(frozen=True)
class Windows:
    """The windows of one text or pair: rows of what the tokenizer laid out."""

    encodings: Encodings
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Encoding:
        """The window with all that is known of its tokens."""
        return self.encodings[self.numbers[index]]

    def __iter__(self) -> Any:
        return (self[index] for index in range(len(self)))


def encode_texts(
    tokenizer: Tokenizer,
    first: Sequence[Any],
    second: Sequence[str] | None,
    options: Options,
    most: int,
    *,
    words: bool = False,
    cut: str = "longest_first",
) -> list[Encoded]:
    """Texts, or pairs of texts, as rows of at most `most` tokens. The memory of each is its Windows.

    Args:
        tokenizer: turns them into pieces.
        first: texts; with `words`, lists of words.
        second: the second text of each pair.
        options: what becomes of long ones.
        most: tokens of a row.
        words: whether the texts are lists of words.
        cut: which text of a pair is cut: "longest_first", "only_first" or "only_second".
    """
    if not first:
        return []
    windows = options.on_long == "window"
    fixed = second if cut == "only_first" else first if cut == "only_second" else ()
    room = _room(tokenizer, options, most, second is not None)
    overlap = _overlap(tokenizer, options, most, room, fixed or ()) if windows else 0
    wishes = Wishes(
        add_special_tokens=options.add_special_tokens,
        truncation=cut,
        max_length=most,
        stride=overlap,
        is_split_into_words=words,
        return_overflowing_tokens=windows,
    )
    encodings = encoder.encodings(tokenizer, read(list(first), None if second is None else list(second), words), wishes)
    return _by_text(encodings, options, most, windows and tokenizer.truncation_side == "left")


def _room(tokenizer: Tokenizer, options: Options, most: int, pair: bool) -> int:
    """How many tokens of texts a row has."""
    special: int = tokenizer.num_special_tokens_to_add(pair) if options.add_special_tokens else 0
    if most < special + (options.on_long == "window"):
        raise UsageError(
            f"max_length={most} has no place for a text beside {special} special tokens: type max_length={special + 1}, or more."
        )
    return most - special


def _overlap(tokenizer: Tokenizer, options: Options, most: int, room: int, fixed: Sequence[str]) -> int:
    """How many tokens windows share. `room`: that a row has for texts; `fixed`: the texts of pairs that are in every window."""
    if options.overlap is None:
        longest = max((len(tokenizer.engine.ids(text)) for text in set(fixed)), default=0)
        return max(min(most // 8, (room - longest) // 2), 0)
    if options.overlap >= room:
        raise UsageError(
            f"overlap={options.overlap} is how many tokens neighbouring windows share, and a window has {room} of the text: "
            f"type overlap={max(room // 2, 0)}, or less."
        )
    return options.overlap


def _by_text(encodings: Encodings, options: Options, most: int, from_the_end: bool) -> list[Encoded]:
    layout = encodings.layout
    ids, types = encodings.ids, layout.types()
    pieces = np.sum([np.diff(ends, prepend=0) for ends in encodings.ends], axis=0) + layout.frame.size
    counts = np.bincount(layout.rows.texts, minlength=len(pieces))
    ends = np.cumsum(counts)
    starts, stops = layout.starts.tolist(), (layout.starts + layout.lengths).tolist()
    found = []
    for end, count, total in zip(ends.tolist(), counts.tolist(), pieces.tolist(), strict=True):
        numbers = range(end - count, end)[:: -1 if from_the_end else 1]
        rows = [Row(ids[starts[n] : stops[n]], types[starts[n] : stops[n]]) for n in numbers]
        left_out = 0 if count > 1 else total - len(rows[0])
        if left_out and options.on_long == "error":
            raise UsageError(too_long(total, most))
        found.append(Encoded(rows, Told(left_out > 0, count, total, left_out), Windows(encodings, numbers)))
    return found


def too_long(tokens: int, most: int) -> str:
    """The error for a text that does not fit."""
    return (
        f'The text has {tokens} tokens, and a row takes {most}: type on_long="window" to read all of it in several '
        'rows, or on_long="truncate" to leave out what is behind.'
    )


def meeting_points(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """For windows that have the pieces [start, end) of a text, the pieces [first, last) that are read from each.

    >>> meeting_points([(0, 6), (3, 10)])
    [(0, 4), (4, 10)]
    """
    cuts = [(behind[0] + before[1]) // 2 for before, behind in pairwise(spans)]
    return list(zip([spans[0][0], *cuts], [*cuts, spans[-1][1]], strict=True))


def reading_places(windows: Windows, side: int = 0) -> list[range]:
    """For each window the tokens of it that are read: each piece of the text once, from the window that shows most around it."""
    spans = [window.spans[side] for window in windows]
    points = meeting_points([(piece, piece + length) for _, length, piece in spans])
    return [
        range(at + first - piece, at + last - piece)
        for (at, _, piece), (first, last) in zip(spans, points, strict=True)
    ]
