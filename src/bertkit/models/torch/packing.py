"""How the tokens of a batch lie in memory, and how they attend to each other.

Inside the layers a batch is laid out in one of two ways:

    Packed      [T, H]      the real tokens alone, one sequence after the other, the longest sequence first
    Rectangle   [B, L, H]   every position: full batches, caches, and compilers, which want shapes that depend on no numbers

    a b c .           a b c d e f g       (Packed: lengths 4 and 3; the second row comes first)
    d e f g    ->     d e f g a b c

    T tokens   B rows of the batch   L positions of a row   S positions that are looked at   A heads   D width of a head
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody uses
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
    hollow: whether some rows of the batch have no tokens.
    """

    outer: tuple[int, ...]
    grid: tuple[int, int]
    cells: Tensor
    places: Tensor | None
    lengths: list[int]
    rows: Tensor
    firsts: Tensor
    hollow: bool
    causal: bool = False
    blind: ClassVar[bool] = False  # a real token sees itself

    @staticmethod
    def from_mask(mask: Tensor, causal: bool = False) -> Packed:
        """Of a rectangle. mask: [B, L], True at real tokens, which may lie anywhere in their row."""
        lengths, rows = mask.sum(1).sort(descending=True, stable=True)
        row, column = mask[rows].nonzero(as_tuple=True)
        cells = rows[row] * mask.shape[1] + column
        lengths = lengths[lengths > 0]
        shape = (mask.shape[0], mask.shape[1])
        rows, hollow = rows[: len(lengths)], len(lengths) < len(rows)
        firsts = (lengths.cumsum(0) - lengths)[rows.argsort()]
        return Packed(shape, shape, cells, cells, lengths.tolist(), rows, firsts, hollow, causal)

    @staticmethod
    def from_lengths(lengths: Sequence[int], device: torch.device, causal: bool = False) -> Packed:
        """Of tensors that are packed already. lengths: of each sequence, in the caller's order."""
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
        firsts, hollow = begins[rows.argsort()], len(there) < len(lengths)
        return Packed((len(here),), grid, cells, places, there, rows, firsts, hollow, causal)

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
        """[B, 1, 1 or L, L], True where a position of the grid may look."""
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
        """What the caller gets for x, and the x that leads on from there: gradients reach what the caller has."""
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
        """Attention weights [B, A, L, L] as the caller gets them, zeros at padding, and the grid that leads on from there.

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
    mask: [B or 1, 1, L or 1, S], True where a position may look; None: everywhere, or with `causal` at those before.
    blind: whether gradients are computed and some position sees nobody, that is, all alike.
    """

    grid: tuple[int, int]
    device: torch.device
    real: Tensor | None = None
    mask: Tensor | None = None
    causal: bool = False
    past: int = 0  # positions before the first, which a cache holds
    blind: bool = False

    @staticmethod
    def masked(
        grid: tuple[int, int],
        mask: Tensor,
        real: Tensor | None = None,
        causal: bool = False,
        past: int = 0,
        ask: bool = False,
    ) -> Rectangle:
        """With a boolean mask: [B, past + L] of real tokens, or [B, L, L] or [B, 1, L or 1, S] where each position may look.

        A decoder (causal) takes a mask of pairs as it is.
        ask: the values of the mask may be read in any case, as a GPU has been waited for already.

        Fused attention has no right gradient for a position that sees nobody. Where that can be asked for, attention is written
        out then; where it cannot, such a position sees everybody.
        """
        (rows, length), given = grid, list(mask.shape)
        if given == [rows, past + length]:
            real = mask[:, past:]
            mask = visible(mask, length) if causal else mask[:, None, None]
        mask = mask[:, None] if mask.dim() == 3 else mask
        if real is None and (past or tuple(mask.shape) not in ((rows, 1, length, length), (rows, 1, 1, length))):
            raise UsageError(
                f"attention_mask has the shape {given}, and needs [batch, length] = {[rows, past + length]}, "
                f"or {[rows, length, length]} to say for each position where it may look."
            )
        blind = False
        if torch.is_grad_enabled() and not torch.jit.is_tracing():  # type: ignore[attr-defined]
            sees = mask.any(-1, keepdim=True)
            if ask or (mask.device.type == "cpu" and not torch.compiler.is_compiling()):
                blind = not bool(sees.all())
            else:
                mask = mask | ~sees
        return Rectangle(grid, mask.device, real, mask, past=past, blind=blind)

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
        """What the caller gets for x, and the x that leads on from there: gradients reach what the caller has."""
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
    def hollow(self) -> bool:
        """Whether some rows may have no tokens."""
        return self.real is not None

    def unpack_rows(self, x: Tensor) -> Tensor:
        """[B, ...] -> [B, ...], zeros for a row without tokens."""
        return x if self.real is None else x.masked_fill(~self.real.any(1, keepdim=True), 0)

    to_grid = from_grid = pack

    def returned_weights(self, grid: Tensor) -> tuple[Weights, Tensor]:
        """Attention weights [B, A, L, S] as the caller gets them, zeros at padding, and the grid that leads on from there."""
        if self.real is None:
            return grid, grid
        real = self.real[:, None, :, None]
        returned = grid.masked_fill(~real, 0)
        return returned, torch.where(real, returned, grid)


