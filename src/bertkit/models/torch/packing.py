"""How the tokens of a batch lie in memory, and how they attend to each other.

Inside the layers a batch is laid out in one of two ways:

    Packed      [T, H]      the real tokens alone, one sequence after the other, the longest sequence first
    Rectangle   [B, L, H]   every position: full batches, caches, and compilers, which need shapes that no values decide

    a b c .           a b c d e f g       (Packed: lengths 4 and 3; the second row comes first)
    d e f g    ->     d e f g a b c

    T tokens   B rows of the batch   L positions of a row   S positions that are attended to   A heads   D width of a head
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bertkit.errors import UsageError
from bertkit.heads import IGNORED

try:
    from torch.nn.attention import varlen
except ImportError:  # torch before 2.10
    varlen = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Packed:
    """The real tokens of a batch, without padding.

    outer: the first sides of the caller's tensors: (B, L), or (T,) or (1, T) where they are packed already.
    grid: (B, L), the rectangle in which the tokens would lie with padding.
    cells: [T], where each token lies in the flat grid.
    places: [T], where each token lies in the flat outer tensor; None: where it lies here.
    lengths: of the sequences that have tokens, the longest first.
    rows: [number of lengths], the row of the batch that each is.
    firsts: [number of lengths], where the first token of each lies here, in the order of the batch.
    has_empty: whether some rows of the batch have no tokens.
    """

    outer: tuple[int, ...]
    grid: tuple[int, int]
    cells: Tensor
    places: Tensor | None
    lengths: list[int]
    rows: Tensor
    firsts: Tensor
    has_empty: bool
    causal: bool = False
    isolated: ClassVar[bool] = False  # a real token sees itself

    @staticmethod
    def from_mask(mask: Tensor, causal: bool = False) -> Packed:
        """From a rectangle. mask: [B, L], True at real tokens, which may be anywhere in their row."""
        lengths, rows = mask.sum(1).sort(descending=True, stable=True)
        row, column = mask[rows].nonzero(as_tuple=True)
        cells = rows[row] * mask.shape[1] + column
        lengths = lengths[lengths > 0]
        shape = (mask.shape[0], mask.shape[1])
        rows, has_empty = rows[: len(lengths)], len(lengths) < len(rows)
        firsts = (lengths.cumsum(0) - lengths)[rows.argsort()]
        return Packed(shape, shape, cells, cells, lengths.tolist(), rows, firsts, has_empty, causal)

    @staticmethod
    def from_lengths(lengths: Sequence[int], device: torch.device, causal: bool = False) -> Packed:
        """From tensors that are packed already. lengths: of each sequence, in the caller's order."""
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        there = [lengths[i] for i in order if lengths[i]]
        rows = torch.tensor(order[: len(there)], dtype=torch.long, device=device)
        sizes = torch.tensor(there, dtype=torch.long, device=device)
        here = torch.arange(sum(there), device=device)
        begins = sizes.cumsum(0) - sizes
        column = here - begins.repeat_interleave(sizes)
        grid = (len(lengths), max(there, default=0))
        starts = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.long, device=device)
        sorted_already = there == list(lengths)
        places = None if sorted_already else starts[rows].repeat_interleave(sizes) + column
        cells = rows.repeat_interleave(sizes) * grid[1] + column
        firsts, has_empty = begins[rows.argsort()], len(there) < len(lengths)
        return Packed((len(here),), grid, cells, places, there, rows, firsts, has_empty, causal)

    @property
    def begins(self) -> Tensor:
        """[number of lengths], where the first token of each lies in the flat outer tensor, in the order of the batch."""
        return self.firsts if self.places is None else self.places[self.firsts]

    @cached_property
    def boundaries(self) -> Tensor:
        """[sequences + 1], where each sequence begins and the last one ends."""
        ends = torch.tensor([0, *itertools.accumulate(self.lengths)], dtype=torch.int32)
        return ends.to(self.cells.device, non_blocking=True)

    @cached_property
    def mask(self) -> Tensor:
        """[B, 1, 1 or L, L], True where a position of the grid may attend."""
        real = torch.zeros(math.prod(self.grid), dtype=torch.bool, device=self.cells.device)
        real[self.cells] = True
        real = real.view(self.grid)
        return visible(real, self.grid[1]) if self.causal else real[:, None, None]

    def here(self, places: Tensor) -> Tensor:
        """Where tokens lie in [T], by their place in the caller's tensors."""
        return places if self.places is None else self.places.argsort()[places]

    def pack(self, x: Tensor) -> Tensor:
        """[*outer, ...] -> [T, ...]."""
        flat = x.flatten(0, len(self.outer) - 1)
        return flat if self.places is None else flat.index_select(0, self.places)

    def unpack(self, x: Tensor, padding: float = 0) -> Tensor:
        """[T, ...] -> [*outer, ...], zeros or another number at padding."""
        if self.places is not None:
            x = x.new_full((math.prod(self.outer), *x.shape[1:]), padding).index_copy(0, self.places, x)
        return x.view(*self.outer, *x.shape[1:])

    def returned(self, x: Tensor, padding: float = 0) -> tuple[Tensor, Tensor]:
        """The x that the caller gets, and the x to go on with. With gradients, the second is made from the first."""
        whole = self.unpack(x, padding)
        return whole, self.pack(whole) if torch.is_grad_enabled() else x

    def unpack_rows(self, x: Tensor) -> Tensor:
        """[sequences, ...] -> [B, ...], zeros for a row without tokens."""
        return x.new_zeros(self.grid[0], *x.shape[1:]).index_copy(0, self.rows.sort().values, x)

    def to_grid(self, x: Tensor) -> Tensor:
        """[T, ...] -> [B, L, ...], zeros at padding."""
        whole = x.new_zeros(math.prod(self.grid), *x.shape[1:]).index_copy(0, self.cells, x)
        return whole.view(*self.grid, *x.shape[1:])

    def from_grid(self, x: Tensor) -> Tensor:
        """[B, L, ...] -> [T, ...]."""
        return x.flatten(0, 1)[self.cells]

    def returned_weights(self, grid: Tensor) -> tuple[Weights, Tensor]:
        """Attention weights [B, A, L, L] as they are returned, zeros at padding, and the grid to go on with.

        Where the caller's tokens are packed, they are [A, l, l] of each sequence.
        """
        if self.outer != self.grid:
            lengths = [0] * self.grid[0]
            for row, length in zip(self.rows.tolist(), self.lengths, strict=True):
                lengths[row] = length
            each = tuple(grid[row, :, :length, :length] for row, length in enumerate(lengths))
            rest = [self.grid[1] - length for length in lengths]
            return each, torch.stack([F.pad(one, (0, more, 0, more)) for one, more in zip(each, rest, strict=True)])
        real = self.to_grid(torch.ones_like(self.cells, dtype=torch.bool))
        grid = grid.masked_fill(~real[:, None, :, None], 0)
        return grid, grid


