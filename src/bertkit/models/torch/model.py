"""BERT: embeddings, layers, pooler, and BertModel around them. Read from top to bottom, small parts to large.

Modules are nested and called as the names of the parameters say (bert.encoder.layer.3.attention.self.query.weight). Within the
layers x is [T, H], packed, where the batch has padding, and [B, L, H] where it has none: see packing.py. Comments say [T, H].

    T tokens   H hidden   I intermediate   A heads   D width of a head   B batch   L length   S positions that are looked at
"""

from __future__ import annotations

import math
import operator
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.models.torch.cache import Cache, LayerCache, joined
from bertkit.models.torch.packing import (
    Attend,
    Inputs,
    Layout,
    Packed,
    Rectangle,
    Weights,
    arrange,
    attention_weights,
    fastest,
    plain_mask,
)
from bertkit.models.torch.pretrained import BertPreTrainedModel
from bertkit.outputs import BaseModelOutputWithPoolingAndCrossAttentions
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
    """nn.Linear without memory, and without the numbers that its constructor would draw: see BertPreTrainedModel.post_init."""
    layer = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(layer)
    layer.in_features, layer.out_features = inputs, outputs
    layer.weight = nn.Parameter(torch.empty(outputs, inputs, device="meta"))
    layer.bias = nn.Parameter(torch.empty(outputs, device="meta"))
    return layer


class States(NamedTuple):
    """What BertModel gives to a head: last states [T, H], or [K, H] of the tokens that it takes, and pooled vectors [B, H]."""

    last_hidden_state: Tensor
    pooler_output: Tensor | None
    past_key_values: Cache | None
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Weights | None, ...] | None
    cross_attentions: tuple[Weights | None, ...] | None


@dataclass
class Run:
    """What a forward has besides its tokens: the same for every layer, and what is gathered on the way."""

    layout: Layout
    attend: Attend
    head_mask: Tensor | None  # [layers, A]
    weights_of: Collection[int]  # the layers whose attention weights are wanted
    cache: Sequence[LayerCache] | None
    encoder_states: Tensor | None  # [B, S, H]
    cross: Rectangle | None  # how tokens look at them
    keeps_cache: bool
    wanted: Tensor | None  # [K], the tokens whose last states are used; None: all
    states: list[Tensor] | None = None
    weights: list[Weights | None] = field(default_factory=list)
    cross_weights: list[Weights | None] = field(default_factory=list)
    new_cache: list[LayerCache] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------------------------- embeddings


class BertEmbeddings(nn.Module):
    """Words, token types and positions, summed and normed."""

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
                f"inputs_embeds are {inputs_embeds.shape[-1]} wide, and must be [batch, length, {types.weight.shape[-1]}], as "
                "hidden_size is."
            )
        x = inputs_embeds + (types.weight[0] if token_type_ids is None else types(token_type_ids))
        if self.absolute:
            if position_ids is None:
                past, length = past_key_values_length, x.shape[-2]
                position_ids = torch.arange(past, past + length, device=x.device)
            x = x + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(x))


# -------------------------------------------------------------------------------------------------------------------- layers


