"""BERT as pure functions: embeddings, layers, pooler and `bert`, from small parts to large.

The parameters p are a nested dict. Each function takes the part that bears its name, such as `p["encoder"]["layer"]["3"]`. Calls
keep no state. rng is a key for dropout; None disables dropout.

    B batch   L length   H hidden   I intermediate   A heads   D width of a head   S positions that are attended to
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
from bertkit.models.flax.arguments import Arguments
from bertkit.models.flax.attention import Layout, arrange, attend, dropout, positions, sum_type
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
    """Options of a forward. They are Python values, not arrays: each mode is compiled separately."""

    dtype: Any = jnp.float32  # of the computation
    returns_weights: frozenset[int] = frozenset()  # the layers whose attention weights are returned
    keeps_states: bool = False  # whether the states after each layer are returned
    recomputes: bool = False  # whether the backward pass recomputes layers
    train: bool = False  # whether padding is returned as it was computed, for losses over all positions


class LayerInputs(NamedTuple):
    """What all layers take besides the states of the tokens."""

    layout: Layout
    head_mask: Array | None  # [layers, A]
    encoder_states: Array | None  # [B, S, H]
    cross: Layout  # how tokens attend to them


class LayerOutputs(NamedTuple):
    """What a layer returns besides the states of the tokens."""

    weights: Array | None  # [B, A, L, S]
    cross_weights: Array | None
    cache: dict[str, Array] | None


class States(NamedTuple):
    """What `bert` returns to a head: last states [B, L, H], and pooled vectors [B, H]."""

    last_hidden_state: Array
    pooler_output: Array | None
    hidden_states: tuple[Array, ...] | None
    past_key_values: dict[str, Any] | None
    attentions: tuple[Array | None, ...] | None
    cross_attentions: tuple[Array | None, ...] | None
    layout: Layout


def dense(p: Tree, x: Array) -> Array:
    """[..., inputs] -> [..., outputs], in the type of x."""
    return x @ p["kernel"].astype(x.dtype) + p["bias"].astype(x.dtype)


def norm(config: BertConfig, p: Tree, x: Array) -> Array:
    """Layer normalization of each token, [..., H] -> [..., H], computed in at least float32."""
    y = x.astype(sum_type(x.dtype))
    y = y - y.mean(axis=-1, keepdims=True)
    y = y * jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + config.layer_norm_eps)
    return (y * p["scale"] + p["bias"]).astype(x.dtype)


def key_of(rng: Any, number: int) -> Any:
    """A separate key for each dropout, by its number."""
    return None if rng is None else jax.random.fold_in(rng, number)


# ---------------------------------------------------------------------------------------------------------------- embeddings


def embeddings(config: BertConfig, p: Tree, arguments: Arguments, layout: Layout, dtype: Any, rng: Any) -> Array:
    """The sum of word, token type and position embeddings, normalized: [B, L, H]. An unknown id gives NaN."""
    words, types, places = (
        p.get(f"{name}_embeddings", {}).get("embedding") for name in ("word", "token_type", "position")
    )
    ids, type_ids, position_ids = arguments.input_ids, arguments.token_type_ids, arguments.position_ids
    x = (jnp.take(words, ids, axis=0) if arguments.inputs_embeds is None else arguments.inputs_embeds).astype(dtype)
    x = x + (types[0] if type_ids is None else jnp.take(types, type_ids, axis=0)).astype(dtype)
    if config.position_embedding_type == "absolute":
        position_ids = positions(arguments, layout) if position_ids is None else position_ids
        x = x + jnp.take(places, position_ids, axis=0).astype(dtype)
    return dropout(norm(config, p["LayerNorm"], x), config.hidden_dropout_prob, rng)


# -------------------------------------------------------------------------------------------------------------------- layers


def self_attention(
    config: BertConfig,
    p: Tree,
    x: Array,
    source: Array,
    layout: Layout,
    factors: Array | None,
    cache: dict[str, Array] | None,
    rng: Any,
    returns_weights: bool,
) -> tuple[Array, Array | None, dict[str, Array] | None]:
    """Each token of x attends to the tokens of source: [B, L, H] and [B, S, H] -> [B, L, A * D], weights, cache.

    factors: [A], for the result of each head.
    """
    q, k, v = (
        dense(p[name], of).reshape(*of.shape[:2], -1, config.hidden_size // config.num_attention_heads)
        for name, of in (("query", x), ("key", source), ("value", source))
    )
    if cache is not None:
        keys, values = cache["cached_key"], cache["cached_value"]
        keys = jax.lax.dynamic_update_slice_in_dim(keys, k.astype(keys.dtype), layout.past, 1)
        values = jax.lax.dynamic_update_slice_in_dim(values, v.astype(values.dtype), layout.past, 1)
        cache = {"cached_key": keys, "cached_value": values, "cache_index": layout.past + x.shape[1]}
        k, v = keys.astype(q.dtype), values.astype(q.dtype)
    bias = distance_bias(config, p, q, k, layout) if "distance_embedding" in p else None
    context, weights = attend(q, k, v, layout, bias, config.attention_probs_dropout_prob, rng, returns_weights)
    if factors is not None:
        context = context * factors[:, None].astype(context.dtype)
        weights = None if weights is None else weights * factors[:, None, None].astype(weights.dtype)
    return context.reshape(*x.shape[:2], -1), weights, cache


def distance_bias(config: BertConfig, p: Tree, q: Array, k: Array, layout: Layout) -> Array:
    """What the distance of two tokens adds to their score, [B, A, L, S]."""
    places = layout.past + jnp.arange(q.shape[1])
    distance = places[:, None] - jnp.arange(k.shape[1]) + config.max_position_embeddings - 1
    embedded = jnp.take(p["distance_embedding"]["embedding"], distance, axis=0, mode="clip")  # [L, S, D]
    bias = jnp.einsum("blad,lsd->bals", q, embedded.astype(q.dtype))
    if config.position_embedding_type == "relative_key_query":
        bias = bias + jnp.einsum("bsad,lsd->bals", k, embedded.astype(q.dtype))
    return bias / math.sqrt(q.shape[-1])


def residual(config: BertConfig, p: Tree, x: Array, before: Array, rng: Any) -> Array:
    """The end of each half of a layer: a dense layer, a residual connection and a norm."""
    return norm(config, p["LayerNorm"], dropout(dense(p["dense"], x), config.hidden_dropout_prob, rng) + before)


def layer(
    config: BertConfig,
    number: int,
    returns_weights: bool,
    p: Tree,
    x: Array,
    inputs: LayerInputs,
    cache: Any,
    rng: Any,
) -> tuple[Array, LayerOutputs]:
    """Attention, in a decoder with an encoder also cross-attention, and a feed-forward part: [B, L, H] -> [B, L, H]."""
    factors = None if inputs.head_mask is None else inputs.head_mask[number]
    kept = None if factors is None else factors[jnp.array(kept_heads(config, number))]
    keys = [key_of(rng, place) for place in range(5)]
    part = p["attention"]
    context, weights, cache = self_attention(
        config, part["self"], x, x, inputs.layout, kept, cache, keys[0], returns_weights
    )
    x = residual(config, part["output"], context, x, keys[1])
    cross_weights = None
    if inputs.encoder_states is not None:
        part, source = p["crossattention"], inputs.encoder_states
        context, cross_weights, _ = self_attention(
            config, part["self"], x, source, inputs.cross, factors, None, keys[2], returns_weights
        )
        x = residual(config, part["output"], context, x, keys[3])
    inside = ACTIVATION[config.hidden_act](dense(p["intermediate"]["dense"], x))  # [B, L, I]
    return residual(config, p["output"], inside, x, keys[4]), LayerOutputs(weights, cross_weights, cache)


def encoder(
    config: BertConfig, p: Tree, x: Array, inputs: LayerInputs, mode: Mode, caches: Tree | None, rng: Any
) -> tuple[list[Array], list[LayerOutputs]]:
    """The layers, one after the other. Returns the states before the first and after each, and the other outputs of each."""
    states, outputs = [x], []
    for number in range(config.num_hidden_layers):
        run: Callable[..., tuple[Array, LayerOutputs]] = partial(layer, config, number, number in mode.returns_weights)
        run = jax.checkpoint(run) if mode.recomputes else run
        cache = None if caches is None else caches["layer"][str(number)]["attention"]["self"]
        x, others = run(p["layer"][str(number)], states[-1], inputs, cache, key_of(rng, number))
        states.append(x)
        outputs.append(others)
    return states, outputs


def pooler(p: Tree, first: Array) -> Array:
    """A dense layer and tanh over the first token of each sequence, [CLS]: [B, H] -> [B, H]."""
    return jnp.tanh(dense(p["dense"], first))


# ---------------------------------------------------------------------------------------------------------------------- bert


def bert(config: BertConfig, p: Tree, arguments: Arguments, mode: Mode, rng: Any = None) -> States:
    """BERT without a head. Last states at padding are as computed; `layout.unpack` sets them to zero, except in training."""
    caches, past, capacity = None, None, 0
    if arguments.cache is not None:
        caches = arguments.cache["encoder"]
        first = caches["layer"]["0"]["attention"]["self"]
        past, capacity = first["cache_index"], first["cached_key"].shape[1]
    layout = arrange(arguments, config.is_decoder, past, capacity)
    mask, source = arguments.encoder_attention_mask, arguments.encoder_hidden_states
    shape = (config.num_hidden_layers, config.num_attention_heads)
    inputs = LayerInputs(
        layout,
        None if arguments.head_mask is None else jnp.broadcast_to(arguments.head_mask, shape),
        None if source is None else source.astype(mode.dtype),
        Layout(None if mask is None else mask.reshape(len(mask), 1, -1, mask.shape[-1]) > 0, None),
    )
    x = embeddings(config, p["embeddings"], arguments, layout, mode.dtype, key_of(rng, config.num_hidden_layers))
    states, outputs = encoder(config, p["encoder"], x, inputs, mode, caches, rng)
    pooled = layout.unpack_rows(pooler(p["pooler"], layout.first(states[-1]))) if "pooler" in p else None
    layout = layout._replace(real=None) if mode.train else layout
    return States(
        states[-1],
        pooled,
        tuple(layout.unpack(x) for x in states) if mode.keeps_states else None,
        None if caches is None else cache_of([each.cache for each in outputs]),
        returned_weights(layout, [each.weights for each in outputs]) if mode.returns_weights else None,
        returned_weights(layout, [each.cross_weights for each in outputs])
        if mode.returns_weights and source is not None
        else None,
        layout,
    )


def cache_of(layers: list[Any]) -> dict[str, Any]:
    """The keys and values of each layer, nested as in Flax's "cache" collection."""
    return {"encoder": {"layer": {str(i): {"attention": {"self": each}} for i, each in enumerate(layers)}}}


def returned_weights(layout: Layout, layers: list[Any]) -> tuple[Array | None, ...]:
    """The attention weights of each layer as they are returned; None for a layer whose weights are not."""
    return tuple(None if weights is None else layout.returned_weights(weights) for weights in layers)