@dataclass(frozen=True)
class Rectangle:
    """Every position of a batch.

    grid: (B, L).
    real: [B, L], True at real tokens; None: all are.
    mask: [B or 1, 1, L or 1, S], True where a position may attend; None: everywhere, or with `causal` to those before it.
    isolated: whether gradients are computed and some position may attend to none, which gives all the same weight.
    """

    grid: tuple[int, int]
    device: torch.device
    real: Tensor | None = None
    mask: Tensor | None = None
    causal: bool = False
    past: int = 0  # positions before the first, which a cache holds
    isolated: bool = False

    @staticmethod
    def masked(
        grid: tuple[int, int],
        mask: Tensor,
        real: Tensor | None = None,
        causal: bool = False,
        past: int = 0,
        ask: bool = False,
    ) -> Rectangle:
        """With a boolean mask: [B, past + L] of real tokens, or [B, L, L] or [B, 1, L or 1, S] where each position may attend.

        A decoder (causal) takes a mask of pairs as it is.
        ask: read the values of the mask on every device. A GPU has been waited for already.

        Fused attention has a wrong gradient for a position that may attend to none. If the values can be read, such a batch uses
        eager attention. If not, such a position attends to all.
        """
        (rows, length), given = grid, list(mask.shape)
        if given == [rows, past + length]:
            real = mask[:, past:]
            mask = visible(mask, length) if causal else mask[:, None, None]
        mask = mask[:, None] if mask.dim() == 3 else mask
        if real is None and (past or tuple(mask.shape) not in ((rows, 1, length, length), (rows, 1, 1, length))):
            raise UsageError(
                f"attention_mask has the shape {given}, and needs [batch, length] = {[rows, past + length]}, "
                f"or {[rows, length, length]} to say for each position where it may attend."
            )
        isolated = False
        if torch.is_grad_enabled() and not torch.jit.is_tracing():  # type: ignore[attr-defined]
            sees = mask.any(-1, keepdim=True)
            if ask or (mask.device.type == "cpu" and not torch.compiler.is_compiling()):
                isolated = not bool(sees.all())
            else:
                mask = mask | ~sees
        return Rectangle(grid, mask.device, real, mask, past=past, isolated=isolated)

    @property
    def outer(self) -> tuple[int, int]:
        """The first sides of the caller's tensors."""
        return self.grid

    def pack(self, x: Tensor) -> Tensor:
        """The same: [B, L, ...]."""
        return x

    def unpack(self, x: Tensor, padding: float = 0) -> Tensor:
        """[B, L, ...] -> [B, L, ...], zeros or another number at padding."""
        return x if self.real is None else x.masked_fill(~self.real.view(*self.grid, *[1] * (x.dim() - 2)), padding)

    def returned(self, x: Tensor, padding: float = 0) -> tuple[Tensor, Tensor]:
        """The x that the caller gets, and the x to go on with. With gradients, the second is made from the first."""
        whole = self.unpack(x, padding)
        if self.real is None or not torch.is_grad_enabled():
            return whole, x
        return whole, torch.where(self.real.view(*self.grid, *[1] * (x.dim() - 2)), whole, x)

    @property
    def firsts(self) -> Tensor:
        """[B], where the first real token of each row lies in the flat grid."""
        starts = torch.arange(self.grid[0], device=self.device) * self.grid[1]
        return starts if self.real is None else starts + self.real.int().argmax(1)

    begins = firsts

    @property
    def has_empty(self) -> bool:
        """Whether some rows may have no tokens."""
        return self.real is not None

    def unpack_rows(self, x: Tensor) -> Tensor:
        """[B, ...] -> [B, ...], zeros for a row without tokens."""
        return x if self.real is None else x.masked_fill(~self.real.any(1, keepdim=True), 0)

    to_grid = from_grid = pack

    def returned_weights(self, grid: Tensor) -> tuple[Weights, Tensor]:
        """Attention weights [B, A, L, S] as they are returned, zeros at padding, and the grid to go on with."""
        if self.real is None:
            return grid, grid
        real = self.real[:, None, :, None]
        returned = grid.masked_fill(~real, 0)
        return returned, torch.where(real, returned, grid)