class BertSelfAttention(nn.Module):
    """Every token looks at the tokens of its sequence, or at the states of an encoder."""

    def __init__(self, config: BertConfig, layer: int, cross: bool = False) -> None:
        super().__init__()
        self.head_size = config.hidden_size // config.num_attention_heads
        self.cross = cross
        pruned = not cross and layer in config.pruned_heads
        self.heads = kept_heads(config, layer) if pruned else list(range(config.num_attention_heads))
        width = len(self.heads) * self.head_size
        self.query = linear(config.hidden_size, width)
        self.key = linear(config.hidden_size, width)
        self.value = linear(config.hidden_size, width)
        self.attention_dropout = config.attention_probs_dropout_prob
        self.position_embedding_type = "absolute" if cross else config.position_embedding_type
        if self.position_embedding_type != "absolute":
            self.distance_embedding = nn.Embedding(
                2 * config.max_position_embeddings - 1, self.head_size, device="meta"
            )

    def forward(self, x: Tensor, run: Run, layer: int) -> Tensor:
        """[T, H] -> [T, A * D]."""
        layout = run.cross if self.cross else run.layout
        assert layout is not None
        heads = (-1, self.head_size)
        q = self.query(x).unflatten(-1, heads)
        if self.cross or run.cache is not None or run.keeps_cache:
            k, v = self.keys_and_values(x, run, layer)
        else:
            k, v = self.key(x).unflatten(-1, heads), self.value(x).unflatten(-1, heads)
        bias = None if self.position_embedding_type == "absolute" else self.distance_bias(q, k, layout)
        context = run.attend(q, k, v, layout, bias, self.attention_dropout if self.training else 0.0)
        of_heads = None if run.head_mask is None else run.head_mask[layer, self.heads][:, None]  # [A, 1]
        if of_heads is not None:
            context = context * of_heads
        if layer in run.weights_of:
            weights = attention_weights(q, k, layout, bias)
            weights = weights if of_heads is None else weights * of_heads[..., None]
            (run.cross_weights if self.cross else run.weights)[layer] = layout.returned_weights(weights)[0]
        return context.flatten(-2)

    def keys_and_values(self, x: Tensor, run: Run, layer: int) -> tuple[Tensor, Tensor]:
        """[B, S, A, D] each: of the tokens, with those in the cache before them, or of the encoder's states."""
        past = run.cache[layer][2 * self.cross :] if run.cache else ()
        if self.cross and past:  # the encoder's states stay the same from step to step
            k, v = past[0].transpose(1, 2), past[1].transpose(1, 2)
        else:
            source = run.encoder_states if self.cross else x
            assert source is not None
            k, v = self.key(source), self.value(source)
            k, v = k.unflatten(-1, (-1, self.head_size)), v.unflatten(-1, (-1, self.head_size))
            k, v = joined(past[0] if past else None, k), joined(past[1] if past else None, v)
        if run.keeps_cache:
            run.new_cache[layer] += (k.transpose(1, 2), v.transpose(1, 2))
        return k, v

    def distance_bias(self, q: Tensor, k: Tensor, layout: Layout) -> Tensor:
        """[B, A, L, S], what the distance of two tokens adds to their score."""
        q, k = layout.to_grid(q), layout.to_grid(k)
        length, source = q.shape[1], k.shape[1]
        asks = torch.arange(source - length, source, device=q.device)
        distance = asks[:, None] - torch.arange(source, device=q.device)
        embedded = self.distance_embedding(distance + self.distance_embedding.num_embeddings // 2)  # [L, S, D]
        bias = torch.einsum("blad,lsd->bals", q, embedded)
        if self.position_embedding_type == "relative_key_query":
            bias = bias + torch.einsum("bsad,lsd->bals", k, embedded)
        return bias / math.sqrt(self.head_size)


class BertResidual(nn.Module):
    """The end of either half of a layer: a dense part, added to what went into the half, and normed."""

    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, device="meta")
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """[T, inputs] and [T, H] -> [T, H]."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class BertAttention(nn.Module):
    """The first half of a layer."""

    def __init__(self, config: BertConfig, layer: int, cross: bool = False) -> None:
        super().__init__()
        self.self = BertSelfAttention(config, layer, cross)
        self.output = BertResidual(self.self.query.out_features, config)

    def forward(self, x: Tensor, run: Run, layer: int, wanted: Tensor | None = None) -> Tensor:
        """[T, H] -> [T, H], or [K, H] of the tokens that are wanted."""
        context = self.self(x, run, layer)
        if wanted is not None:
            context, x = context.flatten(0, -2)[wanted], x.flatten(0, -2)[wanted]
        return self.output(context, x)


CACHED = 2048
"""Tokens whose wide states stay in a processor's cache. It counts for batches of twice as many and more."""