Weights: TypeAlias = Tensor | tuple[Tensor, ...]
"""Attention weights [B, A, L, S], or where the caller's tokens are packed [A, l, l] of each sequence."""

Layout: TypeAlias = Packed | Rectangle


def visible(real: Tensor, length: int) -> Tensor:
    """Where the last `length` positions of a rectangle may look, at those before them: [B, S] -> [B, 1, length, S]."""
    before = torch.ones(length, real.shape[1], dtype=torch.bool, device=real.device)
    return real[:, None, None] & before.tril(real.shape[1] - length)


# How tokens attend. q, k, v: [T, A, D] or [B, L, A, D], as the layout says; k and v [B, S, A, D] where more is looked at than is
# asked. bias: [B, A, L, S] that is added to the scores. The result is like q.

Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor, Layout, Tensor | None, float], Tensor]


ALONE: ContextVar[bool] = ContextVar("alone", default=False)
"""Whether every sequence has to attend by itself: see batch_invariant."""


def fastest(
    layout: Layout, cross: Rectangle | None, fused: bool, device: str, dtype: torch.dtype, dropout: float, biased: bool
) -> Attend:
    """The kind of attention for a batch. This is the one place that chooses."""
    if not torch.compiler.is_compiling() and ALONE.get():
        return alone(layout, cross, fused, biased)
    if not fused:
        return eager
    if biased or isinstance(layout, Rectangle):
        return padded
    if device == "cpu":
        return by_length
    if device == "cuda" and dtype in (torch.bfloat16, torch.float16) and not dropout and varlen:
        return flash
    return padded