Weights: TypeAlias = Tensor | tuple[Tensor, ...]
"""Attention weights [B, A, L, S], or where the caller's tokens are packed [A, l, l] of each sequence."""

Layout: TypeAlias = Packed | Rectangle


def visible(real: Tensor, length: int) -> Tensor:
    """Causal mask for the last `length` positions: each attends to itself and those before it. [B, S] -> [B, 1, length, S]."""
    before = torch.ones(length, real.shape[1], dtype=torch.bool, device=real.device)
    return real[:, None, None] & before.tril(real.shape[1] - length)


# Kinds of attention. q, k, v: [T, A, D] or [B, L, A, D], as the layout says. With a cache or an encoder, k and v are
# [B, S, A, D]. bias: [B, A, L, S], added to the scores. The result has the shape of q.

Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor, Layout, Tensor | None, float], Tensor]


BATCH_INVARIANT: ContextVar[bool] = ContextVar("batch_invariant", default=False)
"""Whether the numbers of a sequence must not depend on the rest of the batch: see batch_invariant."""


def fastest(
    layout: Layout, cross: Rectangle | None, fused: bool, device: str, dtype: torch.dtype, biased: bool
) -> Attend:
    """Choose the kind of attention for a batch. No other place does."""
    if not torch.compiler.is_compiling() and BATCH_INVARIANT.get():
        return invariant(layout, cross, fused, biased)
    if not fused:
        return eager
    if biased or isinstance(layout, Rectangle):
        return padded
    if device == "cpu":
        return by_length
    if device == "cuda" and dtype in (torch.bfloat16, torch.float16) and varlen:
        return flash
    return padded


def invariant(layout: Layout, cross: Rectangle | None, fused: bool, biased: bool) -> Attend:
    """Choose a kind whose numbers for a sequence do not depend on the rest of the batch."""
    if biased or any(isinstance(one, Rectangle) and one.mask is not None for one in (layout, cross)):
        raise UsageError(
            "batch_invariant() does not support relative positions, masks of pairs or of an encoder, caches of padded batches, "
            "and labels or answers in padding: leave padding out with lengths=..., pass use_cache=False, pass inputs of one "
            "length, or leave batch_invariant()."
        )
    if isinstance(layout, Rectangle):
        return padded if fused else eager
    return by_length if fused else eager_by_length


