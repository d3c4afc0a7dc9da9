"""Changing the shape of a model: vocabulary and attention heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from operator import index
from typing import Any

import torch
from torch import Tensor, nn

from bertkit.errors import UsageError


def resize_vocabulary(model: Any, size: int | None, multiple: int | None, at_mean: bool) -> nn.Embedding:
    """See BertPreTrainedModel.resize_token_embeddings."""
    for name, number in (("new_num_tokens", size), ("pad_to_multiple_of", multiple)):
        if number is not None and (not isinstance(number, Integral) or number < 0):
            raise UsageError(f"{name} is {number!r}, and must be a whole number such as len(tokenizer) or 64.")
    old = model.get_input_embeddings()
    size = old.num_embeddings if size is None else size
    if multiple:
        size = -(-size // multiple) * multiple
    if size <= (model.config.pad_token_id or 0):
        raise UsageError(
            f"A vocabulary of {size} tokens does not contain the padding token {model.config.pad_token_id}."
        )
    if size == old.num_embeddings:
        return old
    scale = None if at_mean else model.config.initializer_range
    decoder = model.get_output_embeddings()
    old.weight, old.num_embeddings = _resized(old.weight, size, scale), size
    if decoder is not None:
        predictions = model.get_submodule("cls.predictions")
        predictions.bias = _resized(decoder.bias, size, None if at_mean else 0.0)
        if not model.config.tie_word_embeddings:
            decoder.weight = _resized(decoder.weight, size, scale)
        decoder.out_features = size
    model.config.vocab_size = size
    model.tie_weights()
    return old


def prune_heads(model: Any, heads_to_prune: Mapping[int, Sequence[int]]) -> None:
    """See BertPreTrainedModel.prune_heads. All arguments are checked before a layer changes."""
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    try:
        asked = {index(layer): {index(head) for head in of_layer} for layer, of_layer in heads_to_prune.items()}
    except (AttributeError, TypeError) as error:
        raise UsageError(
            f"heads_to_prune is {heads_to_prune!r:.80}, and must be {{layer: [heads]}}: {{0: [1, 3]}}."
        ) from error
    pruned = dict(model.config.pruned_heads)
    for layer, of_layer in asked.items():
        if layer not in range(layers) or not of_layer <= set(range(heads)):
            raise UsageError(
                f"heads_to_prune has {{{layer}: {sorted(of_layer)}}}, and layers are 0 to {layers - 1}, heads 0 to {heads - 1}."
            )
        pruned[layer] = sorted({*pruned.get(layer, []), *of_layer})
        if len(pruned[layer]) == heads:
            raise UsageError(f"heads_to_prune removes all {heads} heads of layer {layer}: keep at least one.")
    for layer in asked:
        _without(model.base_model.encoder.layer[layer].attention, pruned[layer])
    model.config.pruned_heads = pruned


def _without(attention: Any, heads: Sequence[int]) -> None:
    """Remove heads from a BertAttention. They are numbered as in the model before any pruning."""
    part = attention.self
    kept_heads = [i for i, head in enumerate(part.heads) if head not in heads]
    kept = torch.arange(len(part.heads) * part.head_size).view(len(part.heads), -1)[kept_heads].flatten()
    part.heads = [part.heads[i] for i in kept_heads]
    for dense in (part.query, part.key, part.value):
        _keep(dense, kept, 0)
    _keep(attention.output.dense, kept, 1)


def _keep(dense: nn.Linear, kept: Tensor, side: int) -> None:
    """Keep only some outputs (side 0) or inputs (side 1) of a dense layer."""
    kept = kept.to(dense.weight.device)
    dense.weight = nn.Parameter(dense.weight.detach().index_select(side, kept), dense.weight.requires_grad)
    if side == 0:
        dense.bias = nn.Parameter(dense.bias.detach()[kept], dense.bias.requires_grad)
    dense.out_features, dense.in_features = dense.weight.shape


def _resized(old: Tensor, size: int, scale: float | None) -> nn.Parameter:
    """The first rows of a parameter and new ones: normal with a standard deviation, or with None the mean of the old ones."""
    new = old.new_empty(size, *old.shape[1:])
    kept = min(size, len(old))
    with torch.no_grad():
        new[:kept] = old[:kept]
        if scale is None:
            new[kept:] = old.float().mean(0).to(old.dtype)
        else:
            new[kept:].normal_(0, scale)
    return nn.Parameter(new, old.requires_grad)
