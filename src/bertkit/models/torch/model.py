"""BERT: embeddings, layers, pooler and BertModel, from small parts to large.

Modules are nested as the names of the parameters say (bert.encoder.layer.3.attention.self.query.weight). Within the layers, x is
[T, H], packed, if the batch has padding, and [B, L, H] if it has none: see packing.py. Comments write [T, H] for both.

    T tokens   H hidden   I intermediate   A heads   D width of a head   B batch   L length   S positions that are attended to
"""

from __future__ import annotations

import math
import operator
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.models.torch.cache import Cache, LayerCache, cache_of, joined
from bertkit.models.torch.packing import (
    BATCH_INVARIANT,
    Arranged,
    Attend,
    Layout,
    Packed,
    Rectangle,
    Weights,
    arrange,
    attention_weights,
    fastest,
    plain_mask,
    weighed,
)
from bertkit.models.torch.pretrained import BertPreTrainedModel
from bertkit.outputs import BaseModelOutputWithPastAndCrossAttentions, BaseModelOutputWithPoolingAndCrossAttentions
from bertkit.parameters import kept_heads

ACTIVATION: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_new": partial(nn.GELU, approximate="tanh"),
    "gelu_pytorch_tanh": partial(nn.GELU, approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}


def linear(inputs: int, outputs: int) -> nn.Linear:
    """nn.Linear on the meta device, without the initial values that its constructor would draw: post_init draws them."""
    layer = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(layer)
    layer.in_features, layer.out_features = inputs, outputs
    layer.weight = nn.Parameter(torch.empty(outputs, inputs, device="meta"))
    layer.bias = nn.Parameter(torch.empty(outputs, device="meta"))
    return layer


class States(NamedTuple):
    """What BertModel returns to a head: last states [T, H], or [K, H] of the wanted tokens, and pooled vectors [B, H]."""

    last_hidden_state: Tensor
    pooler_output: Tensor | None
    past_key_values: Sequence[LayerCache] | None
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Weights | None, ...] | None
    cross_attentions: tuple[Weights | None, ...] | None


@dataclass
class LayerCall:
    """How the tokens of a layer attend, and what the layer returns besides its states."""

    layout: Layout
    attend: Attend
    factors: Tensor | None = None  # [A], for the result of each head
    returns_weights: bool = False  # of attention
    past: LayerCache = ()
    kept: list[Tensor] | None = None  # collects keys and values for the next step; None: they are not kept
    encoder_states: Tensor | None = None  # [B, S, H]
    cross: Rectangle | None = None  # how tokens attend to them
    wanted: Tensor | None = None  # [K], the tokens whose states are used; None: all
    invariant: bool = False  # see batch_invariant


@dataclass
class EncoderCall:
    """The calls of all layers, and what the encoder returns besides its last states."""

    layers: Sequence[LayerCall]
    layout: Layout
    keeps_states: bool  # whether the states after each layer are returned
    wanted: Tensor | None = None  # [K], the tokens whose last states are used; None: all


def layer_call(
    config: BertConfig,
    x: Tensor,
    mask: Tensor | None,
    head_mask: Tensor | None,
    encoder_states: Tensor | None,
    encoder_mask: Tensor | None,
    past_key_values: object,
    returns_weights: bool | None,
) -> LayerCall:
    """The call of a part that is called directly, on states [B, L, H] and masks of four sides, as BertModel would make them."""
    if x.dim() != 3:
        raise UsageError(f"The states are {list(x.shape)}, and must be [batch, length, {config.hidden_size}].")
    if past_key_values is not None:
        raise UsageError("A part of the model takes no past_key_values: pass them to the model, or to its encoder.")
    if encoder_states is not None and not config.add_cross_attention:
        raise UsageError("encoder_hidden_states require BertConfig(is_decoder=True, add_cross_attention=True).")
    if head_mask is not None and head_mask.numel() != config.num_attention_heads:
        heads = config.num_attention_heads
        raise UsageError(f"head_mask is {list(head_mask.shape)}, and must be [{heads}] or [1, {heads}, 1, 1].")
    causal = config.is_decoder
    layout = _extended(x, mask) if mask is not None else Rectangle((x.shape[0], x.shape[1]), x.device, causal=causal)
    cross = None
    if encoder_states is not None:
        cross = Rectangle(layout.grid, x.device) if encoder_mask is None else _extended(x, encoder_mask)
    biased = config.position_embedding_type != "absolute"
    attend = fastest(layout, cross, True, x.device.type, x.dtype, biased)
    factors = None if head_mask is None else head_mask.flatten()
    return LayerCall(layout, attend, factors, bool(returns_weights), encoder_states=encoder_states, cross=cross)