def by_length(q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor | None, dropout: float) -> Tensor:
    """One call for all sequences of one length. On a CPU a call costs little, and a mask much."""
    assert isinstance(layout, Packed)
    groups, sizes, contexts = [], [], []
    for length, same in itertools.groupby(layout.lengths):
        groups.append((len(list(same)), length))
        sizes.append(groups[-1][0] * length)
    for group, q_, k_, v_ in zip(groups, q.split(sizes), k.split(sizes), v.split(sizes), strict=True):
        shape = (*group, *q.shape[1:])  # [n, l, A, D], to [n, A, l, D]
        q_, k_, v_ = q_.view(shape).transpose(1, 2), k_.view(shape).transpose(1, 2), v_.view(shape).transpose(1, 2)
        context = F.scaled_dot_product_attention(q_, k_, v_, dropout_p=dropout, is_causal=layout.causal)
        contexts.append(context.transpose(1, 2).flatten(0, 1))
    return contexts[0] if len(contexts) == 1 else torch.cat(contexts) if contexts else q


def flash(q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor | None, dropout: float) -> Tensor:
    """One call for all, by the kernel for sequences of different lengths that recent GPUs have for 16 bits."""
    assert isinstance(layout, Packed)
    if not layout.lengths:
        return q
    if dropout:  # which the kernel does not have
        return padded(q, k, v, layout, bias, dropout)
    longest = layout.lengths[0]
    window = (-1, 0) if layout.causal else (-1, -1)
    ends = layout.boundaries
    context: Tensor = varlen.varlen_attn(q, k, v, ends, ends, longest, longest, window_size=window)  # type: ignore[assignment]
    return context


def padded(q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor | None, dropout: float) -> Tensor:
    """One call for the whole grid, with a mask where there is padding."""
    if layout.isolated:
        return eager(q, k, v, layout, bias, dropout)
    q, k, v = layout.to_grid(q).transpose(1, 2), layout.to_grid(k).transpose(1, 2), layout.to_grid(v).transpose(1, 2)
    mask = layout.mask
    causal = layout.causal and mask is None
    if causal and (bias is not None or q.shape[2] != k.shape[2]):
        mask, causal = before(q, k), False
    added = bias
    if mask is not None:
        # Half of the lowest number hides a position, and makes no NaN where all are hidden.
        added = torch.where(mask, q.new_zeros(()) if bias is None else bias, torch.finfo(q.dtype).min / 2)
    context = F.scaled_dot_product_attention(q, k, v, attn_mask=added, dropout_p=dropout, is_causal=causal)
    return layout.from_grid(context.transpose(1, 2))


def eager(q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor | None, dropout: float) -> Tensor:
    """Attention as in the paper. Its memory grows with the square of the length."""
    weights = F.dropout(attention_weights(q, k, layout, bias), dropout, training=dropout > 0)
    return weighed(weights, v, layout)


