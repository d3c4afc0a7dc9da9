"""The arguments of a forward as arrays, and their checks. Inside jax.jit only shapes are known, and values are not checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bertkit.errors import UsageError, did_you_mean
from bertkit.heads import HEADS, POOLER


class Arguments(NamedTuple):
    """The arrays of one forward, a pytree. Either input_ids or inputs_embeds is required, all others are optional."""

    input_ids: Any = None  # [B, L]; for multiple choice, this and the next three are [B, choices, L]
    attention_mask: Any = None  # [B, L], or [B, L, L]; with a cache [B, capacity of the cache]
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

    def folded(self) -> Arguments:
        """Each choice as a separate row: [B, choices, L] -> [B * choices, L]."""
        names = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
        given = {name: x for name in names if (x := getattr(self, name)) is not None}
        return self._replace(**{name: x.reshape(-1, *x.shape[2:]) for name, x in given.items()})


def check(model: Any, given: Mapping[str, Any]) -> Arguments:
    """The arguments of a call as arrays. Raises UsageError for unknown names, wrong shapes and invalid values."""
    unknown = given.keys() - set(Arguments._fields)
    if unknown:
        near = did_you_mean(min(unknown), Arguments._fields)
        raise UsageError(f"Unknown argument {min(unknown)!r}: use {', '.join(Arguments._fields[:-1])}.{near}")
    arrays: dict[str, Any] = {name: x for name, x in given.items() if x is not None and name != "cache"}
    if ("input_ids" in arrays) == ("inputs_embeds" in arrays):
        raise UsageError("Pass either input_ids or inputs_embeds.")
    for name in arrays:
        of_numbers = name in ("head_mask", "encoder_hidden_states", "inputs_embeds")
        arrays[name] = jnp.asarray(arrays[name]) if of_numbers else _integers(name, arrays[name])
    arguments = Arguments(**arrays, cache=given.get("cache") or None)
    _check_shapes(model, arguments)
    _check_values(model, arguments)
    if arguments.encoder_hidden_states is not None and not model.config.add_cross_attention:
        raise UsageError(
            "encoder_hidden_states require a decoder: make the model with BertConfig(is_decoder=True, "
            "add_cross_attention=True)."
        )
    if arguments.segment_ids is not None:
        _check_segments(model, arguments)
    if arguments.cache is not None:
        _check_cache(model, arguments)
    return arguments


def _integers(name: str, x: Any) -> Any:
    """An argument as int32. A floating-point mask with negative numbers is one to add to scores, and is refused."""
    array = jnp.asarray(x)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(jnp.int32)
    if not isinstance(array, jax.core.Tracer) and array.size and float(array.min()) < 0:
        raise UsageError(
            f"{name} has {float(array.min()):g}, and must be 1 where a position may attend and 0 elsewhere."
            if name.endswith("mask")
            else f"{name} has {float(array.min()):g}, and must be integers from 0 on."
        )
    return (array > 0).astype(jnp.int32) if name.endswith("mask") else array.astype(jnp.int32)


def _check_shapes(model: Any, arguments: Arguments) -> None:
    config, outer = model.config, arguments.shape
    dimensions = 3 if "group" in HEADS[model._head].labels.values() else 2
    if len(outer) != dimensions:
        wanted = "[batch, choices, length]" if dimensions == 3 else "[batch, length]"
        raise UsageError(f"input_ids of {type(model).__name__} must be {wanted}, not {list(outer)}.")
    if outer[-1] > config.max_position_embeddings and config.position_embedding_type == "absolute":
        raise UsageError(
            f"The batch has {outer[-1]} tokens in a row, and max_position_embeddings is {config.max_position_embeddings}: "
            "shorten the text, tokenizer(..., truncation=True)."
        )
    for name in ("token_type_ids", "position_ids", "segment_ids"):
        x = getattr(arguments, name)
        if x is not None and x.shape[-1] != outer[-1]:
            raise _wrong_shape(name, x, outer)
    mask, length = arguments.attention_mask, outer[-1]
    masks = (outer, (*outer, length), (outer[0], 1, length, length))
    if mask is not None and arguments.cache is None and mask.shape not in masks:
        raise _wrong_shape("attention_mask", mask, *masks[:2])
    factors, shape = arguments.head_mask, (config.num_hidden_layers, config.num_attention_heads)
    if factors is not None and factors.shape not in (shape, shape[1:]):
        raise _wrong_shape("head_mask", factors, shape[1:], shape)


def _wrong_shape(name: str, x: Any, *shapes: tuple[int, ...]) -> UsageError:
    return UsageError(f"{name} has the shape {list(x.shape)}, and must be {' or '.join(str([*s]) for s in shapes)}.")


def _check_values(model: Any, arguments: Arguments) -> None:
    config = model.config
    for name, size in (
        ("input_ids", config.vocab_size),
        ("token_type_ids", config.type_vocab_size),
        ("position_ids", config.max_position_embeddings),
    ):
        x = getattr(arguments, name)
        if x is None or isinstance(x, jax.core.Tracer) or not x.size:
            continue
        low, high = int(x.min()), int(x.max())
        if low < 0 or high >= size:
            raise UsageError(f"{name} are {low} to {high}, and must be 0 to {size - 1}.")


def _check_segments(model: Any, arguments: Arguments) -> None:
    if arguments.attention_mask is not None:
        raise UsageError("segment_ids mark padding with 0: leave attention_mask out.")
    if POOLER in HEADS[model._head].parts and model._has_pooler:
        raise UsageError(
            f"{type(model).__name__} pools the first token of each row, and with segment_ids a row has several sequences: use "
            "a class without a pooler, such as FlaxBertForMaskedLM, or FlaxBertModel(config, add_pooling_layer=False)."
        )


def _check_cache(model: Any, arguments: Arguments) -> None:
    if not model.config.is_decoder or arguments.segment_ids is not None:
        raise UsageError("past_key_values require a decoder, BertConfig(is_decoder=True), and no segment_ids.")
    cache = arguments.cache if model._head == "Model" else arguments.cache[model.base_model_prefix]
    first = cache["encoder"]["layer"]["0"]["attention"]["self"]
    batch, capacity = first["cached_key"].shape[:2]
    mask, length, past = arguments.attention_mask, arguments.shape[-1], first["cache_index"]
    if mask is not None and mask.shape != (batch, capacity):
        raise UsageError(
            f"attention_mask has the shape {list(mask.shape)}, and with past_key_values it must be {[batch, capacity]}, as "
            "init_cache was called: pass 1 for later tokens."
        )
    if not isinstance(past, jax.core.Tracer) and int(past) + length > capacity:
        raise UsageError(
            f"The cache holds {int(past)} of at most {capacity} tokens, and the call adds {length}: type "
            f"init_cache({batch}, {int(past) + length}) or more."
        )
