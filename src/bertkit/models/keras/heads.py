"""The eight classes with a head. A class has a signature, and two methods: its outputs, and its loss. All else is `_answer`.

B batch   L length   H hidden   V vocabulary   C labels
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.heads import HEADS, IGNORED
from bertkit.models.keras.inputs import Arranged, Tensor, arrange, is_symbolic, unpack_inputs
from bertkit.models.keras.model import ACTIVATION, LayerCache, Part, TFBertMainLayer, dense, norm
from bertkit.models.keras.pretrained import TFBertPreTrainedModel
from bertkit.outputs import (
    BertForPreTrainingOutput,
    CausalLMOutputWithCrossAttentions,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

logger = logging.getLogger("bertkit")


# --------------------------------------------------------------------------------------------------------- parts of the heads


class BertTransform(Part):
    """The dense step before the scores of words."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.dense = dense(config, config.hidden_size, config.hidden_size, "dense")
        self.activation = ACTIVATION[config.hidden_act]
        self.LayerNorm = norm(config)

    def call(self, x: Tensor) -> Tensor:
        """[B, L, H] -> [B, L, H]."""
        return self.LayerNorm(self.activation(self.dense(x)))


class BertPredictions(Part):
    """Scores of every word of the vocabulary. The projection is the word embedding, unless the configuration unties them."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.transform = BertTransform(config, name="transform")
        self.vocab_size, self.decoder = config.vocab_size, None
        if not config.tie_word_embeddings:
            self.decoder = dense(config, config.hidden_size, config.vocab_size, "decoder", use_bias=False)

    def build(self, input_shape: Any = None) -> None:
        """The parts, and the bias of the words."""
        super().build()
        self.bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", name="bias")

    def call(self, x: Tensor, words: Any) -> Tensor:
        """[B, L, H] -> [B, L, V]. words: the word embedding."""
        x = self.transform(x)
        if self.decoder is not None:
            return self.decoder(x) + self.bias
        return ops.matmul(x, ops.transpose(ops.cast(words.embeddings, x.dtype))) + self.bias


class BertWordsHead(Part):
    """The head of masked words."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**{"name": "mlm___cls", **options})
        self.predictions = BertPredictions(config, name="predictions")

    def call(self, x: Tensor, words: Any) -> Tensor:
        """[B, L, H] -> [B, L, V]."""
        return self.predictions(x, words=words)


class BertNextSentenceHead(Part):
    """Whether the second sentence follows the first: 0 it does, 1 it does not."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**{"name": "nsp___cls", **options})
        self.seq_relationship = dense(config, config.hidden_size, 2, "seq_relationship")

    def call(self, pooled: Tensor) -> Tensor:
        """[B, H] -> [B, 2]."""
        return self.seq_relationship(pooled)


# ------------------------------------------------------------------------------------------------------------------- losses


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The cross-entropy of every label that is 0 or above, 0.0 for the others, and 1.0 or 0.0 for which they are.

    logits: [..., C], labels: [...].
    """
    logits, labels = ops.cast(logits, "float32"), _of_classes(logits, labels)
    losses = ops.logsumexp(logits, axis=-1)
    chosen = ops.take_along_axis(logits, ops.maximum(labels, 0)[..., None], axis=-1)[..., 0]
    counts = ops.cast(labels >= 0, "float32")
    return (losses - chosen) * counts, counts


def mean_of_counted(losses: Tensor, counts: Tensor) -> Tensor:
    """[1], the mean over what counts."""
    return ops.reshape(ops.sum(losses) / ops.sum(counts), (1,))


def of_rows(losses: Tensor, counts: Tensor) -> Tensor:
    """[B], whose mean is that over the rows that count: where all do, the losses as they are."""
    return losses * (ops.cast(ops.size(losses), "float32") / ops.sum(counts))