def weighed(weights: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Values weighted by attention weights [B, A, L, S]. The result has the shape of q."""
    return layout.from_grid((weights @ layout.to_grid(v).transpose(1, 2)).transpose(1, 2))


def eager_by_length(q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor | None, dropout: float) -> Tensor:
    """Eager attention, one call for all sequences of one length."""
    assert isinstance(layout, Packed)
    contexts, start = [q[:0]], 0
    for length, same in itertools.groupby(layout.lengths):
        grid = (len(list(same)), length)
        part = slice(start, start := start + grid[0] * length)
        whole = Rectangle(grid, q.device, causal=layout.causal)
        q_, k_, v_ = (x[part].unflatten(0, grid) for x in (q, k, v))
        contexts.append(eager(q_, k_, v_, whole, None, dropout).flatten(0, 1))
    return torch.cat(contexts)


def attention_weights(q: Tensor, k: Tensor, layout: Layout, bias: Tensor | None) -> Tensor:
    """[B, A, L, S], how much each position attends to each."""
    q, k = layout.to_grid(q).transpose(1, 2), layout.to_grid(k).transpose(1, 2)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    mask = before(q, k) if layout.mask is None and layout.causal else layout.mask
    if mask is not None:  # added, not written over the scores: gradients flow where all are hidden
        bias = torch.where(mask, q.new_zeros(()) if bias is None else bias, torch.finfo(q.dtype).min / 2)
    scores = scores if bias is None else scores + bias
    return scores.softmax(-1, dtype=torch.float32).to(q.dtype)


def before(q: Tensor, k: Tensor) -> Tensor:
    """The causal mask of a batch without padding [1, 1, L, S]. q: [B, A, L, D], k: [B, A, S, D]."""
    return visible(torch.ones(1, k.shape[2], dtype=torch.bool, device=q.device), q.shape[2])


@dataclass
class Arranged:
    """The tokens of a batch as the caller gave them, and how they lie within the layers.

    labels: in their layout, [T] or [B, L].
    wanted: the tokens whose last states the head takes, [K]; None: all. The pooler takes `layout.firsts` in any case.
    choices: the sequences of each example of multiple choice, whose outputs become [examples, choices].
    """

    layout: Layout
    input_ids: Tensor | None
    token_type_ids: Tensor | None
    position_ids: Tensor
    inputs_embeds: Tensor | None
    labels: Tensor | None = None
    wanted: Tensor | None = None
    choices: int | None = None


def arrange(
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
    position_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    lengths: Sequence[int] | Tensor | None,
    *,
    labels: Tensor | None = None,
    shifted: bool = False,
    causal: bool = False,
    past: int | None = None,
    padding_too: bool = False,
    pooled_only: bool = False,
) -> Arranged:
    """Choose the layout of a batch, and bring its tokens and their labels there.

    shifted: labels are the words themselves, and each is predicted from the token before it.
    past: positions that a cache holds before these, 0 for a cache that begins here; None: no cache.
    padding_too: compute the padding, as its outputs count. A label on padding makes them count too: it should be -100.
    pooled_only: the head takes the pooled vectors alone, and no last states of tokens.
    """
    ids = {"input_ids": input_ids, "token_type_ids": token_type_ids, "position_ids": position_ids}
    sides = _checked(ids, {"attention_mask": attention_mask, "inputs_embeds": inputs_embeds, "labels": labels}, lengths)
    device = (input_ids if inputs_embeds is None else inputs_embeds).device  # type: ignore[union-attr]
    counts = None if lengths is None else counted(lengths)
    if labels is not None and shifted:
        labels = F.pad(labels[..., 1:], (0, 1), value=IGNORED)
        labels = labels if counts is None else _without_lasts(labels, counts)
    if counts is not None:
        layout: Layout = _packed_already(sides, attention_mask, counts, device, causal)
    elif attention_mask is None:
        layout = Rectangle((sides[0], sides[1]), device, causal=causal, past=past or 0)
    else:
        layout = _of_mask((sides[0], sides[1]), attention_mask, labels, causal, past, padding_too)
    if position_ids is None:
        position_ids = torch.arange(past or 0, (past or 0) + sides[-1], device=device)
        if counts is not None:  # the place of each token in its sequence
            sizes = torch.tensor(counts, device=device, dtype=torch.int64)
            position_ids = position_ids - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return Arranged(
        layout,
        input_ids,
        token_type_ids,
        position_ids,
        inputs_embeds,
        None if labels is None else layout.pack(labels),
        layout.firsts[:0] if pooled_only else None,
    )


_OF_IDS = (torch.int64, torch.int32)


def _checked(
    ids: Mapping[str, Tensor | None], others: Mapping[str, Tensor | None], lengths: Sequence[int] | Tensor | None
) -> tuple[int, ...]:
    """The sides of the tokens, (B, L) or where they are packed (T,) or (1, T), after all types and shapes are checked."""
    for name, tensor in (*ids.items(), *others.items()):
        if not (tensor is None or (isinstance(tensor, Tensor) and (name in others or tensor.dtype in _OF_IDS))):
            raise UsageError(_mistyped(name, tensor))
    embeds = others["inputs_embeds"]
    given = ids["input_ids"] if embeds is None else embeds
    if given is None or (ids["input_ids"] is not None and embeds is not None):
        raise UsageError("A forward takes input_ids or inputs_embeds: give one of the two.")
    sides = tuple(given.shape if embeds is None else given.shape[:-1])
    if lengths is None and len(sides) != 2:
        raise UsageError(
            f"input_ids have the shape [batch, length], not {list(sides)}: add a side with input_ids[None], or give lengths "
            "with tokens that are packed."
        )
    if 0 in sides and lengths is None and not torch.compiler.is_compiling():
        raise UsageError(f"A batch of {list(sides)} has no tokens: give at least one row, of one token or more.")
    every_row = (sides[1:], (1, *sides[1:]))  # ids may be those of all rows
    for name in ("token_type_ids", "position_ids", "labels"):
        tensor = {**ids, **others}[name]
        if tensor is not None and tensor.shape != sides and (name == "labels" or tensor.shape not in every_row):
            raise UsageError(f"{name} have the shape {list(tensor.shape)}, and need that of the tokens, {list(sides)}.")
    return sides


def _of_mask(
    grid: tuple[int, int], mask: Tensor, labels: Tensor | None, causal: bool, past: int | None, padding_too: bool
) -> Layout:
    """The layout of a rectangle of tokens with a mask: without its padding where nothing asks for that."""
    fixed = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]  # values are not read
    readable = not fixed and mask.device.type == "cpu"
    unusual = mask.is_floating_point() or mask.dim() == 4
    if unusual or (readable and mask.dtype != torch.bool and bool((mask >> 1).any())):  # numbers beside 0 and 1
        mask = plain_mask(mask, causal)
    if past is not None or padding_too or fixed or tuple(mask.shape) != grid:
        return Rectangle.masked(grid, mask != 0, causal=causal, past=past or 0)
    if labels is not None and bool(((labels != IGNORED) & (mask == 0)).any()):
        return Rectangle.masked(grid, mask != 0, causal=causal, ask=True)
    if bool(mask.all()):
        return Rectangle(grid, mask.device, causal=causal)
    return Packed.from_mask(mask != 0, causal)


def _mistyped(name: str, given: object) -> str:
    """Error text for an input that is not a tensor, or not of whole numbers."""
    if isinstance(given, Tensor):
        return f"{name} are of {given.dtype}, and must be of whole numbers: {name}.long()."
    return f"{name} is a {type(given).__name__}, and must be a tensor: torch.tensor({name})."


def plain_mask(mask: Tensor, causal: bool = False, name: str = "attention_mask") -> Tensor:
    """A mask of any kind as a mask of 1 and 0. [B, 1, 1, L] becomes [B, L], unless `causal`: a decoder takes it as it is.

    The numbers are 1 and 0, or those that are added to scores: 0, and below -1000 where a position is hidden. A mask of zeros
    alone hides nothing if it has four sides, and everything if it has fewer. Other numbers raise UsageError on a CPU.
    """
    if mask.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.jit.is_tracing():  # type: ignore[attr-defined]
        hides = (mask <= -1000) & mask.is_floating_point()
        other = (mask != 0) & (mask != 1) & ~hides
        if bool(other.any()) or bool(hides.any() and (mask == 1).any()):
            number = mask[other if other.any() else hides].max()
            raise UsageError(
                f"{name} has numbers such as {number:g}: it takes 1 and 0, True and False, or 0 and "
                "torch.finfo(dtype).min, and no others that would be added to scores."
            )
    if mask.is_floating_point():
        added = ~(mask > 0).any() if mask.dim() == 4 else (mask < 0).any()
        mask = (mask != 0) ^ added
    return mask[:, 0, 0] if mask.dim() == 4 and mask.shape[1:3] == (1, 1) and not causal else mask


def _without_lasts(labels: Tensor, counts: Sequence[int]) -> Tensor:
    """Packed labels [T] or [1, T], with -100 at the last token of each sequence."""
    lasts = torch.tensor(counts, device=labels.device).cumsum(0) - 1
    return labels.index_fill(-1, lasts[lasts >= 0], IGNORED)


def counted(lengths: Sequence[int] | Tensor) -> list[int]:
    """The lengths of packed sequences."""
    try:
        return [operator.index(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    except TypeError as error:
        raise UsageError(
            f"lengths are {lengths!r:.80}, and must be whole numbers, one for each sequence: [3, 5]."
        ) from error


def _packed_already(
    sides: tuple[int, ...],
    attention_mask: Tensor | None,
    counts: list[int],
    device: torch.device,
    causal: bool,
) -> Packed:
    """The layout of tokens that the caller packed."""
    if attention_mask is not None:
        raise UsageError("Packed input has no padding to mask: leave out attention_mask, or lengths.")
    if sides not in ((sum(counts),), (1, sum(counts))) or min(counts, default=0) < 0:
        raise UsageError(
            f"lengths must sum to the number of packed tokens: with these {len(counts)} lengths, input_ids have the shape "
            f"[{sum(counts)}], not {list(sides)}."
        )
    return replace(Packed.from_lengths(counts, device, causal), outer=sides)
