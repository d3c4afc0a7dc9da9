"""One long row of ids, and the part of it around some of its tokens that the model can take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bertkit.data.batches import Ints, Row
from bertkit.errors import UsageError


class Whole(NamedTuple):
    """A text as one row, however long it is."""

    ids: Ints  # [t]
    before: int  # special tokens in front
    after: int  # and behind

    @property
    def pieces(self) -> int:
        """How many tokens of the text it has."""
        return len(self.ids) - self.before - self.after


def around(whole: Whole, places: Sequence[int], most: int, labels: Any = None) -> Row:
    """A row of at most `most` tokens that has the given places of a text, in its middle where the text is longer.

    `positions` of the row are those places, and `labels` what belongs there.
    """
    ids, at = whole.ids, np.array(places, np.int64)
    room = most - whole.before - whole.after
    if room < 1:
        raise UsageError(
            f"max_length={most} has no place for a mask: type max_length={whole.before + whole.after + 1}, or more."
        )
    if whole.pieces > room:
        first, last = int(at.min()), int(at.max())
        if last - first >= room:
            raise UsageError(
                f"Two masks that belong together are {last - first} tokens apart, and a row takes {most}: fill them one by one."
            )
        middle = (first + last + 1) // 2 - whole.before
        start = min(max(middle - room // 2, 0), whole.pieces - room) + whole.before
        end = len(ids) - whole.after
        ids = np.concatenate([ids[: whole.before], ids[start : start + room], ids[end:]])
        at = at - (start - whole.before)
    return Row(ids, np.zeros(len(ids), np.int64), at, None if labels is None else np.asarray(labels))


def neighbours(places: Sequence[int], room: int) -> list[list[int]]:
    """Places in groups, each of which fits into a window.

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


def replaced(ids: Ints, place: int, by: Sequence[int]) -> Ints:
    """A row with one token replaced by several."""
    return np.concatenate([ids[:place], np.array(by, np.int64), ids[place + 1 :]])