def _of_classes(logits: Tensor, labels: Any) -> Tensor:
    """Labels as numbers of classes, one for each row of the logits."""
    labels = ops.convert_to_tensor(labels)
    if "int" not in str(labels.dtype):
        raise UsageError(f"Labels are of {labels.dtype}, and must be numbers of classes here, of a type such as int32.")
    if len(labels.shape) == len(logits.shape) and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, -1)  # a column
    known = [
        (a, b) for a, b in zip(labels.shape, logits.shape, strict=False) if isinstance(a, int) and isinstance(b, int)
    ]
    if len(labels.shape) != len(logits.shape) - 1 or any(a != b for a, b in known):
        raise UsageError(
            f"Labels have the shape {list(labels.shape)}, and must be {list(logits.shape[:-1])}: one for each row of the logits."
        )
    if not is_symbolic(labels) and 0 not in labels.shape and int(ops.max(labels)) >= logits.shape[-1]:
        raise UsageError(
            f"Labels are 0 to {logits.shape[-1] - 1}, or {IGNORED} for none; these go up to {int(ops.max(labels))}."
        )
    return ops.cast(labels, "int32")


# ------------------------------------------------------------------------------------------------------- what the classes share


class TFBertWithHead(TFBertPreTrainedModel):
    """What the eight classes share: from arranged tokens to outputs and a loss."""

    bert: TFBertMainLayer

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        """What the head makes of the states of tokens x, [B, L, H], and of pooled vectors [B, H]: its outputs, by their names."""
        raise NotImplementedError

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any]) -> Tensor:
        """Of each output and its labels the cross-entropy, mean over the labels that are not -100; the sum of these: [1]."""
        losses = [
            mean_of_counted(*cross_entropy(logits, wanted))
            for logits, wanted in zip(outputs.values(), labels.values(), strict=True)
        ]
        return losses[0] if len(losses) == 1 else sum(losses[1:], losses[0])

    def _answer(
        self,
        inputs: Arranged,
        labels: Mapping[str, Any],
        head_mask: Tensor | None,
        output_attentions: bool | Sequence[int] | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Sequence[LayerCache] | None = None,
        use_cache: bool = False,
    ) -> Any:
        """The outputs of a forward. labels: by their names."""
        states = self.bert(
            arranged=inputs,
            head_mask=head_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        layout, row = inputs.layout, HEADS[str(self._head)]
        outputs = self._outputs(states.last_hidden_state, states.pooler_output)
        if inputs.choices is not None:
            outputs = {name: ops.reshape(output, (-1, inputs.choices)) for name, output in outputs.items()}
        found: dict[str, Any] = states._asdict()
        learns = bool(labels) and all(wanted is not None for wanted in labels.values())
        found["loss"] = self._loss(outputs, labels) if learns else None
        for name, output in outputs.items():
            about = row.outputs[name]
            found[name] = output if about.grain == "row" else layout.unpack(output, about.padding)
        answer = row.output({name: found.get(name) for name in row.output.names})
        return answer if (self.config.return_dict if return_dict is None else return_dict) else answer.to_tuple()


# ------------------------------------------------------------------------------------------------------------------- classes


def _classifier_dropout(config: BertConfig) -> Any:
    rate = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    return keras.layers.Dropout(rate)


class TFBertForPreTraining(TFBertWithHead):
    """BERT as it was pretrained: masked words, and the next sentence."""

    _head = "ForPreTraining"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, name="bert")
        self.mlm = BertWordsHead(config)
        self.nsp = BertNextSentenceHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        related = self.nsp(pooled)  # [B, 2]
        return {"prediction_logits": self.mlm(x, words=self.get_input_embeddings()), "seq_relationship_logits": related}

    @unpack_inputs
    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        training: bool | None = None,
    ) -> BertForPreTrainingOutput | tuple[Any, ...]:
        """labels: [B, L], the word of each masked token and -100 elsewhere. next_sentence_label: [B], 0 it follows, 1 not.

        The loss is the sum of both, where both labels are given. The other arguments are those of TFBertModel.
        """
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, causal=self.config.is_decoder
        )
        return self._answer(
            inputs,
            {"labels": labels, "next_sentence_label": next_sentence_label},
            head_mask,
            output_attentions,
            output_hidden_states,
            return_dict,
        )


