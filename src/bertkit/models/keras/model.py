"""BERT: embeddings, layers, pooler, TFBertMainLayer around them, and TFBertModel. Read from top to bottom, small parts to large.

The parts are those of models/torch/model.py in their order, on keras.ops. Layers are nested and named as the table's names in
Keras's spelling say (bert/encoder/layer_._3/attention/self/query/kernel). A batch is a rectangle: see inputs.py.

    H hidden   I intermediate   A heads   D width of a head   B batch   L length   S positions that are looked at
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.models.keras.inputs import Inputs, Rectangle, Tensor, arrange, is_symbolic, plain_mask, unpacked
from bertkit.models.keras.pretrained import Drawn, TFBertPreTrainedModel
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
"""Keys and values [B, A, S, D] of the tokens, and where there is cross-attention those of the encoder's states."""


class Part(keras.layers.Layer):
    """A layer whose parts are built with it."""

    takes: int | None = None  # the width that is built for, where it matters

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._allow_non_tensor_positional_args = True  # Inputs and Run

    def build(self, input_shape: Any = None) -> None:
        """Build the parts. What they take, they know."""
        for part in self._flatten_layers(include_self=False, recursive=False):
            part.build((None, getattr(part, "takes", None)))


def dense(config: BertConfig, inputs: int, outputs: int, name: str, use_bias: bool = True) -> Any:
    """A dense layer that knows what it takes."""
    layer = keras.layers.Dense(outputs, use_bias=use_bias, kernel_initializer=Drawn(config), name=name)
    layer.takes = inputs
    return layer


def embedding(config: BertConfig, rows: int, width: int, name: str, padding: int | None = None) -> Any:
    """A table of vectors. padding: a row that begins at zero."""
    return keras.layers.Embedding(rows, width, embeddings_initializer=Drawn(config, padding), name=name)


def norm(config: BertConfig) -> Any:
    """LayerNorm, as the configuration has it."""
    layer = keras.layers.LayerNormalization(epsilon=config.layer_norm_eps, name="LayerNorm")
    layer.takes = config.hidden_size
    return layer


class States(NamedTuple):
    """What TFBertMainLayer gives to a head: last states [B, L, H], and pooled vectors [B, H]."""

    last_hidden_state: Tensor
    pooler_output: Tensor | None
    past_key_values: tuple[LayerCache, ...] | None
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor | None, ...] | None
    cross_attentions: tuple[Tensor | None, ...] | None


@dataclass
class Run:
    """What a forward has besides its tokens: the same for every layer, and what is gathered on the way."""

    layout: Rectangle
    head_mask: Tensor | None  # [layers, A]
    weights_of: Collection[int]  # the layers whose attention weights are wanted
    cache: Sequence[LayerCache] | None
    encoder_states: Tensor | None  # [B, S, H]
    cross: Rectangle | None  # how tokens look at them
    keeps_cache: bool
    states: list[Tensor] | None = None
    weights: list[Tensor | None] = field(default_factory=list)
    cross_weights: list[Tensor | None] = field(default_factory=list)
    new_cache: list[LayerCache] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------------------------- embeddings


class BertEmbeddings(Part):
    """Words, token types and positions, summed and normed."""

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

    def call(self, inputs: Inputs) -> Tensor:
        """[B, L] ids -> [B, L, H]."""
        embeds, types = inputs.inputs_embeds, inputs.token_type_ids
        if embeds is None:
            embeds = self.word_embeddings(self._within(inputs.input_ids, "input_ids", self.word_embeddings.input_dim))
        width = self.config.hidden_size
        if embeds.shape[-1] != width:
            raise UsageError(
                f"inputs_embeds are {embeds.shape[-1]} wide, and must be [batch, length, {width}], as hidden_size is."
            )
        of_types = self.token_type_embeddings
        if types is None:
            types = ops.zeros((1, 1), dtype="int32")
        x = ops.cast(embeds, self.compute_dtype)
        x = x + of_types(self._within(types, "token_type_ids", of_types.input_dim))
        if self.absolute:
            most = self.config.max_position_embeddings
            x = x + self.position_embeddings(self._within(inputs.position_ids, "position_ids", most))
        return self.dropout(self.LayerNorm(x))

    def _within(self, ids: Tensor, name: str, size: int) -> Tensor:
        """The same ids. Those that the model does not have are refused, where their numbers are known."""
        most = ids.shape[-1] or 0 if name == "position_ids" and is_symbolic(ids) else 0
        low = 0
        if not is_symbolic(ids) and 0 not in ids.shape:
            low, most = int(ops.min(ids)), int(ops.max(ids)) + 1
        if low < 0 or most > size:
            raise UsageError(f"{name} go from {low} to {most - 1}, and the model has 0 to {size - 1}. {_BEYOND[name]}")
        return ids


_BEYOND = {
    "input_ids": "After tokenizer.add_tokens type model.resize_token_embeddings(len(tokenizer)).",
    "token_type_ids": "They are the numbers of the sentences, from 0.",
    "position_ids": "Shorten the text: tokenizer(..., truncation=True).",
}
"""What helps against ids that the model does not have."""


