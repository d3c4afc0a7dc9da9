"""Which token sees which, and attention itself.

XLA compiles for fixed shapes, so that a batch stays a rectangle here: padding is computed, seen by no token, and put out as
zeros. A row may hold several sequences, one after the other, told apart by `segment_ids`: then little padding is left.

    B batch   L length   S positions that are looked at   A heads   D width of a head   H hidden
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Inputs(NamedTuple):
    """The arrays of one forward: a pytree. Only the first is needed, or inputs_embeds in its place."""

    input_ids: Any = None  # [B, L]; for multiple choice, this and the next three are [B, choices, L]
    attention_mask: Any = None  # [B, L], or [B, L, L]; with a cache [B, length of the cache]
    token_type_ids: Any = None  # [B, L]
    position_ids: Any = None  # [B, L]
    head_mask: Any = None  # [A] or [layers, A]
    encoder_hidden_states: Any = None  # [B, S, H]
    encoder_attention_mask: Any = None  # [B, S] or [B, L, S]
    inputs_embeds: Any = None  # [B, L, H]
    segment_ids: Any = None  # [B, L], the number of a token's sequence from 1 on; 0 is padding
    cache: Any = None  # the nested dict of init_cache

    @property
    def shape(self) -> tuple[int, ...]:
        """[B, L], or [B, choices, L]."""
        ids, embeds = self.input_ids, self.inputs_embeds
        return tuple(embeds.shape[:-1] if ids is None else ids.shape)

    def folded(self) -> Inputs:
        """Each choice as a row of its own: [B, choices, L] -> [B * choices, L]."""
        rows = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
        given = {name: x for name in rows if (x := getattr(self, name)) is not None}
        return self._replace(**{name: x.reshape(-1, *x.shape[2:]) for name, x in given.items()})


class Layout(NamedTuple):
    """Which token sees which."""

    sees: Array | None  # broadcast to [B, A, L, S]; None: all see all
    real: Array | None  # [B, L], no padding; None: there is none
    start: Any = 0  # the number of the first token here: with a cache, that of tokens before

    def returned(self, x: Array, padding: float = 0.0) -> Array:
        """[B, L, ...] as the caller gets it: zeros at padding, or another number. -inf: the lowest of the type."""
        if self.real is None:
            return x
        real = self.real.reshape(self.real.shape + (1,) * (x.ndim - 2))
        return jnp.where(real, x, jnp.asarray(max(padding, float(jnp.finfo(x.dtype).min)), x.dtype))

    def returned_weights(self, weights: Array) -> Array:
        """[B, A, L, S] as the caller gets it."""
        return weights if self.real is None else jnp.where(self.real[:, None, :, None], weights, 0)

    def firsts(self, x: Array) -> Array:
        """[B, L, H] -> [B, H], the first token of each row that is no padding."""
        return x[:, 0] if self.real is None else x[jnp.arange(len(x)), jnp.argmax(self.real, axis=1)]

    def returned_rows(self, x: Array) -> Array:
        """[B, H], with zeros for a row of padding alone."""
        return x if self.real is None else jnp.where(self.real.any(axis=1)[:, None], x, 0)


def arrange(inputs: Inputs, causal: bool, start: Any = None, room: int = 0) -> Layout:
    """Who sees whom. start, room: with a cache, the number of tokens in it, and how many it has room for."""
    (_, length), mask, segments = inputs.shape, inputs.attention_mask, inputs.segment_ids
    columns = room or length
    sees = real = None
    if segments is not None:
        real = segments > 0
        sees = segments[:, None, :, None] == segments[:, None, None, :]
    elif mask is not None and mask.ndim > 2:  # is taken as it is, by decoders too, and says nothing of padding
        return Layout(mask.reshape(mask.shape[0], 1, *mask.shape[-2:]) > 0, None)
    elif mask is not None:
        real = mask > 0
        sees = real[:, None, None]
        if start is not None:
            real = jax.lax.dynamic_slice_in_dim(real, start, length, axis=1)
    first = 0 if start is None else start
    if causal:
        before = jnp.arange(columns) <= first + jnp.arange(length)[:, None]
        sees = before[None, None] if sees is None else sees & before
    return Layout(sees, real, first)


def positions(inputs: Inputs, layout: Layout) -> Array:
    """[L] or [B, L]: from 0 on in each row, in each segment, or from the last token in the cache on."""
    places = jnp.arange(inputs.shape[-1])
    if inputs.segment_ids is None:
        return layout.start + places
    before = jnp.pad(inputs.segment_ids[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    begins = jnp.where(inputs.segment_ids != before, places, 0)
    return places - jax.lax.cummax(begins, axis=1)


def attend(
    q: Array, k: Array, v: Array, layout: Layout, bias: Array | None, rate: float, rng: Any, weighs: bool
) -> tuple[Array, Array | None]:
    """[B, L, A, D], twice [B, S, A, D] -> [B, L, A, D], and the weights [B, A, L, S] if they are wanted.

    A token that sees none sees all alike. Scores and their softmax are float32 in any case.
    """
    rng = rng if rate else None
    if layout.sees is not None:  # added, not put in place: the gradient of a token that sees none is then the usual one
        bias = jnp.where(layout.sees, 0 if bias is None else bias, jnp.finfo(jnp.float32).min / 2)
    if rng is None and not weighs:
        return jax.nn.dot_product_attention(q, k, v, bias), None
    scores = jnp.einsum("blad,bsad->bals", q, k, preferred_element_type=wide(q.dtype)) / math.sqrt(q.shape[-1])
    weights = jax.nn.softmax(scores if bias is None else scores + bias, axis=-1).astype(q.dtype)
    return jnp.einsum("bals,bsad->blad", dropout(weights, rate, rng), v), weights


def dropout(x: Array, rate: float, rng: Any) -> Array:
    """A part of the numbers zero, and the others larger by as much. Without a key nothing changes.

    Each number is drawn by itself, with 16 random bits, as drawing bits is what dropout costs: the rate is that of a 65,536th.
    """
    if rng is None or not rate:
        return x
    *outer, last = x.shape
    words = jax.random.bits(rng, (*outer, -(-last // 2)), jnp.uint32)  # two numbers each
    bits = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(*outer, -1)[..., :last]
    dropped = round(rate * 65536)
    return jnp.where(bits.astype(jnp.int32) >= dropped, x * (65536 / max(65536 - dropped, 1)), 0)


def wide(dtype: Any) -> Any:
    """The type in which sums over numbers of a type are taken: at least float32."""
    return jnp.promote_types(dtype, jnp.float32)
