"""BERT as pure functions: embeddings, layers, pooler, and `bert` around them. Read from top to bottom, small parts to large.

Parameters p are a nested dict, and a function gets the part of it that bears its name: `p["encoder"]["layer"]["3"]`. Nothing is
kept between calls. An rng is a key for dropout; without one there is none.

    B batch   L length   H hidden   I intermediate   A heads   D width of a head   S positions that are looked at
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bertkit.config import BertConfig
from bertkit.models.flax.attention import Inputs, Layout, arrange, attend, dropout, positions, wide
from bertkit.models.flax.tree import Tree
from bertkit.parameters import kept_heads

ACTIVATION: dict[str, Callable[[Array], Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}


@dataclass(frozen=True)
class Mode:
    """How a forward is computed. It is no array: another mode is another compilation."""

    dtype: Any = jnp.float32  # of the computation
    attentions: frozenset[int] = frozenset()  # the layers whose attention weights are wanted
    states: bool = False  # whether the states of all layers are
    again: bool = False  # whether the backward pass computes layers again rather than to keep them
    train: bool = False  # whether padding is put out as it was computed, for a loss that looks at it


class Around(NamedTuple):
    """What a layer has besides its tokens."""

    layout: Layout
    head_mask: Array | None  # [layers, A]
    encoder_states: Array | None  # [B, S, H]
    cross: Layout  # how tokens look at them


class Seen(NamedTuple):
    """What a layer leaves besides its states."""

    weights: Array | None  # [B, A, L, S]
    cross_weights: Array | None
    cache: dict[str, Array] | None


class States(NamedTuple):
    """What `bert` gives to a head: last states [B, L, H], and pooled vectors [B, H]."""

    last_hidden_state: Array
    pooler_output: Array | None
    hidden_states: tuple[Array, ...] | None
    past_key_values: dict[str, Any] | None
    attentions: tuple[Array | None, ...] | None
    cross_attentions: tuple[Array | None, ...] | None
    layout: Layout


def dense(p: Tree, x: Array) -> Array:
    """The product with a kernel [inputs, outputs], plus a bias, in the type of x."""
    return x @ p["kernel"].astype(x.dtype) + p["bias"].astype(x.dtype)


def norm(config: BertConfig, p: Tree, x: Array) -> Array:
    """Mean 0 and variance 1 for each token, in float32 at least; then a learned scale and shift."""
    y = x.astype(wide(x.dtype))
    y = y - y.mean(axis=-1, keepdims=True)
    y = y * jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + config.layer_norm_eps)
    return (y * p["scale"] + p["bias"]).astype(x.dtype)


def key_of(rng: Any, number: int) -> Any:
    """The key of one of several places with dropout."""
    return None if rng is None else jax.random.fold_in(rng, number)


# ---------------------------------------------------------------------------------------------------------------- embeddings


def embeddings(config: BertConfig, p: Tree, inputs: Inputs, layout: Layout, dtype: Any, rng: Any) -> Array:
    """Words, token types and positions, summed, normed: [B, L, H]. An id that the model does not have gives NaN."""
    words, types, places = (p.get(f"{of}_embeddings", {}).get("embedding") for of in ("word", "token_type", "position"))
    x = jnp.take(words, inputs.input_ids, axis=0) if inputs.inputs_embeds is None else inputs.inputs_embeds
    x = x.astype(dtype)
    x = x + (types[0] if inputs.token_type_ids is None else jnp.take(types, inputs.token_type_ids, axis=0)).astype(
        dtype
    )
    if config.position_embedding_type == "absolute":
        position_ids = positions(inputs, layout) if inputs.position_ids is None else inputs.position_ids
        x = x + jnp.take(places, position_ids, axis=0).astype(dtype)
    return dropout(norm(config, p["LayerNorm"], x), config.hidden_dropout_prob, rng)


# -------------------------------------------------------------------------------------------------------------------- layers


def self_attention(
    config: BertConfig,
    p: Tree,
    x: Array,
    source: Array,
    layout: Layout,
    of_heads: Array | None,
    cache: dict[str, Array] | None,
    rng: Any,
    weighs: bool,
) -> tuple[Array, Array | None, dict[str, Array] | None]:
    """Every token of x looks at those of `source`: [B, L, H] and [B, S, H] -> [B, L, A * D], weights, cache.

    of_heads: [A], a factor for the result of each head.
    """
    q, k, v = (
        dense(p[name], of).reshape(*of.shape[:2], -1, config.hidden_size // config.num_attention_heads)
        for name, of in (("query", x), ("key", source), ("value", source))
    )
    if cache is not None:
        k = jax.lax.dynamic_update_slice_in_dim(
            cache["cached_key"], k.astype(cache["cached_key"].dtype), layout.start, 1
        )
        v = jax.lax.dynamic_update_slice_in_dim(cache["cached_value"], v.astype(k.dtype), layout.start, 1)
        cache = {"cached_key": k, "cached_value": v, "cache_index": layout.start + x.shape[1]}
        k, v = k.astype(q.dtype), v.astype(q.dtype)
    bias = distance_bias(config, p, q, k, layout) if "distance_embedding" in p else None
    context, weights = attend(q, k, v, layout, bias, config.attention_probs_dropout_prob, rng, weighs)
    if of_heads is not None:
        context = context * of_heads[:, None].astype(context.dtype)
        weights = None if weights is None else weights * of_heads[:, None, None].astype(weights.dtype)
    return context.reshape(*x.shape[:2], -1), weights, cache


def distance_bias(config: BertConfig, p: Tree, q: Array, k: Array, layout: Layout) -> Array:
    """[B, A, L, S], what the distance of two tokens adds to their score."""
    asks = layout.start + jnp.arange(q.shape[1])
    distance = asks[:, None] - jnp.arange(k.shape[1]) + config.max_position_embeddings - 1
    embedded = jnp.take(p["distance_embedding"]["embedding"], distance, axis=0, mode="clip").astype(
        q.dtype
    )  # [L, S, D]
    bias = jnp.einsum("blad,lsd->bals", q, embedded)
    if config.position_embedding_type == "relative_key_query":
        bias = bias + jnp.einsum("bsad,lsd->bals", k, embedded)
    return bias / math.sqrt(q.shape[-1])


def residual(config: BertConfig, p: Tree, x: Array, before: Array, rng: Any) -> Array:
    """The end of either half of a layer: a dense part, added to what went into the half, and normed."""
    return norm(config, p["LayerNorm"], dropout(dense(p["dense"], x), config.hidden_dropout_prob, rng) + before)


def layer(
    config: BertConfig, number: int, weighs: bool, p: Tree, x: Array, around: Around, cache: Any, rng: Any
) -> tuple[Array, Seen]:
    """Attention, in a decoder with an encoder attention to that, and a feed-forward part: [B, L, H] -> [B, L, H]."""
    of_heads = None if around.head_mask is None else around.head_mask[number]
    kept = None if of_heads is None else of_heads[jnp.array(kept_heads(config, number))]
    keys = [key_of(rng, place) for place in range(5)]
    own = p["attention"]
    context, weights, cache = self_attention(config, own["self"], x, x, around.layout, kept, cache, keys[0], weighs)
    x = residual(config, own["output"], context, x, keys[1])
    crossed = None
    if around.encoder_states is not None:
        own = p["crossattention"]
        context, crossed, _ = self_attention(
            config, own["self"], x, around.encoder_states, around.cross, of_heads, None, keys[2], weighs
        )
        x = residual(config, own["output"], context, x, keys[3])
    inside = ACTIVATION[config.hidden_act](dense(p["intermediate"]["dense"], x))  # [B, L, I]
    return residual(config, p["output"], inside, x, keys[4]), Seen(weights, crossed, cache)


def encoder(
    config: BertConfig, p: Tree, x: Array, around: Around, mode: Mode, caches: Tree | None, rng: Any
) -> tuple[list[Array], list[Seen]]:
    """The layers, one after the other: the states before the first and after each, and what each leaves."""
    states, seen = [x], []
    for number in range(config.num_hidden_layers):
        run: Callable[..., tuple[Array, Seen]] = partial(layer, config, number, number in mode.attentions)
        run = jax.checkpoint(run) if mode.again else run
        cache = None if caches is None else caches["layer"][str(number)]["attention"]["self"]
        x, left = run(p["layer"][str(number)], states[-1], around, cache, key_of(rng, number))
        states.append(x)
        seen.append(left)
    return states, seen


def pooler(p: Tree, first: Array) -> Array:
    """The first token of a sequence, [CLS], stands for the whole: [B, H] -> [B, H]."""
    return jnp.tanh(dense(p["dense"], first))


# ---------------------------------------------------------------------------------------------------------------------- bert


def bert(config: BertConfig, p: Tree, inputs: Inputs, mode: Mode, rng: Any = None) -> States:
    """BERT without a head. Its states of padding are what they are: `layout.returned` makes zeros of them, but for training."""
    caches, start, room = None, None, 0
    if inputs.cache is not None:
        caches = inputs.cache["encoder"]
        first = caches["layer"]["0"]["attention"]["self"]
        start, room = first["cache_index"], first["cached_key"].shape[1]
    layout = arrange(inputs, config.is_decoder, start, room)
    mask, source = inputs.encoder_attention_mask, inputs.encoder_hidden_states
    around = Around(
        layout,
        None if inputs.head_mask is None else jnp.broadcast_to(inputs.head_mask, _heads(config)),
        None if source is None else source.astype(mode.dtype),
        Layout(None if mask is None else mask.reshape(len(mask), 1, -1, mask.shape[-1]) > 0, None),
    )
    x = embeddings(config, p["embeddings"], inputs, layout, mode.dtype, key_of(rng, config.num_hidden_layers))
    states, seen = encoder(config, p["encoder"], x, around, mode, caches, rng)
    pooled = layout.returned_rows(pooler(p["pooler"], layout.firsts(states[-1]))) if "pooler" in p else None
    layout = layout._replace(real=None) if mode.train else layout
    return States(
        states[-1],
        pooled,
        tuple(layout.returned(x) for x in states) if mode.states else None,
        None if caches is None else cache_of([left.cache for left in seen]),
        weights_of(layout, [left.weights for left in seen]) if mode.attentions else None,
        weights_of(layout, [left.cross_weights for left in seen]) if mode.attentions and source is not None else None,
        layout,
    )


def cache_of(layers: list[Any]) -> dict[str, Any]:
    """The keys and values of each layer as Flax nests them."""
    return {"encoder": {"layer": {str(i): {"attention": {"self": own}} for i, own in enumerate(layers)}}}


def weights_of(layout: Layout, layers: list[Any]) -> tuple[Array | None, ...]:
    """The attention weights of each layer as the caller gets them."""
    return tuple(None if weights is None else layout.returned_weights(weights) for weights in layers)


def _heads(config: BertConfig) -> tuple[int, int]:
    return config.num_hidden_layers, config.num_attention_heads
