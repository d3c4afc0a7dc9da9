"""Texts -> rows that fit into the model: truncated, in windows, or the part around some tokens.

A text that is too long is split into windows that overlap. The answer for a token that two windows share is taken from the
window with more tokens around it, so that the windows change in the middle of the overlap:

    tokens      a b c d e f g h i j
    windows     a b c d e f
                      d e f g h i j
    taken from  1 1 1 1 2 2 2 2 2 2
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertkit.data.batches import Ints, Row
from bertkit.errors import OptionError, Setting, UsageError, received
from bertkit.tasks.base import Encoded, Reading, TaskOptions
from bertkit.text.call import Encoding, Encodings, Options, encodings, read

if TYPE_CHECKING:
    from bertkit.tasks.base import Tokenizer


@dataclass(frozen=True)
class Windows:
    """The windows of one text or pair, in the order of the text."""

    encodings: Encodings
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Encoding:
        """Return a window as an Encoding."""
        return self.encodings[self.numbers[index]]

    def __iter__(self) -> Iterator[Encoding]:
        return (self[index] for index in range(len(self)))


def encode_texts(
    tokenizer: Tokenizer,
    first: Sequence[Any],
    second: Sequence[str] | None,
    options: TaskOptions,
    most: int,
    *,
    words: bool = False,
    cut: str = "longest_first",
) -> list[Encoded]:
    """Encode texts, or pairs of texts, as rows of at most `most` tokens. The memory of each is its Windows.

    Args:
        tokenizer: the tokenizer.
        first: the texts; with `words`, lists of words.
        second: the second text of each pair, or None.
        options: the options of the task, of which `on_long` is the treatment of long texts.
        most: the maximum number of tokens in a row.
        words: whether the texts are lists of words.
        cut: which text of a pair is truncated: "longest_first", "only_first" or "only_second".
    """
    if not first:
        return []
    windows = options.on_long == "window"
    fixed = second if cut == "only_first" else first if cut == "only_second" else ()
    room = _room(tokenizer, options, most, second is not None)
    tokenizer_options = Options(
        add_special_tokens=options.add_special_tokens,
        truncation=cut,
        max_length=most,
        stride=_overlap(tokenizer, options, most, room, fixed or ()) if windows else 0,
        is_split_into_words=words,
        return_overflowing_tokens=windows,
    )
    texts = read(list(first), None if second is None else list(second), words)
    laid_out = encodings(tokenizer, texts, tokenizer_options)
    return _by_text(laid_out, options, most, windows and tokenizer.truncation_side == "left")


def _room(tokenizer: Tokenizer, options: TaskOptions, most: int, pair: bool) -> int:
    """Return how many tokens of texts fit into a row, without special tokens."""
    special: int = tokenizer.num_special_tokens_to_add(pair) if options.add_special_tokens else 0
    if most < special + (options.on_long == "window"):
        advice = Setting("max_length", special + 1)
        raise OptionError(
            Setting("max_length", most),
            f" leaves no space for a text, as a row has {special} special tokens: type ",
            advice,
            ", or more.",
        )
    return most - special


def _overlap(tokenizer: Tokenizer, options: TaskOptions, most: int, room: int, fixed: Sequence[str]) -> int:
    """Return the number of tokens that neighbouring windows share.

    `room` is the number of tokens of texts in a row, and `fixed` are the texts of pairs that every window repeats.
    """
    if options.overlap is None:
        longest = max((len(tokenizer.engine.ids(text)) for text in set(fixed)), default=0)
        return max(min(most // 8, (room - longest) // 2), 0)
    if options.overlap >= room:
        raise OptionError(
            received("overlap", options.overlap),
            f" is not smaller than a window, which has {room} tokens of the text: type ",
            Setting("overlap", max(room // 2, 0)),
            ", or less.",
        )
    return options.overlap


def _by_text(encodings: Encodings, options: TaskOptions, most: int, from_the_end: bool) -> list[Encoded]:
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
        if not total:
            raise UsageError("The text has no tokens: type more text, or ", Setting("add_special_tokens", True), ".")
        left_out = 0 if count > 1 else total - len(rows[0])
        if left_out and options.on_long == "error":
            raise too_long(total, most)
        found.append(Encoded(rows, Reading(left_out > 0, count, total, left_out), Windows(encodings, numbers)))
    return found


def too_long(tokens: int, most: int) -> UsageError:
    """Return the error for a text that does not fit into a row."""
    return UsageError(
        f"The text has {tokens} tokens, and a row has at most {most}: type ",
        Setting("on_long", "window"),
        " to use several rows, or ",
        Setting("on_long", "truncate"),
        " to truncate the text.",
    )


def meeting_points(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the tokens [first, last) to use from each window, for windows that contain the tokens [start, end) of a text.

    >>> meeting_points([(0, 6), (3, 10)])
    [(0, 4), (4, 10)]
    """
    cuts = [(right[0] + left[1]) // 2 for left, right in pairwise(spans)]
    return list(zip([spans[0][0], *cuts], [*cuts, spans[-1][1]], strict=True))


def reading_places(windows: Windows) -> list[range]:
    """Return which tokens to use from each window: each token of the text once, from the window with more tokens around it."""
    spans = [window.spans[0] for window in windows]
    points = meeting_points([(piece, piece + length) for _, length, piece in spans])
    return [
        range(at + first - piece, at + last - piece)
        for (at, _, piece), (first, last) in zip(spans, points, strict=True)
    ]


# The part of a long text around some of its tokens.


class Whole(NamedTuple):
    """A text as one row of any length."""

    ids: Ints  # [t]
    before: int = 0  # number of special tokens at its start
    after: int = 0  # number of special tokens at its end


def encode_whole(tokenizer: Tokenizer, texts: Sequence[str], add_special_tokens: bool) -> list[Whole]:
    """Encode each text as one row, without truncation."""
    if not texts:
        return []
    options = Options(add_special_tokens=add_special_tokens)
    laid_out = encodings(tokenizer, read(list(texts), None, False), options)
    frame = laid_out.layout.frame
    rows = np.split(laid_out.ids, np.cumsum(laid_out.layout.lengths)[:-1])
    return [Whole(ids, len(frame.before), len(frame.after)) for ids in rows]


def around(whole: Whole, places: Sequence[int], most: int) -> Row:
    """Return a row of at most `most` tokens with the given tokens of a text in its middle, as the `positions` of the row."""
    ids, at = whole.ids, np.array(places, np.int64)
    special = whole.before + whole.after
    if most <= special:
        advice = Setting("max_length", special + 1)
        raise OptionError(Setting("max_length", most), " leaves no space for a mask: type ", advice, ", or more.")
    if len(ids) > most:
        middle = (places[0] + places[-1] + 1) // 2
        start = min(max(middle - (most - special) // 2, whole.before), len(ids) - most + whole.before)
        end = start + most - special
        ids = np.concatenate([ids[: whole.before], ids[start:end], ids[len(ids) - whole.after :]])
        at = at - (start - whole.before)
    return Row(ids, np.zeros(len(ids), np.int64), at)


def neighbours(places: Sequence[int], room: int) -> list[list[int]]:
    """Group positions so that each group fits into a row of `room` tokens.

    >>> neighbours([3, 5, 40, 44], room=10)
    [[3, 5], [40, 44]]
    """
    groups: list[list[int]] = []
    for place in places:
        if groups and place - groups[-1][0] < room:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