def _extended(x: Tensor, mask: Tensor) -> Rectangle:
    """The layout of states x with a mask [B or 1, 1, L or 1, S], added to the scores or True where a position may attend."""
    if not isinstance(mask, Tensor) or mask.dim() != 4:
        given = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise UsageError(
            f"A part of the model takes masks [batch, 1, 1 or length, length], not {given}: for a mask [batch, length] "
            "write mask[:, None, None].bool()."
        )
    grid = (x.shape[0], x.shape[1])
    every = torch.ones(grid, dtype=torch.bool, device=x.device)
    return replace(Rectangle.masked(grid, plain_mask(mask, causal=True) != 0, every), real=None)


# ---------------------------------------------------------------------------------------------------------------- embeddings


class BertEmbeddings(nn.Module):
    """The sum of word, token type and position embeddings, normalized."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(
            config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id, device="meta"
        )
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size, device="meta")
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size, device="meta")
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, device="meta")
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.absolute = config.position_embedding_type == "absolute"

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values_length: int = 0,
    ) -> Tensor:
        """[B, L] ids, or [T] where they are packed, -> [B, L, H] or [T, H]."""
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.word_embeddings(input_ids)
        types = self.token_type_embeddings
        if inputs_embeds.shape[-1] != types.weight.shape[-1]:
            raise UsageError(
                f"The last side of inputs_embeds is {inputs_embeds.shape[-1]}, and must be hidden_size, {types.weight.shape[-1]}."
            )
        if token_type_ids is None:
            token_type_ids = torch.zeros(1, dtype=torch.long, device=inputs_embeds.device)
        x = inputs_embeds + types(token_type_ids)
        if self.absolute:
            if position_ids is None:
                past, length = past_key_values_length, x.shape[-2]
                position_ids = torch.arange(past, past + length, device=x.device)
            x = x + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(x))


# -------------------------------------------------------------------------------------------------------------------- layers


class BertSelfAttention(nn.Module):
    """Each token attends to the tokens of its sequence, or to the states of an encoder."""

    def __init__(self, config: BertConfig, layer: int, cross: bool = False) -> None:
        super().__init__()
        self.config = config
        self.head_size = config.hidden_size // config.num_attention_heads
        self.cross = cross
        pruned = not cross and layer in config.pruned_heads
        self.heads = kept_heads(config, layer) if pruned else list(range(config.num_attention_heads))
        width = len(self.heads) * self.head_size
        self.query = linear(config.hidden_size, width)
        self.key = linear(config.hidden_size, width)
        self.value = linear(config.hidden_size, width)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.position_embedding_type = "absolute" if cross else config.position_embedding_type
        if self.position_embedding_type != "absolute":
            self.distance_embedding = nn.Embedding(
                2 * config.max_position_embeddings - 1, self.head_size, device="meta"
            )

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | LayerCall | None = None,
        head_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        past_key_values: object = None,
        output_attentions: bool | None = False,
    ) -> tuple[Tensor, Weights | None]:
        """[T, H] -> [T, A * D], and the weights if they are asked for. Layers pass a LayerCall as attention_mask."""
        call = attention_mask
        if not isinstance(call, LayerCall):
            call = self.direct_call(
                hidden_states, call, head_mask, encoder_hidden_states, past_key_values, output_attentions
            )
        layout = call.cross if self.cross else call.layout
        if layout is None:
            raise UsageError("crossattention attends to the states of an encoder: pass encoder_hidden_states.")
        heads = (-1, self.head_size)
        q = self.query(hidden_states).unflatten(-1, heads)
        if self.cross or call.past or call.kept is not None:
            k, v = self.keys_and_values(hidden_states, call)
        else:
            k, v = self.key(hidden_states).unflatten(-1, heads), self.value(hidden_states).unflatten(-1, heads)
        bias = None if self.position_embedding_type == "absolute" else self.distance_bias(q, k, layout)
        dropout = getattr(self.dropout, "p", 0.0) if self.dropout.training else 0.0  # nn.Identity has no p
        factors = None if call.factors is None else call.factors.to(q.dtype)[self.heads][:, None, None]  # [A, 1, 1]
        returned = None
        if call.returns_weights:
            weights = F.dropout(attention_weights(q, k, layout, bias), dropout, training=dropout > 0)
            returned, weights = layout.returned_weights(weights if factors is None else weights * factors)
        if call.returns_weights and not call.invariant:
            return weighed(weights, v, layout).flatten(-2), returned
        context = call.attend(q, k, v, layout, bias, dropout)
        return (context if factors is None else context * factors[:, 0]).flatten(-2), returned

    def direct_call(
        self,
        x: Tensor,
        mask: Tensor | None,
        head_mask: Tensor | None,
        encoder_states: Tensor | None,
        past_key_values: object,
        returns_weights: bool | None,
    ) -> LayerCall:
        """The LayerCall of a direct call. In cross-attention, the mask is that of the encoder's states."""
        if encoder_states is not None and not self.cross:
            raise UsageError("attention takes no encoder_hidden_states: pass them to crossattention.")
        masks = (None, mask) if self.cross else (mask, None)
        return layer_call(
            self.config, x, masks[0], head_mask, encoder_states, masks[1], past_key_values, returns_weights
        )

    def keys_and_values(self, x: Tensor, call: LayerCall) -> tuple[Tensor, Tensor]:
        """Keys and values [B, S, A, D]: of the cache and the tokens, or of the encoder's states."""
        heads = (-1, self.head_size)
        past = call.past[2 * self.cross :]
        if self.cross and past:  # the encoder's states stay the same from step to step
            k, v = past[0].transpose(1, 2), past[1].transpose(1, 2)
        else:
            source = call.encoder_states if self.cross else x
            assert source is not None
            k, v = self.key(source).unflatten(-1, heads), self.value(source).unflatten(-1, heads)
            if past:
                k, v = joined(past[0], k), joined(past[1], v)
        if call.kept is not None:
            call.kept += (k.transpose(1, 2), v.transpose(1, 2))
        return k, v

    def distance_bias(self, q: Tensor, k: Tensor, layout: Layout) -> Tensor:
        """What the distance of two tokens adds to their score, [B, A, L, S]."""
        q, k = layout.to_grid(q), layout.to_grid(k)
        length, source = q.shape[1], k.shape[1]
        places = torch.arange(source - length, source, device=q.device)
        distance = places[:, None] - torch.arange(source, device=q.device)
        embedded = self.distance_embedding(distance + self.distance_embedding.num_embeddings // 2)  # [L, S, D]
        bias = torch.einsum("blad,lsd->bals", q, embedded)
        if self.position_embedding_type == "relative_key_query":
            bias = bias + torch.einsum("bsad,lsd->bals", k, embedded)
        return bias / math.sqrt(self.head_size)


class BertResidual(nn.Module):
    """The end of each half of a layer: a dense layer, a residual connection and a norm."""

    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, device="meta")
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """[T, inputs] and [T, H] -> [T, H]."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class BertAttention(nn.Module):
    """The first half of a layer: attention and its output."""

    def __init__(self, config: BertConfig, layer: int, cross: bool = False) -> None:
        super().__init__()
        self.self = BertSelfAttention(config, layer, cross)
        self.output = BertResidual(self.self.query.out_features, config)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | LayerCall | None = None,
        head_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        past_key_values: object = None,
        output_attentions: bool | None = False,
    ) -> tuple[Tensor, Weights | None]:
        """[T, H] -> [T, H], or [K, H] of the wanted tokens; and the weights. Layers pass a LayerCall as attention_mask."""
        call, x = attention_mask, hidden_states
        if not isinstance(call, LayerCall):
            call = self.self.direct_call(x, call, head_mask, encoder_hidden_states, past_key_values, output_attentions)
        context, weights = self.self(x, call)
        if call.wanted is not None:
            context, x = context.flatten(0, -2)[call.wanted], x.flatten(0, -2)[call.wanted]
        return self.output(context, x), weights


CACHED = 2048
"""Tokens whose intermediate states fit into a processor's cache. Larger batches are computed in parts of about this size."""