# -------------------------------------------------------------------------------------------------------------------- layers


class BertSelfAttention(Part):
    """Every token looks at the tokens of its sequence, or at the states of an encoder."""

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

    def call(self, x: Tensor, run: Run, layer: int) -> Tensor:
        """[B, L, H] -> [B, L, A * D]."""
        layout = run.cross if self.cross else run.layout
        assert layout is not None
        q = self.by_head(self.query(x))
        k, v = self.keys_and_values(x, run, layer)
        bias = None if self.position_embedding_type == "absolute" else self.distance_bias(q, k)
        weights = attention_weights(q, k, layout, bias)
        context = ops.matmul(self.dropout(weights), v)  # [B, A, L, D]
        of_heads = None
        if run.head_mask is not None:
            of_heads = ops.take(run.head_mask[layer], list(self.heads), axis=0)[:, None, None]  # [A, 1, 1]
            context = context * of_heads
        if layer in run.weights_of:
            weights = weights if of_heads is None else weights * of_heads
            (run.cross_weights if self.cross else run.weights)[layer] = layout.weights(weights)
        return ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (*run.layout.grid, len(self.heads) * self.head_size))

    def by_head(self, x: Tensor) -> Tensor:
        """[B, S, A * D] -> [B, A, S, D]."""
        rows, length = ops.shape(x)[:2]
        return ops.transpose(ops.reshape(x, (rows, length, len(self.heads), self.head_size)), (0, 2, 1, 3))

    def keys_and_values(self, x: Tensor, run: Run, layer: int) -> tuple[Tensor, Tensor]:
        """[B, A, S, D] each: of the tokens, with those in the cache before them, or of the encoder's states."""
        past = run.cache[layer][2 * self.cross :] if run.cache else ()
        if self.cross and past:  # the encoder's states stay the same from step to step
            k, v = past[0], past[1]
        else:
            source = run.encoder_states if self.cross else x
            k, v = self.by_head(self.key(source)), self.by_head(self.value(source))
            if past:
                k, v = ops.concatenate([past[0], k], axis=2), ops.concatenate([past[1], v], axis=2)
        if run.keeps_cache:
            run.new_cache[layer] += (k, v)
        return k, v

    def distance_bias(self, q: Tensor, k: Tensor) -> Tensor:
        """[B, A, L, S], what the distance of two tokens adds to their score."""
        length, source = ops.shape(q)[2], ops.shape(k)[2]
        asks = ops.arange(source - length, source, dtype="int32")
        distance = asks[:, None] - ops.arange(source, dtype="int32")
        embedded = self.distance_embedding(distance + self.distance_embedding.input_dim // 2)  # [L, S, D]
        bias = ops.einsum("bald,lsd->bals", q, embedded)
        if self.position_embedding_type == "relative_key_query":
            bias = bias + ops.einsum("basd,lsd->bals", k, embedded)
        return bias / math.sqrt(self.head_size)


def attention_weights(q: Tensor, k: Tensor, layout: Rectangle, bias: Tensor | None) -> Tensor:
    """[B, A, L, S], how much each position looks at each. q: [B, A, L, D], k: [B, A, S, D]."""
    scores = ops.matmul(q / math.sqrt(q.shape[-1]), ops.transpose(k, (0, 1, 3, 2)))
    scores = ops.cast(scores, "float32")
    if bias is not None:
        scores = scores + ops.cast(bias, "float32")
    if layout.mask is not None:
        # Half of the lowest number hides a position, and makes no NaN where all are hidden. It is added, not put in place of the
        # scores, as gradients flow where all are hidden.
        scores = scores + ops.where(layout.mask, 0.0, -1.7e38)
    return ops.cast(ops.softmax(scores, axis=-1), q.dtype)


class BertResidual(Part):
    """The end of either half of a layer: a dense part, added to what went into the half, and normed."""

    def __init__(self, inputs: int, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.dense = dense(config, inputs, config.hidden_size, "dense")
        self.LayerNorm = norm(config)
        self.dropout = keras.layers.Dropout(config.hidden_dropout_prob)

    def call(self, x: Tensor, residual: Tensor) -> Tensor:
        """[B, L, inputs] and [B, L, H] -> [B, L, H]."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class BertAttention(Part):
    """The first half of a layer."""

    def __init__(self, config: BertConfig, layer: int, cross: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.self = BertSelfAttention(config, layer, cross, name="self")
        self.output_ = BertResidual(self.self.query.units, config, name="output")

    def call(self, x: Tensor, run: Run, layer: int) -> Tensor:
        """[B, L, H] -> [B, L, H]."""
        return self.output_(self.self(x, run, layer), x)


class BertIntermediate(Part):
    """The wide middle of a layer."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.dense = dense(config, config.hidden_size, config.intermediate_size, "dense")
        self.activation = ACTIVATION[config.hidden_act]

    def call(self, x: Tensor) -> Tensor:
        """[B, L, H] -> [B, L, I]."""
        return self.activation(self.dense(x))


class BertLayer(Part):
    """Attention, in a decoder with an encoder attention to that, and a feed-forward part."""

    def __init__(self, config: BertConfig, layer: int, **options: Any) -> None:
        super().__init__(**options)
        self.attention = BertAttention(config, layer, name="attention")
        if config.add_cross_attention:
            self.crossattention = BertAttention(config, layer, cross=True, name="crossattention")
        self.intermediate = BertIntermediate(config, name="intermediate")
        self.output_ = BertResidual(config.intermediate_size, config, name="output")

    def call(self, x: Tensor, run: Run, layer: int) -> Tensor:
        """[B, L, H] -> [B, L, H]."""
        x = self.attention(x, run, layer)
        if run.cross is not None:
            x = self.crossattention(x, run, layer)
        return self.output_(self.intermediate(x), x)


class BertEncoder(Part):
    """The layers, one after the other."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.layer = [BertLayer(config, i, name=f"layer_._{i}") for i in range(config.num_hidden_layers)]

    def call(self, x: Tensor, run: Run) -> Tensor:
        """[B, L, H] -> [B, L, H]."""
        for i, layer in enumerate(self.layer):
            if run.states is not None:
                run.states.append(x)
            x = layer(x, run, i)
        if run.states is not None:
            run.states.append(x)
        return x


class BertPooler(Part):
    """The first token of a sequence, [CLS], stands for the whole."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.dense = dense(config, config.hidden_size, config.hidden_size, "dense")

    def call(self, first: Tensor) -> Tensor:
        """[B, H] -> [B, H]."""
        return ops.tanh(self.dense(first))


# --------------------------------------------------------------------------------------------------- TFBertMainLayer, TFBertModel


@keras.saving.register_keras_serializable("bertkit")
class TFBertMainLayer(Part):
    """BERT without a head, as a layer: the `bert` of every class, and of models of your own."""

    def __init__(self, config: BertConfig | dict[str, Any], add_pooling_layer: bool = True, **options: Any) -> None:
        super().__init__(**{"name": "bert", **options})
        config = config if isinstance(config, BertConfig) else BertConfig.from_dict(config)
        self.config, self.add_pooling_layer = config, add_pooling_layer
        self.embeddings = BertEmbeddings(config, name="embeddings")
        self.encoder = BertEncoder(config, name="encoder")
        self.pooler = BertPooler(config, name="pooler") if add_pooling_layer else None

    def get_config(self) -> dict[str, Any]:
        """What a saved model is made from again."""
        own = {"config": self.config.to_dict(), "add_pooling_layer": self.add_pooling_layer}
        return {**super().get_config(), **own}

    @unpacked
    def call(
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
        training: bool | None = None,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions | States | tuple[Any, ...]:
        """The states of the tokens. Those of padding are zero.

        The arguments are those of the PyTorch class BertModel. Heads give Inputs, which are arranged already, as input_ids, and
        take States.
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
                past_key_values,
                use_cache,
                training,
            )
        layout = inputs.layout
        x = self.embeddings(inputs)
        run = self._run(
            inputs, x, head_mask, cache, keeps_cache, output_attentions, encoder_hidden_states, encoder_attention_mask
        )
        if config.output_hidden_states if output_hidden_states is None else output_hidden_states:
            run.states = []
        x, pooled = self.encoder(x, run), None
        if self.pooler is not None:
            pooled = layout.unpack_rows(self.pooler(layout.first(x)))
        states = States(
            x,
            pooled,
            tuple(run.new_cache) if keeps_cache else None,
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
    ) -> tuple[Inputs, Sequence[LayerCache] | None, bool]:
        """The tokens, the cache before them, and whether to return one: decoders do, where no loss is asked for."""
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
        if head_mask is not None:
            head_mask, shape = ops.convert_to_tensor(head_mask, x.dtype), (layers, config.num_attention_heads)
            if tuple(head_mask.shape) not in (shape, shape[1:]):
                raise UsageError(
                    f"head_mask has the shape {list(head_mask.shape)}, and needs {list(shape[1:])} or {list(shape)}."
                )
            head_mask = ops.broadcast_to(head_mask, shape)
        return Run(
            layout,
            head_mask,
            weights_of,
            cache,
            None if encoder_states is None else ops.convert_to_tensor(encoder_states, x.dtype),
            None if encoder_states is None else self._cross(layout, encoder_states, encoder_mask),
            keeps_cache,
            weights=[None] * layers,
            cross_weights=[None] * layers,
            new_cache=[()] * layers,
        )

    def _cross(self, layout: Rectangle, states: Tensor, mask: Tensor | None) -> Rectangle:
        """How the tokens of a decoder look at an encoder's states, [B, S, H]. mask: [B, S]."""
        if not self.config.add_cross_attention:
            raise UsageError(
                "encoder_hidden_states are for a decoder: make the model with BertConfig(is_decoder=True, "
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
                f"encoder_attention_mask is {list(mask.shape)}, and must be [batch, length], as its states are."
            )
        return Rectangle(layout.grid, layout.real, mask[:, None, None])


class TFBertModel(TFBertPreTrainedModel):
    """BERT without a head: the states of all tokens, and the pooled first one.

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

    @unpacked
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
        """As TFBertMainLayer: the states of the tokens, those of padding zero."""
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
