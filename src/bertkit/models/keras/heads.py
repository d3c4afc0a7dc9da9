"""The eight classes with a head. A class has its signature, `_outputs` and `_loss`; `_answer` does the rest for all of them.

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
from bertkit.models.keras.generation import TFGenerates
from bertkit.models.keras.inputs import Arranged, Tensor, arrange, compatible, is_symbolic, unpack_inputs
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
    """A dense layer, an activation and a norm before the vocabulary projection."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.dense = dense(config, config.hidden_size, config.hidden_size, "dense")
        self.activation = ACTIVATION[config.hidden_act]
        self.LayerNorm = norm(config)

    def call(self, x: Tensor) -> Tensor:
        """[B, L, H] -> [B, L, H]."""
        return self.LayerNorm(self.activation(self.dense(x)))


class BertPredictions(Part):
    """Scores of all words of the vocabulary. Its projection is the word embedding, unless the configuration unties them."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.transform = BertTransform(config, name="transform")
        self.vocab_size, self.decoder = config.vocab_size, None
        if not config.tie_word_embeddings:
            self.decoder = dense(config, config.hidden_size, config.vocab_size, "decoder", use_bias=False)

    def build(self, input_shape: Any = None) -> None:
        """Build the sublayers, and the bias of the words."""
        super().build()
        self.bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", name="bias")

    def call(self, x: Tensor, words: Any) -> Tensor:
        """[B, L, H] -> [B, L, V]. words: the word embedding."""
        x = self.transform(x)
        if self.decoder is not None:
            return self.decoder(x) + self.bias
        return ops.matmul(x, ops.transpose(ops.cast(words.embeddings, x.dtype))) + self.bias


class BertWordsHead(Part):
    """The masked-language-modelling head."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**{"name": "mlm___cls", **options})
        self.predictions = BertPredictions(config, name="predictions")

    def call(self, x: Tensor, words: Any) -> Tensor:
        """[B, L, H] -> [B, L, V]."""
        return self.predictions(x, words=words)


class BertNextSentenceHead(Part):
    """The next-sentence head. Class 0: the second sentence follows the first; class 1: it does not."""

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(**{"name": "nsp___cls", **options})
        self.seq_relationship = dense(config, config.hidden_size, 2, "seq_relationship")

    def call(self, pooled: Tensor) -> Tensor:
        """[B, H] -> [B, 2]."""
        return self.seq_relationship(pooled)