class BertLayer(nn.Module):
    """Attention, in a decoder with an encoder also cross-attention, and a feed-forward part."""

    def __init__(self, config: BertConfig, layer: int) -> None:
        super().__init__()
        self.attention = BertAttention(config, layer)
        if config.add_cross_attention:
            self.crossattention = BertAttention(config, layer, cross=True)
        wide, activation = linear(config.hidden_size, config.intermediate_size), ACTIVATION[config.hidden_act]()
        self.intermediate = nn.Sequential(OrderedDict(dense=wide, intermediate_act_fn=activation))
        self.output = BertResidual(config.intermediate_size, config)
        self.chunk = config.chunk_size_feed_forward

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | LayerCall | None = None,
        head_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: object = None,
        output_attentions: bool | None = False,
    ) -> tuple[Any, ...]:
        """[T, H] -> [T, H], or [K, H] of the wanted tokens; and the weights of each attention, or None.

        The encoder passes a LayerCall as attention_mask.
        """
        call = attention_mask
        if not isinstance(call, LayerCall):
            encoder = (encoder_hidden_states, encoder_attention_mask)
            config = self.attention.self.config
            call = layer_call(config, hidden_states, call, head_mask, *encoder, past_key_values, output_attentions)
        x, *weights = self.attention(hidden_states, call)
        if call.cross is not None:
            x, of_encoder = self.crossattention(x, call)
            weights.append(of_encoder)
        recorded = torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
        size, tokens = self.chunk, x.numel() // x.shape[-1]
        if not (size or recorded) and x.device.type == "cpu":
            size = math.ceil(tokens / max(1, tokens // CACHED))
        if not 0 < size < tokens:
            return (self.output(self.intermediate(x), x), *weights)
        parts = x.flatten(0, -2).split(size)
        return (torch.cat([self.output(self.intermediate(part), part) for part in parts]).view(x.shape), *weights)


class BertEncoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.layer = nn.ModuleList([BertLayer(config, i) for i in range(config.num_hidden_layers)])
        self.computed_again = 0  # gradient checkpointing takes every n-th layer; 0: none

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | EncoderCall | None = None,
        head_mask: Tensor | Sequence[Tensor | None] | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Sequence[LayerCache] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        return_dict: bool | None = True,
    ) -> States | BaseModelOutputWithPastAndCrossAttentions | tuple[object, ...]:
        """[T, H] -> [T, H], or [K, H] of the wanted tokens: most of the last layer is computed for them only.

        BertModel passes an EncoderCall as attention_mask and gets States. A direct call takes states [B, L, H] and masks of four
        sides, and returns an output object.
        """
        run, x = attention_mask, hidden_states
        if not isinstance(run, EncoderCall):
            encoder = (encoder_hidden_states, encoder_attention_mask)
            call = layer_call(self.config, x, run, None, *encoder, None, output_attentions)
            run = self._encoder_call(call, head_mask, past_key_values, use_cache, output_hidden_states)
        states, weights, of_encoder = [], [], []
        for i, (layer, call) in enumerate(zip(self.layer, run.layers, strict=True)):
            if run.keeps_states:
                whole, x = run.layout.returned(x)
                states.append(whole)
            again = self.training and self.computed_again and i % self.computed_again == 0
            x, *found = checkpoint(layer, x, call, use_reentrant=False) if again else layer(x, call)
            weights.append(found[0])
            of_encoder += found[1:]
        if run.keeps_states:
            whole, x = run.layout.returned(x)
            states.append(whole)
        if run.wanted is not None and run.layers[-1].wanted is None:
            x = x.flatten(0, -2)[run.wanted]
        returns_weights = any(call.returns_weights for call in run.layers)
        every = States(
            x,
            None,
            None if run.layers[0].kept is None else cache_of([tuple(call.kept or ()) for call in run.layers]),
            tuple(states) if run.keeps_states else None,
            tuple(weights) if returns_weights else None,
            tuple(of_encoder) if returns_weights and of_encoder else None,
        )
        if run is attention_mask:
            return every
        named = every._asdict()
        del named["pooler_output"]
        output = BaseModelOutputWithPastAndCrossAttentions(named)
        return output if return_dict else output.to_tuple()

    def _encoder_call(
        self,
        call: LayerCall,
        head_mask: Tensor | Sequence[Tensor | None] | None,
        past_key_values: Sequence[LayerCache] | None,
        use_cache: bool | None,
        keeps_states: bool | None,
    ) -> EncoderCall:
        """The EncoderCall of a direct call. head_mask: [1, A, 1, 1] of each layer, or None."""
        layers = len(self.layer)
        masks = [None] * layers if head_mask is None else head_mask
        if len(masks) != layers:
            raise UsageError(f"head_mask has {len(masks)} layers, and the model has {layers}.")
        calls = [
            replace(
                call,
                factors=None if mask is None else mask.flatten(),
                past=past_key_values[i] if past_key_values else (),
                kept=[] if use_cache and self.config.is_decoder else None,
            )
            for i, mask in enumerate(masks)
        ]
        return EncoderCall(calls, call.layout, bool(keeps_states))


class BertPooler(nn.Module):
    """A dense layer and tanh over the first token of each sequence, [CLS]."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = linear(config.hidden_size, config.hidden_size)
        self.activation = nn.Tanh()

    def forward(self, hidden_states: Tensor) -> Tensor:
        """First tokens [B, H], or states [B, L, H] with all tokens, -> [B, H]."""
        first = hidden_states[:, 0] if hidden_states.dim() == 3 else hidden_states
        pooled: Tensor = self.activation(self.dense(first))
        return pooled


# ----------------------------------------------------------------------------------------------------------------- BertModel


class BertModel(BertPreTrainedModel):
    """BERT without a head: the states of all tokens, and the pooled first token.

    >>> import torch
    >>> from bertkit import BertConfig, BertModel
    >>> model = BertModel(BertConfig.named("tiny")).eval()
    >>> output = model(torch.tensor([[101, 7592, 102]]))
    >>> output.last_hidden_state.shape, output.pooler_output.shape
    (torch.Size([1, 3, 128]), torch.Size([1, 128]))
    """

    _head = "Model"

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        config = self.config
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Sequence[LayerCache] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        lengths: Sequence[int] | Tensor | None = None,
        arranged: Arranged | None = None,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions | States | tuple[object, ...]:
        """Compute the states of the tokens. Those of padding are zero.

        input_ids, token_type_ids, position_ids: [B, L]. inputs_embeds: [B, L, H] in place of input_ids.
        attention_mask: [B, L], 1 at real tokens and 0 at padding, on any side; or [B, L, L] or [B, 1, L, L], 1 where a position
        may attend to another; or either as it is added to scores, 0 and torch.finfo(dtype).min.
        head_mask: [A] or [layers, A], a factor for the result of each head.
        encoder_hidden_states [B, S, H], encoder_attention_mask [B, S], or [B, L, S] for each position: for a decoder with
        cross-attention.
        past_key_values, use_cache: what a decoder computed before, and whether it returns it.
        output_attentions: True, or the numbers of the layers whose attention weights are returned, -1 for the last.
        lengths: of the sequences of packed tokens. input_ids are [T] then, and so are the states, [T, H].
        arranged: for the heads, in place of the tokens: they get States.
        """
        config, inputs, cache, keeps_cache = self.config, arranged, past_key_values, bool(use_cache)
        if inputs is None:
            inputs, cache, keeps_cache = self.arrange_steps(
                input_ids,
                attention_mask,
                token_type_ids,
                position_ids,
                inputs_embeds,
                lengths,
                past_key_values,
                use_cache,
                encoder_hidden_states,
            )
        layout = inputs.layout
        try:
            x = self.embeddings(inputs.input_ids, inputs.token_type_ids, inputs.position_ids, inputs.inputs_embeds)
        except IndexError as error:  # on a GPU it is a device-side assertion
            sentences = self._out_of_range(inputs)
            if not sentences:  # raised by a hook
                raise
            raise UsageError(sentences) from error
        x = layout.pack(x)
        run = self._encoder_call(
            inputs,
            x,
            head_mask,
            cache,
            keeps_cache,
            output_attentions,
            config.output_hidden_states if output_hidden_states is None else bool(output_hidden_states),
            encoder_hidden_states,
            encoder_attention_mask,
        )
        states = self.encoder(x, run)
        x, kept, first = states.last_hidden_state, inputs.wanted, None
        if arranged is None:  # the pooled vectors are made of the states that are returned
            x = states.hidden_states[-1] if run.keeps_states else layout.unpack(x)
            first = None if self.pooler is None else x.flatten(0, len(layout.outer) - 1)[layout.begins]
        elif kept is not None:
            x, first = x[: len(kept)], x[len(kept) :]
        elif self.pooler is not None:
            first = x.flatten(0, -2)[layout.firsts]
        pooled = None if self.pooler is None else self.pooler(first)
        pooled = layout.unpack_rows(pooled) if pooled is not None and layout.has_empty else pooled
        states = states._replace(last_hidden_state=x, pooler_output=pooled)
        if arranged is not None:
            return states
        output = BaseModelOutputWithPoolingAndCrossAttentions(states._asdict())
        named = config.return_dict and not config.torchscript if return_dict is None else return_dict
        return output if named else output.to_tuple()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"last_hidden_state": x} if pooled is None else {"last_hidden_state": x, "pooler_output": pooled}

    def arrange_steps(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        lengths: Sequence[int] | Tensor | None,
        past_key_values: Sequence[LayerCache] | None,
        use_cache: bool | None,
        encoder_states: Tensor | None,
        labels: Tensor | None = None,
    ) -> tuple[Arranged, Cache | None, bool]:
        """The arranged tokens, the cache before them, and whether to return a cache: decoders do unless there are labels.

        labels: the words themselves, each of which is predicted from the tokens before it.
        """
        config = self.config
        if use_cache is None:
            use_cache = config.use_cache and not self.training and lengths is None and labels is None
        keeps_cache = use_cache and config.is_decoder
        if lengths is not None and (keeps_cache or past_key_values is not None):
            raise UsageError("A cache requires padded input: leave out lengths, and pass attention_mask.")
        cache = None if past_key_values is None else Cache(past_key_values)
        steps = cache is not None or keeps_cache or encoder_states is not None
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            labels=labels,
            shifted=True,
            causal=config.is_decoder,
            past=(cache.get_seq_length() if cache else 0) if steps else None,
        )
        return inputs, cache, keeps_cache

    def _encoder_call(
        self,
        inputs: Arranged,
        x: Tensor,
        head_mask: Tensor | None,
        cache: Sequence[LayerCache] | None,
        keeps_cache: bool,
        output_attentions: bool | Sequence[int] | None,
        keeps_states: bool,
        encoder_states: Tensor | None,
        encoder_mask: Tensor | None,
    ) -> EncoderCall:
        config, layers, layout = self.config, len(self.encoder.layer), inputs.layout
        asked = config.output_attentions if output_attentions is None else output_attentions
        try:
            weights_of = set(range(layers if asked else 0) if isinstance(asked, bool) else map(operator.index, asked))
        except TypeError as error:
            raise UsageError(
                f"output_attentions is {asked!r}, and must be True, False, or numbers of layers such as [0, {layers - 1}]."
            ) from error
        if not weights_of <= set(range(-layers, layers)):
            raise UsageError(
                f"output_attentions={asked!r} has an unknown layer: they are 0 to {layers - 1}, or -1 for the last."
            )
        shape = (layers, config.num_attention_heads)
        if head_mask is not None and tuple(getattr(head_mask, "shape", ())) not in (shape, shape[1:]):
            given = (
                f"has the shape {list(head_mask.shape)}" if isinstance(head_mask, Tensor) else f"is {head_mask!r:.80}"
            )
            raise UsageError(f"head_mask {given}, and must be a tensor {list(shape[1:])} or {list(shape)}.")
        cross = None if encoder_states is None else self._cross(layout, encoder_states, encoder_mask)
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        biased = config.position_embedding_type != "absolute"
        attend = fastest(layout, cross, config._attn_implementation_internal != "eager", kind, dtype, biased)
        wanted = inputs.wanted
        if wanted is not None and self.pooler is not None:  # the pooler takes the first token of each row
            wanted = torch.cat([wanted, layout.firsts])
        factors = None if head_mask is None else head_mask.expand(layers, -1)
        calls = [
            LayerCall(
                layout,
                attend,
                None if factors is None else factors[i],
                i in weights_of or i - layers in weights_of,
                cache[i] if cache else (),
                [] if keeps_cache else None,
                encoder_states,
                cross,
                wanted if i == layers - 1 and not keeps_states and cross is None else None,
                not torch.compiler.is_compiling() and BATCH_INVARIANT.get(),
            )
            for i in range(layers)
        ]
        return EncoderCall(calls, layout, keeps_states, wanted)

    def _out_of_range(self, inputs: Arranged) -> str:
        """Error text for ids, token types or positions that the model does not have. Empty if all are valid."""
        config, sentences = self.config, []
        for ids, size, sentence in (
            (
                inputs.position_ids,
                config.max_position_embeddings,
                "positions: shorten the text, tokenizer(..., truncation=True)",
            ),
            (
                inputs.input_ids,
                config.vocab_size,
                "words: after tokenizer.add_tokens, model.resize_token_embeddings(len(tokenizer))",
            ),
            (
                inputs.token_type_ids,
                config.type_vocab_size,
                "token types: they are the numbers of the sentences, from 0",
            ),
        ):
            if ids is not None and len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= size):
                sentences.append(
                    f"{int(ids.max()) if int(ids.min()) >= 0 else int(ids.min())} is not one of the {size} {sentence}."
                )
        return " ".join(sentences)

    def _cross(self, layout: Layout, states: Tensor, mask: Tensor | None) -> Rectangle:
        """How the tokens of a decoder attend to an encoder's states [B, S, H]. mask: [B, S], [B, L, S] or [B, 1, 1 or L, S]."""
        if not self.config.add_cross_attention:
            raise UsageError(
                "encoder_hidden_states require a decoder: make the model with BertConfig(is_decoder=True, "
                "add_cross_attention=True)."
            )
        if isinstance(layout, Packed):
            raise UsageError("Cross-attention requires padded input: leave out lengths, and pass attention_mask.")
        wanted = (layout.grid[0], self.config.hidden_size)
        if not isinstance(states, Tensor) or states.dim() != 3 or (states.shape[0], states.shape[2]) != wanted:
            given = list(states.shape) if isinstance(states, Tensor) else type(states).__name__
            raise UsageError(
                f"encoder_hidden_states are {given}, and must be a tensor [{wanted[0]}, length, {wanted[1]}]."
            )
        if mask is None:
            return Rectangle(layout.grid, layout.device, layout.real)
        rows, source = states.shape[:2]
        of_pairs = (rows, layout.grid[1], source)
        shapes = ((rows, source), of_pairs, (rows, 1, 1, source), (rows, 1, *of_pairs[1:]))
        if not isinstance(mask, Tensor) or tuple(mask.shape) not in shapes:
            given = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise UsageError(
                f"encoder_attention_mask is {given}, and must be a tensor {[rows, source]}, or {list(of_pairs)} with a row for "
                "each position."
            )
        real = layout.real
        if real is None:
            real = torch.ones(layout.grid, dtype=torch.bool, device=layout.device)
        seen = plain_mask(mask, name="encoder_attention_mask") != 0
        seen = seen[:, None, None] if seen.dim() == 2 else seen[:, None] if seen.dim() == 3 else seen
        return Rectangle.masked(layout.grid, seen, real)