def alone(layout: Layout, cross: Rectangle | None, fused: bool, biased: bool) -> Attend:
    """The kind whose numbers for a sequence do not depend on what else is in the batch."""
    if biased or any(isinstance(one, Rectangle) and one.mask is not None for one in (layout, cross)):
        raise UsageError(
            "Within batch_invariant() every sequence attends by itself, which relative positions, masks of pairs or of an "
            "encoder, caches of padded batches, and labels or answers in padding do not let it: leave padding out with "
            "lengths=..., say use_cache=False, or leave batch_invariant()."
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
    """One call for all, by the kernel for sequences of many lengths that recent GPUs have for 16 bits."""
    assert isinstance(layout, Packed)
    if not layout.lengths:
        return q
    longest = layout.lengths[0]
    window = (-1, 0) if layout.causal else (-1, -1)
    ends = layout.boundaries
    context: Tensor = varlen.varlen_attn(q, k, v, ends, ends, longest, longest, window_size=window)  # type: ignore[assignment]
    return context


def padded(q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor | None, dropout: float) -> Tensor:
    """One call for the whole grid, with a mask where there is padding."""
    if layout.blind:
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
    """Attention as it is written in the paper, in memory of the length squared."""
    weights = F.dropout(attention_weights(q, k, layout, bias), dropout, training=dropout > 0)
    return weighed(weights, v, layout)


def weighed(weights: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """What attention makes of its weights [B, A, L, S]: a result like q."""
    return layout.from_grid((weights @ layout.to_grid(v).transpose(1, 2)).transpose(1, 2))


def eager_by_length(q: Tensor, k: Tensor, v: Tensor, layout: Layout, bias: Tensor | None, dropout: float) -> Tensor:
    """As it is written in the paper, the sequences of each length for themselves."""
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
    """[B, A, L, S], how much each position looks at each."""
    q, k = layout.to_grid(q).transpose(1, 2), layout.to_grid(k).transpose(1, 2)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    mask = before(q, k) if layout.mask is None and layout.causal else layout.mask
    if mask is not None:  # added, not put in place of the scores, as gradients flow where all are hidden
        bias = torch.where(mask, q.new_zeros(()) if bias is None else bias, torch.finfo(q.dtype).min / 2)
    scores = scores if bias is None else scores + bias
    return scores.softmax(-1, dtype=torch.float32).to(q.dtype)


def before(q: Tensor, k: Tensor) -> Tensor:
    """The mask of a decoder without padding [1, 1, L, S]. q: [B, A, L, D], k: [B, A, S, D]."""
    return visible(torch.ones(1, k.shape[2], dtype=torch.bool, device=q.device), q.shape[2])


@dataclass
class Inputs:
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
) -> Inputs:
    """Choose the layout of a batch, and bring its tokens and their labels there.

    shifted: labels are the words themselves, and each is told from the token before it.
    past: positions that a cache holds before these, 0 for a cache that is to be begun; None: no cache.
    padding_too: compute the padding, as somebody looks at it. A label on padding does so too: it should be -100.
    pooled_only: the head takes the pooled vectors alone, and no last states of tokens.
    """
    ids = {"input_ids": input_ids, "token_type_ids": token_type_ids, "position_ids": position_ids}
    others = {"attention_mask": attention_mask, "inputs_embeds": inputs_embeds, "labels": labels}
    for name, tensor in (*ids.items(), *others.items()):
        if not (tensor is None or (isinstance(tensor, Tensor) and (name in others or tensor.dtype in _OF_IDS))):
            raise UsageError(_mistyped(name, tensor))
    given = input_ids if inputs_embeds is None else inputs_embeds
    if given is None or (input_ids is not None and inputs_embeds is not None):
        raise UsageError("A forward takes input_ids or inputs_embeds: give one of the two.")
    sides = tuple(given.shape if inputs_embeds is None else given.shape[:-1])
    if lengths is None and len(sides) != 2:
        raise UsageError(
            f"input_ids have the shape [batch, length], not {list(sides)}: add a side with input_ids[None], or give lengths "
            "with tokens that are packed."
        )
    if 0 in sides and lengths is None and not torch.compiler.is_compiling():
        raise UsageError(f"A batch of {list(sides)} has no tokens: give at least one row, of one token or more.")
    for name, tensor in (("token_type_ids", token_type_ids), ("position_ids", position_ids), ("labels", labels)):
        if tensor is None or tensor.shape == sides:
            continue
        if name == "labels" or tensor.shape not in (sides[1:], (1, *sides[1:])):  # ids may be those of all rows
            raise UsageError(f"{name} have the shape {list(tensor.shape)}, and need that of the tokens, {list(sides)}.")
    fixed = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]  # values are not read
    if attention_mask is not None and (
        attention_mask.is_floating_point()
        or attention_mask.dim() == 4
        or (
            attention_mask.dtype != torch.bool
            and not (fixed or attention_mask.device.type != "cpu")
            and bool((attention_mask >> 1).any())  # which is of neither 0 nor 1
        )
    ):
        attention_mask = plain_mask(attention_mask, causal)
    packed = None if lengths is None else _packed_already(sides, attention_mask, lengths, given.device, causal)
    if labels is not None and shifted:
        labels = F.pad(labels[..., 1:], (0, 1), value=IGNORED)
        if packed is not None:
            labels = _without_lasts(labels, lengths)
    layout: Layout
    if packed is not None:
        layout = packed
    elif attention_mask is None:
        layout = Rectangle((sides[0], sides[1]), given.device, causal=causal, past=past or 0)
    elif past is not None or padding_too or fixed or attention_mask.shape != sides:
        layout = Rectangle.masked((sides[0], sides[1]), attention_mask != 0, causal=causal, past=past or 0)
    elif labels is not None and bool(((labels != IGNORED) & (attention_mask == 0)).any()):
        layout = Rectangle.masked((sides[0], sides[1]), attention_mask != 0, causal=causal, ask=True)
    elif bool(attention_mask.all()):
        layout = Rectangle((sides[0], sides[1]), given.device, causal=causal)
    else:
        layout = Packed.from_mask(attention_mask != 0, causal)
    if position_ids is None:
        position_ids = torch.arange(past or 0, (past or 0) + sides[-1], device=given.device)
        if packed is not None:  # the place of each token in its sequence
            sizes = torch.tensor(counted(lengths), device=given.device, dtype=torch.int64)  # type: ignore[arg-type]
            position_ids = position_ids - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return Inputs(
        layout,
        input_ids,
        token_type_ids,
        position_ids,
        inputs_embeds,
        None if labels is None else layout.pack(labels),
        layout.firsts[:0] if pooled_only else None,
    )