# ------------------------------------------------------------------------------------------------------------------- losses


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The cross-entropy of each label, and 1.0 where it counts. Negative labels do not count: both are 0.0 there.

    logits: [..., C], labels: [...].
    """
    logits, labels = ops.cast(logits, "float32"), _checked_classes(logits, labels)
    chosen = ops.take_along_axis(logits, ops.maximum(labels, 0)[..., None], axis=-1)[..., 0]
    counts = ops.cast(labels >= 0, "float32")
    return (ops.logsumexp(logits, axis=-1) - chosen) * counts, counts


def mean_loss(losses: Tensor, counts: Tensor) -> Tensor:
    """The mean over the labels that count, [1]."""
    return ops.reshape(ops.sum(losses) / ops.sum(counts), (1,))


def row_losses(losses: Tensor, counts: Tensor) -> Tensor:
    """The losses [B], scaled so that their mean is the mean over the rows that count."""
    return losses * (ops.cast(ops.size(losses), "float32") / ops.sum(counts))


def _checked_classes(logits: Tensor, labels: Any) -> Tensor:
    """Labels as whole numbers, one for each row of the logits. Raises UsageError for invalid labels."""
    labels = ops.convert_to_tensor(labels)
    if "int" not in str(labels.dtype):
        raise UsageError(f"Labels are of {labels.dtype}, and must be numbers of classes, of a type such as int32.")
    if len(labels.shape) == len(logits.shape) and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, -1)  # a column
    rows = logits.shape[:-1]
    if not compatible(labels.shape, rows):
        raise UsageError(
            f"Labels have the shape {list(labels.shape)}, and must be {list(rows)}, one for each row of the logits."
        )
    if not is_symbolic(labels) and 0 not in labels.shape and int(ops.max(labels)) >= logits.shape[-1]:
        raise UsageError(
            f"Labels go up to {int(ops.max(labels))}, and must be 0 to {logits.shape[-1] - 1}, or {IGNORED} where there is no "
            "label."
        )
    return ops.cast(labels, "int32")


# ------------------------------------------------------------------------------------------------------- what the classes share


class TFBertWithHead(TFBertPreTrainedModel):
    """The base of the eight classes: arranged tokens -> outputs and a loss."""

    bert: TFBertMainLayer

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        """The outputs of the head by their names, from states of tokens x [B, L, H] and pooled vectors [B, H]."""
        raise NotImplementedError

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any]) -> Tensor:
        """The sum of the cross-entropy of each output with its labels, averaged over labels that are not -100: [1]."""
        losses = [
            mean_loss(*cross_entropy(logits, wanted))
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
        """The output object of a forward. labels: by their names."""
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
        has_labels = bool(labels) and all(wanted is not None for wanted in labels.values())
        outputs = self._outputs(states.last_hidden_state, states.pooler_output)
        if inputs.choices is not None:
            outputs = {name: ops.reshape(output, (-1, inputs.choices)) for name, output in outputs.items()}
        found: dict[str, Any] = states._asdict()
        found["loss"] = self._loss(outputs, labels) if has_labels else None
        for name, output in outputs.items():
            grain, padding = row.outputs[name].grain, row.outputs[name].padding
            found[name] = output if grain == "row" else layout.unpack(output, padding)
        answer = row.output({name: found.get(name) for name in row.output.names})
        return answer if (self.config.return_dict if return_dict is None else return_dict) else answer.to_tuple()


# ------------------------------------------------------------------------------------------------------------------- classes


def _classifier_dropout(config: BertConfig) -> Any:
    rate = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    return keras.layers.Dropout(rate)


class TFBertForPreTraining(TFBertWithHead):
    """BERT with a masked-language-modelling head and a next-sentence head, as in pretraining."""

    _head = "ForPreTraining"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, name="bert")
        self.mlm = BertWordsHead(config)
        self.nsp = BertNextSentenceHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        words = self.mlm(x, words=self.get_input_embeddings())
        return {"prediction_logits": words, "seq_relationship_logits": self.nsp(pooled)}

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
        """labels: [B, L], the word of each masked token, -100 elsewhere. next_sentence_label: [B], 0 if it follows, else 1.

        There is a loss, the sum of both, if both labels are given. The other arguments are those of TFBertModel.
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
    """BERT with a masked-language-modelling head."""

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
        """labels: [B, L], the word of each masked token, -100 elsewhere. The other arguments are those of TFBertModel."""
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, causal=self.config.is_decoder
        )
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class TFBertLMHeadModel(TFGenerates, TFBertWithHead):
    """BERT as a decoder with a language-modelling head, for configurations with is_decoder=True."""

    _head = "LMHeadModel"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        if not config.is_decoder:
            logger.warning(
                "TFBertLMHeadModel without is_decoder=True in its configuration: each token attends to those after it, too."
            )
        self.bert = TFBertMainLayer(config, add_pooling_layer=False, name="bert")
        self.mlm = BertWordsHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.mlm(x, words=self.get_input_embeddings())}

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any]) -> Tensor:
        """The cross-entropy of each word, predicted from the token before it: [1]."""
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
        """labels: [B, L], the words themselves, -100 where there is no loss. Each is predicted from the tokens before it.

        The other arguments are those of TFBertModel. A decoder returns its cache by default, except in training.
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
        """The arguments of the next forward. With a cache, only the tokens that it does not hold."""
        past = past_key_values[0][0].shape[2] if past_key_values else 0
        given = {"input_ids": input_ids[:, past:], "attention_mask": attention_mask, "past_key_values": past_key_values}
        return {**given, "use_cache": use_cache, **others}


class TFBertForNextSentencePrediction(TFBertWithHead):
    """BERT with a next-sentence head."""

    _head = "ForNextSentencePrediction"

    def __init__(self, config: BertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.bert = TFBertMainLayer(config, name="bert")
        self.nsp = BertNextSentenceHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.nsp(pooled)}

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any]) -> Tensor:
        """The cross-entropy of each row, 0.0 where there is no label: [B]."""
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
        """next_sentence_label, or labels: [B], 0 if the second sentence follows the first, else 1.

        The other arguments are those of TFBertModel.
        """
        labels = next_sentence_label if labels is None else labels
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, causal=self.config.is_decoder
        )
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class TFBertForSequenceClassification(TFBertWithHead):
    """BERT with a classification or regression head over a text or a pair of texts."""

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
        """The loss of `config.problem_type` for each row, [B]. If that is None, the type of the first labels sets it."""
        logits, wanted, kind = outputs["logits"], ops.convert_to_tensor(labels["labels"]), self.config.problem_type
        if kind is None:
            several = "float" in str(wanted.dtype)
            kind = "multi_label_classification" if several else "single_label_classification"
            kind = "regression" if self.config.num_labels == 1 else kind
        self.config.problem_type = kind
        if kind == "single_label_classification":
            return row_losses(*cross_entropy(logits, wanted))
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
        """labels: [B] classes; [B, C] of 0.0 and 1.0 for multi-label classification; or [B] numbers for regression.

        `config.problem_type` chooses the loss; if it is None, the first labels do. The other arguments are those of TFBertModel.
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
    """Arrange the choices as separate sequences: [B, choices, L] -> [B * choices, L]."""
    every = [input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds]
    every = [None if x is None else ops.convert_to_tensor(x) for x in every]
    if any(len(x.shape) < 3 for x in every if x is not None) or not any(x is not None for x in every):
        raise UsageError(
            "TFBertForMultipleChoice takes input_ids, attention_mask and so on as tensors [batch, choices, length]."
        )
    choices = next(ops.shape(x)[1] for x in every if x is not None)
    every = [None if x is None else ops.reshape(x, (-1, *ops.shape(x)[2:])) for x in every]
    inputs = arrange(*every)
    inputs.choices = choices
    return inputs