class TFBertForMaskedLM(TFBertWithHead):
    """BERT that predicts masked words."""

    _head = "ForMaskedLM"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, add_pooling_layer=False, name="bert")
        self.mlm = BertWordsHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.mlm(x, words=self.get_input_embeddings())}

    @unpack_inputs
    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        training: bool | None = None,
    ) -> MaskedLMOutput | tuple[Any, ...]:
        """labels: [B, L], the word of each masked token and -100 elsewhere. The other arguments are those of TFBertModel."""
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, causal=self.config.is_decoder
        )
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class TFBertLMHeadModel(TFBertWithHead):
    """BERT as a decoder, that predicts the next word. Its configuration says is_decoder=True."""

    _head = "LMHeadModel"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        if not config.is_decoder:
            logger.warning(
                "TFBertLMHeadModel of a configuration without is_decoder=True: every token sees those after it."
            )
        self.bert = TFBertMainLayer(config, add_pooling_layer=False, name="bert")
        self.mlm = BertWordsHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.mlm(x, words=self.get_input_embeddings())}

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any]) -> Tensor:
        """Of each word by the token before it."""
        logits, wanted = outputs["logits"], ops.convert_to_tensor(labels["labels"])
        return super()._loss({"logits": logits[:, :-1]}, {"labels": wanted[:, 1:]})

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
        labels: Tensor | None = None,
        training: bool | None = None,
    ) -> CausalLMOutputWithCrossAttentions | tuple[Any, ...]:
        """labels: [B, L], the words themselves, -100 where there is no loss: each is predicted from the tokens before it.

        The other arguments are those of TFBertModel. A decoder returns its cache by default, though not in training.
        """
        inputs, cache, keeps_cache = self.bert.arrange_steps(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            past_key_values,
            use_cache,
            training,
            labels,
        )
        return self._answer(
            inputs,
            {"labels": labels},
            head_mask,
            output_attentions,
            output_hidden_states,
            return_dict,
            encoder_hidden_states,
            encoder_attention_mask,
            cache,
            keeps_cache,
        )

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Sequence[LayerCache] | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool = True,
        **others: Any,
    ) -> dict[str, Any]:
        """The arguments of the next forward: with a cache, of the tokens that it does not hold yet."""
        past = past_key_values[0][0].shape[2] if past_key_values else 0
        given = {"input_ids": input_ids[:, past:], "attention_mask": attention_mask, "past_key_values": past_key_values}
        return {**given, "use_cache": use_cache, **others}


class TFBertForNextSentencePrediction(TFBertWithHead):
    """BERT that says whether one sentence follows another."""

    _head = "ForNextSentencePrediction"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, name="bert")
        self.nsp = BertNextSentenceHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.nsp(pooled)}

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any]) -> Tensor:
        """[B], 0.0 where there is no label."""
        return cross_entropy(outputs["logits"], labels["labels"])[0]

    @unpack_inputs
    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        next_sentence_label: Tensor | None = None,
        labels: Tensor | None = None,
        training: bool | None = None,
    ) -> NextSentencePredictorOutput | tuple[Any, ...]:
        """next_sentence_label, or labels: [B], 0 the second sentence follows, 1 it does not.

        The other arguments are those of TFBertModel.
        """
        labels = next_sentence_label if labels is None else labels
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, causal=self.config.is_decoder
        )
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class TFBertForSequenceClassification(TFBertWithHead):
    """BERT that puts a text, or a pair of texts, into classes, or gives it numbers."""

    _head = "ForSequenceClassification"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, name="bert")
        self.dropout = _classifier_dropout(config)
        self.classifier = dense(config, config.hidden_size, config.num_labels, "classifier")
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.dropout(pooled))}

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any]) -> Tensor:
        """[B], the loss of `config.problem_type`, which the first labels decide if the configuration does not."""
        logits, wanted, kind = outputs["logits"], ops.convert_to_tensor(labels["labels"]), self.config.problem_type
        if kind is None:
            several = "float" in str(wanted.dtype)
            kind = "multi_label_classification" if several else "single_label_classification"
            kind = "regression" if self.config.num_labels == 1 else kind
        self.config.problem_type = kind
        if kind == "single_label_classification":
            return of_rows(*cross_entropy(logits, wanted))
        if len(wanted.shape) == 1 and logits.shape[-1] == 1:
            wanted = wanted[:, None]
        if len(wanted.shape) != 2 or wanted.shape[-1] != logits.shape[-1]:
            raise UsageError(
                f"Labels are {list(wanted.shape)}, and must be {list(logits.shape)}, as problem_type={kind!r} has them."
            )
        x, y = ops.cast(logits, "float32"), ops.cast(wanted, "float32")
        if kind == "regression":
            return ops.mean(ops.square(x - y), axis=-1)
        return ops.mean(ops.maximum(x, 0) - x * y + ops.log1p(ops.exp(-ops.abs(x))), axis=-1)

    @unpack_inputs
    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        training: bool | None = None,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """labels: [B] classes, or [B, C] of 0.0 and 1.0 for several at once, or [B] numbers where there is one label.

        Which it is says `config.problem_type`, or else the first labels do. The other arguments are those of TFBertModel.
        """
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, causal=self.config.is_decoder
        )
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


