"""BERT: embeddings, layers, pooler, TFBertMainLayer and TFBertModel, from small parts to large.

The parts are those of models/torch/model.py, in the same order, with keras.ops. Layers are nested as the names of the variables
say (bert/encoder/layer_._3/attention/self/query/kernel). A batch is always a rectangle: see inputs.py.

    H hidden   I intermediate   A heads   D width of a head   B batch   L length   S positions that are attended to
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.models.keras.inputs import Arranged, Rectangle, Tensor, arrange, is_symbolic, plain_mask, unpack_inputs
from bertkit.models.keras.pretrained import BertInitializer, TFBertPreTrainedModel
from bertkit.outputs import BaseModelOutputWithPoolingAndCrossAttentions
from bertkit.parameters import kept_heads

ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functools.partial(ops.gelu, approximate=False),
    "gelu_new": functools.partial(ops.gelu, approximate=True),
    "gelu_pytorch_tanh": functools.partial(ops.gelu, approximate=True),
    "relu": ops.relu,
    "silu": ops.silu,
    "swish": ops.silu,
    "tanh": ops.tanh,
}

LayerCache: TypeAlias = tuple[Tensor, ...]
"""Keys and values [B, A, S, D] of the tokens, and in cross-attention also those of the encoder's states."""


class Part(keras.layers.Layer):
    """A layer that can be built before its first call, as its sublayers know their input sizes."""

    input_size: int | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._allow_non_tensor_positional_args = True  # LayerCall and EncoderCall

    def build(self, input_shape: Any = None) -> None:
        """Build the sublayers."""
        for part in self._flatten_layers(include_self=False, recursive=False):
            part.build((None, getattr(part, "input_size", None)))


def dense(config: BertConfig, inputs: int, outputs: int, name: str, use_bias: bool = True) -> Any:
    """keras.layers.Dense with its input size."""
    layer = keras.layers.Dense(outputs, use_bias=use_bias, kernel_initializer=BertInitializer(config), name=name)
    layer.input_size = inputs
    return layer


def embedding(config: BertConfig, rows: int, width: int, name: str, padding: int | None = None) -> Any:
    """keras.layers.Embedding. padding: the number of a row that is initialized to zeros."""
    return keras.layers.Embedding(rows, width, embeddings_initializer=BertInitializer(config, padding), name=name)


def norm(config: BertConfig) -> Any:
    """keras.layers.LayerNormalization with its input size."""
    layer = keras.layers.LayerNormalization(epsilon=config.layer_norm_eps, name="LayerNorm")
    layer.input_size = config.hidden_size
    return layer


class States(NamedTuple):
    """What TFBertMainLayer returns to a head: last states [B, L, H], and pooled vectors [B, H]."""

    last_hidden_state: Tensor
    pooler_output: Tensor | None
    past_key_values: tuple[LayerCache, ...] | None
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor | None, ...] | None
    cross_attentions: tuple[Tensor | None, ...] | None


@dataclass
class LayerCall:
    """How the tokens of a layer attend, and what the layer returns besides its states."""

    layout: Rectangle
    factors: Tensor | None = None  # [A], for the result of each head
    returns_weights: bool = False  # of attention
    past: LayerCache = ()
    kept: list[Tensor] | None = None  # collects keys and values for the next step; None: they are not kept
    encoder_states: Tensor | None = None  # [B, S, H]
    cross: Rectangle | None = None  # how tokens attend to them


@dataclass
class EncoderCall:
    """The calls of all layers, and what the encoder returns besides its last states."""

    layers: Sequence[LayerCall]
    layout: Rectangle
    keeps_states: bool  # whether the states after each layer are returned


# ---------------------------------------------------------------------------------------------------------------- embeddings