_OF_IDS = (torch.int64, torch.int32)


def _mistyped(name: str, given: object) -> str:
    """What is said of input that is no tensor, or one of other numbers than ids."""
    if isinstance(given, Tensor):
        return f"{name} are of {given.dtype}, and must be of whole numbers: {name}.long()."
    return f"{name} came as {type(given).__name__}, and must be a tensor: torch.tensor({name})."


def plain_mask(mask: Tensor, causal: bool = False, name: str = "attention_mask") -> Tensor:
    """A mask as others hand it on, as what it means here. [B, 1, 1, L] is [B, L], though not to a decoder, which would hide more.

    Numbers may be 1 and 0, or what is added to scores: 0, and far less where nobody looks. Zeros alone hide nothing in four sides
    and everything in fewer. Where values may be read, other numbers are refused.
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


def _without_lasts(labels: Tensor, lengths: Sequence[int] | Tensor | None) -> Tensor:
    """Packed labels [T] or [1, T], with -100 at the last token of each sequence."""
    assert lengths is not None
    lasts = torch.tensor(counted(lengths), device=labels.device).cumsum(0) - 1
    return labels.index_fill(-1, lasts[lasts >= 0], IGNORED)


def counted(lengths: Sequence[int] | Tensor) -> list[int]:
    """The lengths of packed sequences."""
    try:
        return [operator.index(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    except TypeError as error:
        raise UsageError(f"lengths are {lengths!r:.80}, and must be whole numbers, one a sequence: [3, 5].") from error


def _packed_already(
    sides: tuple[int, ...],
    attention_mask: Tensor | None,
    lengths: Sequence[int] | Tensor,
    device: torch.device,
    causal: bool,
) -> Packed:
    counts = counted(lengths)
    if attention_mask is not None:
        raise UsageError("Packed input has no padding to mask: leave out attention_mask, or lengths.")
    if sides not in ((sum(counts),), (1, sum(counts))) or min(counts, default=0) < 0:
        raise UsageError(
            f"lengths go with one row of tokens and sum to its size: input_ids of shape [{sum(counts)}] for these "
            f"{len(counts)} lengths, not {list(sides)}."
        )
    return replace(Packed.from_lengths(counts, device, causal), outer=sides)