def _fold_choices(
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
    position_ids: Tensor | None,
    inputs_embeds: Tensor | None,
) -> Arranged:
    """Each choice as a sequence of its own: [B, choices, L] -> [B * choices, L], arranged."""
    every = [input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds]
    every = [None if x is None else ops.convert_to_tensor(x) for x in every]
    if any(len(x.shape) < 3 for x in every if x is not None) or not any(x is not None for x in every):
        raise UsageError("TFBertForMultipleChoice takes input_ids and their like as tensors [batch, choices, length].")
    choices = next(ops.shape(x)[1] for x in every if x is not None)
    every = [None if x is None else ops.reshape(x, (-1, *ops.shape(x)[2:])) for x in every]
    inputs = arrange(*every)
    inputs.choices = choices
    return inputs


class TFBertForMultipleChoice(TFBertWithHead):
    """BERT that chooses among texts."""

    _head = "ForMultipleChoice"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, name="bert")
        self.dropout = _classifier_dropout(config)
        self.classifier = dense(config, config.hidden_size, 1, "classifier")
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.dropout(pooled))}  # [B * choices, 1], before they become [B, choices]

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any]) -> Tensor:
        """[B], of each example."""
        return of_rows(*cross_entropy(outputs["logits"], labels["labels"]))

    @unpack_inputs
    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        training: bool | None = None,
    ) -> MultipleChoiceModelOutput | tuple[Any, ...]:
        """input_ids and their like: [B, choices, L]. labels: [B], the choice that is right.

        The other arguments are those of TFBertModel.
        """
        inputs = _fold_choices(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class TFBertForTokenClassification(TFBertWithHead):
    """BERT that puts every token into a class."""

    _head = "ForTokenClassification"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, add_pooling_layer=False, name="bert")
        self.dropout = _classifier_dropout(config)
        self.classifier = dense(config, config.hidden_size, config.num_labels, "classifier")
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.dropout(x))}

    @unpack_inputs
    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        training: bool | None = None,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """labels: [B, L] classes, -100 where there is none. The other arguments are those of TFBertModel."""
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, causal=self.config.is_decoder
        )
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class TFBertForQuestionAnswering(TFBertWithHead):
    """BERT that finds where an answer starts and ends."""

    _head = "ForQuestionAnswering"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, add_pooling_layer=False, name="bert")
        self.qa_outputs = dense(config, config.hidden_size, 2, "qa_outputs")
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        start, end = ops.unstack(self.qa_outputs(x), 2, axis=-1)
        return {"start_logits": start, "end_logits": end}

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any]) -> Tensor:
        """[B], the mean of two cross-entropies over the positions of a row, padding included; those beyond it do not count."""
        losses = []
        for logits, positions in zip(outputs.values(), labels.values(), strict=True):
            places = ops.maximum(ops.cast(ops.reshape(ops.convert_to_tensor(positions), (-1,)), "int32"), 0)
            places = ops.where(places < ops.shape(logits)[1], places, IGNORED)
            losses.append(of_rows(*cross_entropy(logits, places)))
        return (losses[0] + losses[1]) / 2.0

    @unpack_inputs
    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        training: bool | None = None,
    ) -> QuestionAnsweringModelOutput | tuple[Any, ...]:
        """start_positions, end_positions: [B], the first and the last token of each answer; beyond the text it is ignored.

        The other arguments are those of TFBertModel.
        """
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, causal=self.config.is_decoder
        )
        return self._answer(
            inputs,
            {"start_positions": start_positions, "end_positions": end_positions},
            head_mask,
            output_attentions,
            output_hidden_states,
            return_dict,
        )


TFBertForPreTrainingOutput = BertForPreTrainingOutput
"""The name that TensorFlow's scripts know."""