class TFBertForMultipleChoice(TFBertWithHead):
    """BERT with a multiple-choice head: a score for each of several texts."""

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
        """The cross-entropy of each example, [B]."""
        return row_losses(*cross_entropy(outputs["logits"], labels["labels"]))

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
        """input_ids, attention_mask and so on: [B, choices, L]. labels: [B], the right choice.

        The other arguments are those of TFBertModel.
        """
        inputs = _fold_choices(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class TFBertForTokenClassification(TFBertWithHead):
    """BERT with a classification head over each token."""

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
        """labels: [B, L] classes, -100 where there is no label. The other arguments are those of TFBertModel."""
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, causal=self.config.is_decoder
        )
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class TFBertForQuestionAnswering(TFBertWithHead):
    """BERT with a question-answering head: scores for the start and the end of an answer."""

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
        """The mean of two cross-entropies over the positions of a row, padding included: [B].

        Positions beyond the row are ignored.
        """
        losses = []
        for logits, positions in zip(outputs.values(), labels.values(), strict=True):
            places = ops.maximum(ops.cast(ops.reshape(ops.convert_to_tensor(positions), (-1,)), "int32"), 0)
            places = ops.where(places < ops.shape(logits)[1], places, IGNORED)
            losses.append(row_losses(*cross_entropy(logits, places)))
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
        """start_positions, end_positions: [B], the first and the last token of each answer. Positions beyond the row are ignored.

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
"""The same class, by the name in TensorFlow scripts."""
