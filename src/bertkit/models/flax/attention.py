"""Which positions attend to which, and attention itself.

A batch is a rectangle [B, L] here, as XLA compiles for fixed shapes. Padding is computed, gets no attention, and is returned as
zeros. A row may hold several sequences, one after the other, numbered by `segment_ids`, which leaves little padding.

    B batch   L length   S positions that are attended to   A heads   D width of a head   H hidden
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bertkit.models.flax.arguments import Arguments


class Layout(NamedTuple):
    """Which positions are real tokens, and where they may attend."""

    mask: Array | None  # [B or 1, 1, L or 1, S], True where a position may attend; None: everywhere
    real: Array | None  # [B, L], True at real tokens; None: all are
    past: Any = 0  # positions before the first, which a cache holds

    def unpack(self, x: Array, padding: float = 0.0) -> Array:
        """[B, L, ...] -> [B, L, ...], zeros or another number at padding. -inf means the lowest number of the type."""
        if self.real is None:
            return x
        real = self.real.reshape(self.real.shape + (1,) * (x.ndim - 2))
        return jnp.where(real, x, jnp.asarray(max(padding, float(jnp.finfo(x.dtype).min)), x.dtype))

    def returned_weights(self, weights: Array) -> Array:
        """Attention weights [B, A, L, S] as they are returned, zeros at padding."""
        return weights if self.real is None else jnp.where(self.real[:, None, :, None], weights, 0)

    def first(self, x: Array) -> Array:
        """[B, L, H] -> [B, H], the first real token of each row."""
        return x[:, 0] if self.real is None else x[jnp.arange(len(x)), jnp.argmax(self.real, axis=1)]

    def unpack_rows(self, x: Array) -> Array:
        """[B, H] -> [B, H], zeros for a row without tokens."""
        return x if self.real is None else jnp.where(self.real.any(axis=1)[:, None], x, 0)


def arrange(arguments: Arguments, causal: bool, past: Any = None, capacity: int = 0) -> Layout:
    """The layout of a batch. past, capacity: with a cache, the number of positions that it holds and that it can hold."""
    (_, length), given, segments = arguments.shape, arguments.attention_mask, arguments.segment_ids
    mask = real = None
    if segments is not None:
        real = segments > 0
        mask = segments[:, None, :, None] == segments[:, None, None, :]
    elif given is not None and given.ndim > 2:  # decoders, too, use a mask of pairs unchanged, and it marks no padding
        return Layout(given.reshape(given.shape[0], 1, *given.shape[-2:]) > 0, None)
    elif given is not None:
        real = given > 0
        mask = real[:, None, None]
        if past is not None:
            real = jax.lax.dynamic_slice_in_dim(real, past, length, axis=1)
    past = 0 if past is None else past
    if causal:
        before = jnp.arange(capacity or length) <= past + jnp.arange(length)[:, None]
        mask = before[None, None] if mask is None else mask & before
    return Layout(mask, real, past)


def positions(arguments: Arguments, layout: Layout) -> Array:
    """Position ids, [L] or [B, L]: from 0 on in each row or segment, with a cache from the number of positions in it on."""
    places = jnp.arange(arguments.shape[-1])
    if arguments.segment_ids is None:
        return layout.past + places
    before = jnp.pad(arguments.segment_ids[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    begins = jnp.where(arguments.segment_ids != before, places, 0)
    return places - jax.lax.cummax(begins, axis=1)


def attend(
    q: Array, k: Array, v: Array, layout: Layout, bias: Array | None, rate: float, rng: Any, returns_weights: bool
) -> tuple[Array, Array | None]:
    """Queries [B, L, A, D], keys and values [B, S, A, D] -> [B, L, A, D], and the weights [B, A, L, S] or None.

    A position that may attend to no other attends to all with the same weight. Scores and softmax are at least float32.
    """
    rng = rng if rate else None
    if layout.mask is not None:  # added to scores: `where` changes the gradient of positions that may attend to none
        bias = jnp.where(layout.mask, 0 if bias is None else bias, jnp.finfo(jnp.float32).min / 2)
    if rng is None and not returns_weights:
        return jax.nn.dot_product_attention(q, k, v, bias), None
    scores = jnp.einsum("blad,bsad->bals", q, k, preferred_element_type=sum_type(q.dtype)) / math.sqrt(q.shape[-1])
    weights = jax.nn.softmax(scores if bias is None else scores + bias, axis=-1).astype(q.dtype)
    return jnp.einsum("bals,bsad->blad", dropout(weights, rate, rng), v), weights


def dropout(x: Array, rate: float, rng: Any) -> Array:
    """Set a share of the numbers to zero and scale the others up. Without a key, return x.

    Each number uses only 16 random bits, because drawing them is most of the cost. The rate is a multiple of 1 / 65,536.
    """
    if rng is None or not rate:
        return x
    *outer, last = x.shape
    words = jax.random.bits(rng, (*outer, -(-last // 2)), jnp.uint32)  # two numbers each
    bits = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(*outer, -1)[..., :last]
    dropped = round(rate * 65536)
    return jnp.where(bits.astype(jnp.int32) >= dropped, x * (65536 / max(65536 - dropped, 1)), 0)


def sum_type(dtype: Any) -> Any:
    """The type in which numbers of a type are summed: at least float32."""
    return jnp.promote_types(dtype, jnp.float32)