class BertEmbeddings(Part):
    """The sum of word, token type and position embeddings, normalized."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.config = config
        self.word_embeddings = embedding(
            config, config.vocab_size, config.hidden_size, "word_embeddings", padding=config.pad_token_id
        )
        self.position_embeddings = embedding(
            config, config.max_position_embeddings, config.hidden_size, "position_embeddings"
        )
        self.token_type_embeddings = embedding(
            config, config.type_vocab_size, config.hidden_size, "token_type_embeddings"
        )
        self.LayerNorm = norm(config)
        self.dropout = keras.layers.Dropout(config.hidden_dropout_prob)
        self.absolute = config.position_embedding_type == "absolute"

    def call(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """[B, L] ids -> [B, L, H]."""
        if inputs_embeds is None:
            words = self.word_embeddings
            inputs_embeds = words(self._checked(input_ids, "input_ids", words.input_dim))
        width, types = self.config.hidden_size, self.token_type_embeddings
        if inputs_embeds.shape[-1] != width:
            raise UsageError(
                f"The last side of inputs_embeds is {inputs_embeds.shape[-1]}, and must be hidden_size, {width}."
            )
        if token_type_ids is None:
            token_type_ids = ops.zeros((1, 1), dtype="int32")
        x = ops.cast(inputs_embeds, self.compute_dtype)
        x = x + types(self._checked(token_type_ids, "token_type_ids", types.input_dim))
        if self.absolute:
            size = self.config.max_position_embeddings
            x = x + self.position_embeddings(self._checked(position_ids, "position_ids", size))
        return self.dropout(self.LayerNorm(x))

    def _checked(self, ids: Tensor, name: str, size: int) -> Tensor:
        """The same ids. Raises UsageError for invalid ids. In a graph only the length of position_ids is checked."""
        low, end = 0, (ids.shape[-1] or 0) if name == "position_ids" and is_symbolic(ids) else 0
        if not is_symbolic(ids) and 0 not in ids.shape:
            low, end = int(ops.min(ids)), int(ops.max(ids)) + 1
        if low < 0 or end > size:
            raise UsageError(f"{name} are {low} to {end - 1}, and must be 0 to {size - 1}. {_ADVICE[name]}")
        return ids


_ADVICE = {
    "input_ids": "After tokenizer.add_tokens type model.resize_token_embeddings(len(tokenizer)).",
    "token_type_ids": "They are the numbers of the sentences, from 0.",
    "position_ids": "Shorten the text: tokenizer(..., truncation=True).",
}
"""Advice for ids that the model does not have."""


# -------------------------------------------------------------------------------------------------------------------- layers


class BertSelfAttention(Part):
    """Each token attends to the tokens of its sequence, or to the states of an encoder."""

    def __init__(self, config: BertConfig, layer: int, cross: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.head_size = config.hidden_size // config.num_attention_heads
        self.cross = cross
        pruned = not cross and layer in config.pruned_heads
        self.heads = tuple(kept_heads(config, layer) if pruned else range(config.num_attention_heads))
        width = len(self.heads) * self.head_size
        self.query = dense(config, config.hidden_size, width, "query")
        self.key = dense(config, config.hidden_size, width, "key")
        self.value = dense(config, config.hidden_size, width, "value")
        self.dropout = keras.layers.Dropout(config.attention_probs_dropout_prob)
        self.position_embedding_type = "absolute" if cross else config.position_embedding_type
        if self.position_embedding_type != "absolute":
            self.distance_embedding = embedding(
                config, 2 * config.max_position_embeddings - 1, self.head_size, "distance_embedding"
            )

    def call(self, x: Tensor, call: LayerCall) -> tuple[Tensor, Tensor | None]:
        """[B, L, H] -> [B, L, A * D], and the weights if they are requested."""
        layout = call.cross if self.cross else call.layout
        assert layout is not None
        q = self.by_head(self.query(x))
        k, v = self.keys_and_values(x, call)
        bias = None if self.position_embedding_type == "absolute" else self.distance_bias(q, k)
        weights = attention_weights(q, k, layout, bias)
        context = ops.matmul(self.dropout(weights), v)  # [B, A, L, D]
        if call.factors is not None:
            factors = ops.take(call.factors, list(self.heads), axis=0)[:, None, None]  # [A, 1, 1]
            weights, context = weights * factors, context * factors
        context = ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (*layout.grid, len(self.heads) * self.head_size))
        return context, layout.returned_weights(weights) if call.returns_weights else None

    def by_head(self, x: Tensor) -> Tensor:
        """[B, S, A * D] -> [B, A, S, D]."""
        rows, length = ops.shape(x)[:2]
        return ops.transpose(ops.reshape(x, (rows, length, len(self.heads), self.head_size)), (0, 2, 1, 3))

    def keys_and_values(self, x: Tensor, call: LayerCall) -> tuple[Tensor, Tensor]:
        """Keys and values [B, A, S, D]: of the cache and the tokens, or of the encoder's states."""
        past = call.past[2 * self.cross :]
        if self.cross and past:  # the encoder's states stay the same from step to step
            k, v = past[0], past[1]
        else:
            source = call.encoder_states if self.cross else x
            k, v = self.by_head(self.key(source)), self.by_head(self.value(source))
            if past:
                k, v = ops.concatenate([past[0], k], axis=2), ops.concatenate([past[1], v], axis=2)
        if call.kept is not None:
            call.kept += (k, v)
        return k, v

    def distance_bias(self, q: Tensor, k: Tensor) -> Tensor:
        """What the distance of two tokens adds to their score, [B, A, L, S]."""
        length, source = ops.shape(q)[2], ops.shape(k)[2]
        places = ops.arange(source - length, source, dtype="int32")
        distance = places[:, None] - ops.arange(source, dtype="int32")
        embedded = self.distance_embedding(distance + self.distance_embedding.input_dim // 2)  # [L, S, D]
        bias = ops.einsum("bald,lsd->bals", q, embedded)
        if self.position_embedding_type == "relative_key_query":
            bias = bias + ops.einsum("basd,lsd->bals", k, embedded)
        return bias / math.sqrt(self.head_size)


def attention_weights(q: Tensor, k: Tensor, layout: Rectangle, bias: Tensor | None) -> Tensor:
    """[B, A, L, S], how much each position attends to each. q: [B, A, L, D], k: [B, A, S, D]."""
    scores = ops.matmul(q / math.sqrt(q.shape[-1]), ops.transpose(k, (0, 1, 3, 2)))
    scores = ops.cast(scores, "float32")
    if bias is not None:
        scores = scores + ops.cast(bias, "float32")
    if layout.mask is not None:
        # Half of the lowest number hides a position, and makes no NaN where all are hidden. It is added, not written over the
        # scores: gradients flow where all are hidden.
        scores = scores + ops.where(layout.mask, 0.0, -1.7e38)
    # Keras warns about a softmax over one number.
    weights = ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
    return ops.cast(weights, q.dtype)


class BertResidual(Part):
    """The end of each half of a layer: a dense layer, a residual connection and a norm."""

    def __init__(self, inputs: int, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.dense = dense(config, inputs, config.hidden_size, "dense")
        self.LayerNorm = norm(config)
        self.dropout = keras.layers.Dropout(config.hidden_dropout_prob)

    def call(self, x: Tensor, residual: Tensor) -> Tensor:
        """[B, L, inputs] and [B, L, H] -> [B, L, H]."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class BertAttention(Part):
    """The first half of a layer: attention and its output."""

    def __init__(self, config: BertConfig, layer: int, cross: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.self = BertSelfAttention(config, layer, cross, name="self")
        self.output_ = BertResidual(self.self.query.units, config, name="output")

    def call(self, x: Tensor, call: LayerCall) -> tuple[Tensor, Tensor | None]:
        """[B, L, H] -> [B, L, H], and the weights."""
        context, weights = self.self(x, call)
        return self.output_(context, x), weights


class BertIntermediate(Part):
    """The first dense layer of the feed-forward part, and its activation."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.dense = dense(config, config.hidden_size, config.intermediate_size, "dense")
        self.activation = ACTIVATION[config.hidden_act]

    def call(self, x: Tensor) -> Tensor:
        """[B, L, H] -> [B, L, I]."""
        return self.activation(self.dense(x))


class BertLayer(Part):
    """Attention, in a decoder with an encoder also cross-attention, and a feed-forward part."""

    def __init__(self, config: BertConfig, layer: int, **options: Any) -> None:
        super().__init__(**options)
        self.attention = BertAttention(config, layer, name="attention")
        if config.add_cross_attention:
            self.crossattention = BertAttention(config, layer, cross=True, name="crossattention")
        self.intermediate = BertIntermediate(config, name="intermediate")
        self.output_ = BertResidual(config.intermediate_size, config, name="output")

    def call(self, x: Tensor, call: LayerCall) -> tuple[Any, ...]:
        """[B, L, H] -> [B, L, H], and the weights of each attention, or None."""
        x, *weights = self.attention(x, call)
        if call.cross is not None:
            x, of_encoder = self.crossattention(x, call)
            weights.append(of_encoder)
        return (self.output_(self.intermediate(x), x), *weights)


class BertEncoder(Part):
    """The layers, one after the other."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.layer = [BertLayer(config, i, name=f"layer_._{i}") for i in range(config.num_hidden_layers)]

    def call(self, x: Tensor, run: EncoderCall) -> States:
        """[B, L, H] -> States, without pooled vectors."""
        states, weights, of_encoder = [], [], []
        for layer, call in zip(self.layer, run.layers, strict=True):
            if run.keeps_states:
                states.append(run.layout.unpack(x))
            x, *found = layer(x, call)
            weights.append(found[0])
            of_encoder += found[1:]
        if run.keeps_states:
            states.append(run.layout.unpack(x))
        returns_weights = any(call.returns_weights for call in run.layers)
        return States(
            x,
            None,
            None if run.layers[0].kept is None else tuple([tuple(call.kept or ()) for call in run.layers]),
            tuple(states) if run.keeps_states else None,
            tuple(weights) if returns_weights else None,
            tuple(of_encoder) if returns_weights and of_encoder else None,
        )


class BertPooler(Part):
    """A dense layer and tanh over the first token of each sequence, [CLS]."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.dense = dense(config, config.hidden_size, config.hidden_size, "dense")

    def call(self, first: Tensor) -> Tensor:
        """First tokens [B, H] -> [B, H]."""
        return ops.tanh(self.dense(first))


# --------------------------------------------------------------------------------------------------- TFBertMainLayer, TFBertModel


@keras.saving.register_keras_serializable("bertkit")
class TFBertMainLayer(Part):
    """BERT without a head, as a layer: the `bert` of each class, and of your own models."""

    def __init__(self, config: BertConfig | dict[str, Any], add_pooling_layer: bool = True, **options: Any) -> None:
        super().__init__(**{"name": "bert", **options})
        config = config if isinstance(config, BertConfig) else BertConfig.from_dict(config)
        self.config, self.add_pooling_layer = config, add_pooling_layer
        self.embeddings = BertEmbeddings(config, name="embeddings")
        self.encoder = BertEncoder(config, name="encoder")
        self.pooler = BertPooler(config, name="pooler") if add_pooling_layer else None

    def get_config(self) -> dict[str, Any]:
        """The arguments with which Keras creates a saved layer again."""
        own = {"config": self.config.to_dict(), "add_pooling_layer": self.add_pooling_layer}
        return {**super().get_config(), **own}

    @unpack_inputs
    def call(
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
        training: bool | None = None,
        arranged: Arranged | None = None,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions | States | tuple[Any, ...]:
        """Compute the states of the tokens. Those of padding are zero.

        The other arguments are those of the PyTorch class BertModel.
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
                past_key_values,
                use_cache,
                training,
            )
        layout = inputs.layout
        x = self.embeddings(inputs.input_ids, inputs.token_type_ids, inputs.position_ids, inputs.inputs_embeds)
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
        x = states.last_hidden_state
        if self.pooler is not None:
            states = states._replace(pooler_output=layout.unpack_rows(self.pooler(layout.first(x))))
        if arranged is not None:
            return states
        states = states._replace(last_hidden_state=layout.unpack(x))
        output = BaseModelOutputWithPoolingAndCrossAttentions(states._asdict())
        return output if (config.return_dict if return_dict is None else return_dict) else output.to_tuple()

    def arrange_steps(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        past_key_values: Sequence[LayerCache] | None,
        use_cache: bool | None,
        training: bool | None,
        labels: Tensor | None = None,
    ) -> tuple[Arranged, Sequence[LayerCache] | None, bool]:
        """The arranged tokens, the cache before them, and whether to return a cache: decoders do unless there are labels."""
        config = self.config
        if use_cache is None:
            use_cache = config.use_cache and not training and labels is None
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            causal=config.is_decoder,
            past=ops.shape(past_key_values[0][0])[2] if past_key_values else 0,
        )
        return inputs, past_key_values, bool(use_cache and config.is_decoder)

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
        if head_mask is not None:
            head_mask, shape = ops.convert_to_tensor(head_mask, x.dtype), (layers, config.num_attention_heads)
            if tuple(head_mask.shape) not in (shape, shape[1:]):
                raise UsageError(
                    f"head_mask has the shape {list(head_mask.shape)}, and must be {list(shape[1:])} or {list(shape)}."
                )
            head_mask = ops.broadcast_to(head_mask, shape)
        cross = None
        if encoder_states is not None:
            cross = self._cross(layout, encoder_states, encoder_mask)
            encoder_states = ops.convert_to_tensor(encoder_states, x.dtype)
        calls = [
            LayerCall(
                layout,
                None if head_mask is None else head_mask[i],
                i in weights_of or i - layers in weights_of,
                cache[i] if cache else (),
                [] if keeps_cache else None,
                encoder_states,
                cross,
            )
            for i in range(layers)
        ]
        return EncoderCall(calls, layout, keeps_states)

    def _cross(self, layout: Rectangle, states: Tensor, mask: Tensor | None) -> Rectangle:
        """How the tokens of a decoder attend to an encoder's states [B, S, H]. mask: [B, S]."""
        if not self.config.add_cross_attention:
            raise UsageError(
                "encoder_hidden_states require a decoder: make the model with BertConfig(is_decoder=True, "
                "add_cross_attention=True)."
            )
        width = self.config.hidden_size
        if len(states.shape) != 3 or states.shape[2] != width:
            raise UsageError(f"encoder_hidden_states are {list(states.shape)}, and must be [batch, length, {width}].")
        if mask is None:
            return Rectangle(layout.grid, layout.real)
        mask = plain_mask(ops.convert_to_tensor(mask))
        if len(mask.shape) != 2:
            raise UsageError(
                f"encoder_attention_mask is {list(mask.shape)}, and must be [batch, length] of encoder_hidden_states."
            )
        return Rectangle(layout.grid, layout.real, mask[:, None, None])


class TFBertModel(TFBertPreTrainedModel):
    """BERT without a head: the states of all tokens, and the pooled first token.

    >>> import numpy as np
    >>> from bertkit import BertConfig, TFBertModel
    >>> model = TFBertModel(BertConfig.named("tiny"))
    >>> output = model(np.array([[101, 7592, 102]]))
    >>> tuple(output.last_hidden_state.shape), tuple(output.pooler_output.shape)
    ((1, 3, 128), (1, 128))
    """

    _head = "Model"

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, add_pooling_layer, name="bert")
        self.post_init()

    @unpack_inputs
    def call(
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
        training: bool | None = None,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions | tuple[Any, ...]:
        """Compute the states of the tokens, as TFBertMainLayer does. Those of padding are zero."""
        return self.bert(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
            training=training,
        )

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"last_hidden_state": x} if pooled is None else {"last_hidden_state": x, "pooler_output": pooled}