class BertLayer(nn.Module):
    """Attention, in a decoder with an encoder attention to that, and a feed-forward part."""

    def __init__(self, config: BertConfig, layer: int) -> None:
        super().__init__()
        self.attention = BertAttention(config, layer)
        if config.add_cross_attention:
            self.crossattention = BertAttention(config, layer, cross=True)
        wide = linear(config.hidden_size, config.intermediate_size)
        self.intermediate = nn.Sequential(OrderedDict(dense=wide, activation=ACTIVATION[config.hidden_act]()))
        self.output = BertResidual(config.intermediate_size, config)
        self.chunk = config.chunk_size_feed_forward

    def forward(self, x: Tensor, run: Run, layer: int, wanted: Tensor | None = None) -> Tensor:
        """[T, H] -> [T, H], or [K, H] of the tokens that are wanted."""
        x = self.attention(x, run, layer, wanted)
        if run.cross is not None:
            x = self.crossattention(x, run, layer)
        followed = torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
        size, tokens = self.chunk, x.numel() // x.shape[-1]
        if not (size or followed) and x.device.type == "cpu":
            size = math.ceil(tokens / max(1, tokens // CACHED))
        if not 0 < size < tokens:
            return self.output(self.intermediate(x), x)
        parts = x.flatten(0, -2).split(size)
        return torch.cat([self.output(self.intermediate(part), part) for part in parts]).view(x.shape)


class BertEncoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([BertLayer(config, i) for i in range(config.num_hidden_layers)])
        self.computed_again = 0  # every how many layers gradient checkpointing takes one; 0: none

    def forward(self, x: Tensor, run: Run) -> Tensor:
        """[T, H] -> [T, H], or [K, H] of the tokens that are wanted: most of the last layer is for them alone."""
        alone = run.wanted if run.states is None and run.cross is None else None
        for i, layer in enumerate(self.layer):
            if run.states is not None:
                run.states.append(x)
            again = self.training and self.computed_again and i % self.computed_again == 0
            wanted = alone if i == len(self.layer) - 1 else None
            x = checkpoint(layer, x, run, i, wanted, use_reentrant=False) if again else layer(x, run, i, wanted)
        if run.states is not None:
            run.states.append(x)
        return x if run.wanted is None or alone is not None else x.flatten(0, -2)[run.wanted]


class BertPooler(nn.Module):
    """The first token of a sequence, [CLS], stands for the whole."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = linear(config.hidden_size, config.hidden_size)

    def forward(self, first: Tensor) -> Tensor:
        """[B, H] -> [B, H]."""
        return torch.tanh(self.dense(first))


# ----------------------------------------------------------------------------------------------------------------- BertModel


class BertModel(BertPreTrainedModel):
    """BERT without a head: the states of all tokens, and the pooled first one.

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
        input_ids: Tensor | Inputs | None = None,
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
        *,
        lengths: Sequence[int] | Tensor | None = None,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions | States | tuple[object, ...]:
        """The states of the tokens. Those of padding are zero.

        input_ids, token_type_ids, position_ids: [B, L]. inputs_embeds: [B, L, H] in place of input_ids.
        attention_mask: [B, L], 1 at real tokens and 0 at padding, wherever that is; or [B, L, L] or [B, 1, L, L], for each
        position where it may look; or either as it is added to scores, 0 and torch.finfo(dtype).min.
        head_mask: [A] or [layers, A], a factor for the result of each head.
        encoder_hidden_states [B, S, H], encoder_attention_mask [B, S]: for a decoder with cross-attention.
        past_key_values, use_cache: what a decoder computed before, and whether it returns it.
        output_attentions: True, or the numbers of the layers whose attention weights are wanted.
        lengths: of the sequences, where the tokens are packed: input_ids [T] then, and states come back as [T, H].

        Heads give Inputs, which are arranged already, as input_ids, and take States.
        """
        config = self.config
        if isinstance(input_ids, Inputs):
            inputs, cache, keeps_cache = input_ids, past_key_values, bool(use_cache)
        else:
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
        except IndexError as error:  # on a GPU it is a failed assertion of the device
            raise UsageError(self._beyond(inputs)) from error
        x = layout.pack(x)
        run = self._run(
            inputs, x, head_mask, cache, keeps_cache, output_attentions, encoder_hidden_states, encoder_attention_mask
        )
        if config.output_hidden_states if output_hidden_states is None else output_hidden_states:
            run.states = []
        x, pooled = self.encoder(x, run), None
        if self.pooler is not None:
            kept = inputs.wanted
            x, first = (x, x.flatten(0, -2)[layout.firsts]) if kept is None else (x[: len(kept)], x[len(kept) :])
            pooled = self.pooler(first)
            pooled = layout.unpack_rows(pooled) if layout.hollow else pooled
        states = States(
            x,
            pooled,
            Cache(run.new_cache) if keeps_cache else None,
            None if run.states is None else tuple([layout.unpack(state) for state in run.states]),
            tuple(run.weights) if run.weights_of else None,
            tuple(run.cross_weights) if run.weights_of and run.cross else None,
        )
        if inputs is input_ids:
            return states
        output = BaseModelOutputWithPoolingAndCrossAttentions(
            states._replace(last_hidden_state=layout.unpack(x))._asdict()
        )
        return output if (config.return_dict if return_dict is None else return_dict) else output.to_tuple()

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
    ) -> tuple[Inputs, Cache | None, bool]:
        """The tokens in their layout, the cache before them, and whether to return one: decoders do, where no loss is asked for.

        labels: the words themselves, each of which is told from the tokens before it.
        """
        config = self.config
        if use_cache is None:
            use_cache = config.use_cache and not self.training and lengths is None and labels is None
        keeps_cache = use_cache and config.is_decoder
        if lengths is not None and (keeps_cache or past_key_values is not None):
            raise UsageError("A cache is of a rectangle: leave out lengths, and give attention_mask for padding.")
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

    def _run(
        self,
        inputs: Inputs,
        x: Tensor,
        head_mask: Tensor | None,
        cache: Sequence[LayerCache] | None,
        keeps_cache: bool,
        output_attentions: bool | Sequence[int] | None,
        encoder_states: Tensor | None,
        encoder_mask: Tensor | None,
    ) -> Run:
        config, layers, layout = self.config, len(self.encoder.layer), inputs.layout
        asked = config.output_attentions if output_attentions is None else output_attentions
        try:
            weights_of = set(range(layers if asked else 0) if isinstance(asked, bool) else map(operator.index, asked))
        except TypeError as error:
            raise UsageError(
                f"output_attentions is {asked!r}, and must be True, False, or numbers of layers such as [0, {layers - 1}]."
            ) from error
        if not weights_of <= set(range(layers)):
            raise UsageError(
                f"output_attentions={asked!r} asks for a layer that is not there: they are 0 to {layers - 1}."
            )
        shape = (layers, config.num_attention_heads)
        if head_mask is not None and tuple(getattr(head_mask, "shape", ())) not in (shape, shape[1:]):
            came = f"the shape {list(head_mask.shape)}" if isinstance(head_mask, Tensor) else repr(head_mask)
            raise UsageError(f"head_mask has {came:.80}, and needs {list(shape[1:])} or {list(shape)}, in a tensor.")
        cross = None if encoder_states is None else self._cross(layout, encoder_states, encoder_mask)
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        dropout = config.attention_probs_dropout_prob if self.training else 0.0
        biased = config.position_embedding_type != "absolute"
        attend = fastest(layout, cross, config._attn_implementation_internal != "eager", kind, dtype, dropout, biased)
        wanted = inputs.wanted
        if wanted is not None and self.pooler is not None:  # the pooler takes the first of each row besides
            wanted = torch.cat([wanted, layout.firsts])
        return Run(
            layout,
            attend,
            None if head_mask is None else head_mask.to(x.dtype).expand(layers, -1),
            weights_of,
            cache,
            encoder_states,
            cross,
            keeps_cache,
            wanted,
            weights=[None] * layers,
            cross_weights=[None] * layers,
            new_cache=[()] * layers,
        )

    def _beyond(self, inputs: Inputs) -> str:
        """What is said of an id, a token type or a position that the model does not have."""
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
                    f"{int(ids.max()) if int(ids.min()) >= 0 else int(ids.min())} is none of the {size} {sentence}."
                )
        return " ".join(sentences)

    def _cross(self, layout: Layout, states: Tensor, mask: Tensor | None) -> Rectangle:
        """How the tokens of a decoder look at an encoder's states, [B, S, H]. mask: [B, S]."""
        if not self.config.add_cross_attention:
            raise UsageError(
                "encoder_hidden_states are for a decoder: make the model with BertConfig(is_decoder=True, "
                "add_cross_attention=True)."
            )
        if isinstance(layout, Packed):
            raise UsageError(
                "Cross-attention takes a rectangle: leave out lengths, and give attention_mask for padding."
            )
        wanted = (layout.grid[0], self.config.hidden_size)
        if not isinstance(states, Tensor) or states.dim() != 3 or (states.shape[0], states.shape[2]) != wanted:
            came = list(states.shape) if isinstance(states, Tensor) else type(states).__name__
            raise UsageError(
                f"encoder_hidden_states are {came}, and must be a tensor [{wanted[0]}, length, {wanted[1]}]."
            )
        if mask is None:
            return Rectangle(layout.grid, layout.device, layout.real)
        if not isinstance(mask, Tensor) or mask.shape != states.shape[:2]:
            came = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise UsageError(
                f"encoder_attention_mask is {came}, and must be a tensor {list(states.shape[:2])}, as its states are."
            )
        real = layout.real
        if real is None:
            real = torch.ones(layout.grid, dtype=torch.bool, device=layout.device)
        return Rectangle.masked(layout.grid, (plain_mask(mask) != 0)[:, None, None], real)
