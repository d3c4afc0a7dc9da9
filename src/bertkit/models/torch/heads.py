"""The eight classes with a head. All read alike: arrange the tokens, run BERT over them, apply the head, compute the loss.

T tokens   B batch   L length   H hidden   V vocabulary   C labels
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.models.torch.cache import Cache, LayerCache
from bertkit.models.torch.model import ACTIVATION, BertModel, linear
from bertkit.models.torch.packing import IGNORED, Layout, Packed, arrange
from bertkit.models.torch.pretrained import BertPreTrainedModel
from bertkit.outputs import (
    BertForPreTrainingOutput,
    CausalLMOutputWithCrossAttentions,
    Later,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

logger = logging.getLogger("bertkit")

_version = attrgetter("_version")  # it grows with every change of a tensor in place

Lengths: TypeAlias = Sequence[int] | Tensor | None


# --------------------------------------------------------------------------------------------------------- parts of the heads


class BertPredictions(nn.Module):
    """Scores of every word of the vocabulary. The projection is the word embedding, unless the configuration unties them."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            OrderedDict(
                dense=linear(config.hidden_size, config.hidden_size),
                activation=ACTIVATION[config.hidden_act](),
                LayerNorm=nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, device="meta"),
            )
        )
        self.decoder = linear(config.hidden_size, config.vocab_size)
        self.bias = nn.Parameter(torch.empty(config.vocab_size, device="meta"))  # and decoder.bias, by tie_weights

    def forward(self, x: Tensor) -> Tensor:
        """[T, H] -> [T, V]."""
        return self.decoder(self.transform(x))


class BertLanguageHeads(nn.Module):
    """The head of masked words, and where it is wanted that of the next sentence."""

    def __init__(self, config: BertConfig, next_sentence: bool = False) -> None:
        super().__init__()
        self.predictions = BertPredictions(config)
        if next_sentence:
            self.seq_relationship = linear(config.hidden_size, 2)


class BertNextSentenceHead(nn.Module):
    """Whether the second sentence follows the first: 0 it does, 1 it does not."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.seq_relationship = linear(config.hidden_size, 2)


# -------------------------------------------------------------------------------------------------------------------- losses


def cross_entropy(logits: Tensor, labels: Tensor, ignored: int = IGNORED) -> Tensor:
    """Mean over the labels that are not `ignored`. logits: [n, C], labels: n of them."""
    try:
        return F.cross_entropy(logits.float(), labels.flatten(), ignore_index=ignored)
    except (AttributeError, IndexError, RuntimeError, ValueError) as error:
        sentence = _unfit(logits, labels, ignored, beyond=isinstance(error, IndexError))
        if not sentence:
            raise
        raise UsageError(sentence) from error


def _unfit(logits: Tensor, labels: object, ignored: int, beyond: bool) -> str:
    """What is said of labels that are none; nothing if they are not what is wrong. beyond: one is none of the classes."""
    if not isinstance(labels, Tensor):
        return f"Labels came as {type(labels).__name__}, and must be a tensor: torch.tensor(labels)."
    if labels.dtype != torch.long:
        return f"Labels are of {labels.dtype}, and must be numbers of classes here: labels.long()."
    if labels.numel() != len(logits):
        return f"Labels have the shape {list(labels.shape)}, and must be {len(logits)}: one for each row of the logits."
    counted = labels[labels != ignored]
    classes = f"Labels are 0 to {logits.shape[-1] - 1}, or {ignored} for none"
    return f"{classes}; {counted.min()} to {counted.max()} came." if beyond else ""


def word_scores(
    predict: nn.Module, x: Tensor, labels: Tensor | None, layout: Layout
) -> tuple[Tensor | None, Tensor | Later]:
    """The loss, and the scores of every word for every token, [*outer, V]. x: [T, H], labels: [T].

    With labels, those tokens alone are scored that have one; all when somebody reads them, as of the time of the forward.
    """
    if labels is None:
        return None, layout.unpack(predict(x))
    if torch.compiler.is_compiling():  # which wants shapes that do not depend on numbers
        scores = predict(x)
        return cross_entropy(scores, labels), layout.unpack(scores)
    labelled = (labels != IGNORED).nonzero()[:, 0]
    loss = cross_entropy(predict(x[labelled]), labels[labelled])
    grad, kind = torch.is_grad_enabled(), x.device.type
    cast, cast_type = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    parameters = [parameter for parameter in predict.parameters() if not parameter.is_inference()]
    versions = list(map(_version, parameters))

    def compute() -> Tensor:
        if versions != list(map(_version, parameters)):
            raise UsageError(
                "The weights have changed since this forward, and its logits were not read before: read outputs.logits "
                "before optimizer.step()."
            )
        with torch.set_grad_enabled(grad), torch.autocast(kind, cast_type, enabled=cast):
            return layout.unpack(predict(x))

    return loss, Later(compute)


def classification_loss(config: BertConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of `config.problem_type`, which the first labels tell where nobody has. logits: [B, C], labels: [B] or [B, C]."""
    kind = config.problem_type
    if kind is None:
        several = isinstance(labels, Tensor) and labels.is_floating_point()
        kind = "multi_label_classification" if several else "single_label_classification"
        kind = "regression" if config.num_labels == 1 else kind
    if kind == "single_label_classification":
        loss = cross_entropy(logits, labels)
    else:
        wanted = logits.squeeze() if kind == "regression" else logits
        given = labels.squeeze() if kind == "regression" and isinstance(labels, Tensor) else labels
        if getattr(given, "shape", None) != wanted.shape:
            came = list(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
            raise UsageError(
                f"Labels are {came}, and must be a tensor {list(logits.shape)}, as problem_type={kind!r} has them."
            )
        measure = F.mse_loss if kind == "regression" else F.binary_cross_entropy_with_logits
        loss = measure(wanted.float(), given.float())
    config.problem_type = kind
    return loss


# ------------------------------------------------------------------------------------------------------------------- classes


def _classifier_dropout(config: BertConfig) -> float:
    return config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout


class BertForPreTraining(BertPreTrainedModel):
    """BERT as it was pretrained: masked words, and the next sentence."""

    head = "ForPreTraining"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertLanguageHeads(config, next_sentence=True)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Lengths = None,
    ) -> BertForPreTrainingOutput | tuple[Any, ...]:
        """labels: [B, L], the word of each masked token and -100 elsewhere. next_sentence_label: [B], 0 it follows, 1 not.

        The loss is the sum of both, where both labels are given. The other arguments are those of BertModel.
        """
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            labels=labels,
        )
        states = self.bert(
            inputs,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        related = self.cls.seq_relationship(states.pooler_output)
        told = None if next_sentence_label is None else inputs.labels
        loss, scores = word_scores(self.cls.predictions, states.last_hidden_state, told, inputs.layout)
        output = BertForPreTrainingOutput(
            loss=None if loss is None else loss + cross_entropy(related, next_sentence_label),  # type: ignore[arg-type]
            prediction_logits=scores,
            seq_relationship_logits=related,
            hidden_states=states.hidden_states,
            attentions=states.attentions,
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()


class BertForMaskedLM(BertPreTrainedModel):
    """BERT that tells masked words."""

    head = "ForMaskedLM"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertLanguageHeads(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Lengths = None,
    ) -> MaskedLMOutput | tuple[Any, ...]:
        """labels: [B, L], the word of each masked token and -100 elsewhere. The other arguments are those of BertModel.

        With labels, the vocabulary is scored at labelled tokens only; `logits` of all tokens are computed when they are read.
        """
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            labels=labels,
        )
        states = self.bert(
            inputs,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        loss, scores = word_scores(self.cls.predictions, states.last_hidden_state, inputs.labels, inputs.layout)
        output = MaskedLMOutput(
            loss=loss,
            logits=scores,
            hidden_states=states.hidden_states,
            attentions=states.attentions,
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()


class BertLMHeadModel(BertPreTrainedModel):
    """BERT as a decoder, that tells the next word. Its configuration says is_decoder=True."""

    head = "LMHeadModel"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        if not config.is_decoder:
            logger.warning(
                "BertLMHeadModel of a configuration without is_decoder=True: every token sees those after it."
            )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertLanguageHeads(config)
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
        labels: Tensor | None = None,
        past_key_values: Sequence[LayerCache] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Lengths = None,
    ) -> CausalLMOutputWithCrossAttentions | tuple[Any, ...]:
        """labels: [B, L], the words themselves, -100 where there is no loss: each is told from the tokens before it.

        The other arguments are those of BertModel. A decoder returns its cache by default, though not in training.
        """
        inputs, cache, keeps_cache = self.bert.arrange_steps(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            past_key_values,
            use_cache,
            encoder_hidden_states,
            labels,
        )
        states = self.bert(
            inputs,
            head_mask=head_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=cache,
            use_cache=keeps_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        loss, scores = word_scores(self.cls.predictions, states.last_hidden_state, inputs.labels, inputs.layout)
        output = CausalLMOutputWithCrossAttentions(
            loss=loss,
            logits=scores,
            past_key_values=states.past_key_values,
            hidden_states=states.hidden_states,
            attentions=states.attentions,
            cross_attentions=states.cross_attentions,
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool = True,
        **others: Any,
    ) -> dict[str, Any]:
        """The arguments of the next forward: with a cache, of the tokens that it does not hold yet."""
        past = past_key_values.get_seq_length() if past_key_values else 0
        given = {"input_ids": input_ids[:, past:], "attention_mask": attention_mask, "past_key_values": past_key_values}
        return {**given, "use_cache": use_cache, **others}


class BertForNextSentencePrediction(BertPreTrainedModel):
    """BERT that tells whether one sentence follows another."""

    head = "ForNextSentencePrediction"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertNextSentenceHead(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Lengths = None,
    ) -> NextSentencePredictorOutput | tuple[Any, ...]:
        """labels: [B], 0 the second sentence follows, 1 it does not. The other arguments are those of BertModel."""
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, lengths, firsts_only=True
        )
        states = self.bert(
            inputs,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits = self.cls.seq_relationship(states.pooler_output)
        output = NextSentencePredictorOutput(
            loss=None if labels is None else cross_entropy(logits, labels),
            logits=logits,
            hidden_states=states.hidden_states,
            attentions=states.attentions,
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()


class BertForSequenceClassification(BertPreTrainedModel):
    """BERT that puts a text, or a pair of texts, into classes, or gives it numbers."""

    head = "ForSequenceClassification"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.classifier = linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Lengths = None,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """labels: [B] classes, or [B, C] of 0.0 and 1.0 for several at once, or [B] numbers where there is one label.

        Which it is says `config.problem_type`, or else the first labels do. The other arguments are those of BertModel.
        """
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, lengths, firsts_only=True
        )
        states = self.bert(
            inputs,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits = self.classifier(self.dropout(states.pooler_output))
        output = SequenceClassifierOutput(
            loss=None if labels is None else classification_loss(self.config, logits, labels),
            logits=logits,
            hidden_states=states.hidden_states,
            attentions=states.attentions,
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()


class BertForMultipleChoice(BertPreTrainedModel):
    """BERT that chooses among texts."""

    head = "ForMultipleChoice"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.classifier = linear(config.hidden_size, 1)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Lengths = None,
    ) -> MultipleChoiceModelOutput | tuple[Any, ...]:
        """input_ids and their like: [B, choices, L]. labels: [B], the choice that is right.

        The other arguments are those of BertModel.
        lengths: [B, choices], where the tokens of all choices are packed.
        """
        if lengths is not None:
            lengths = torch.as_tensor(lengths)
            if lengths.dim() != 2:
                raise UsageError(f"lengths are [batch, choices] here, such as [[3, 5]], not {list(lengths.shape)}.")
            choices, lengths = lengths.shape[1], lengths.flatten()
        else:
            every = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
            sides = [tuple(getattr(x, "shape", ())[:2]) for x in every if x is not None]
            if any(len(getattr(x, "shape", ())) < 3 for x in every if x is not None) or len(set(sides)) != 1:
                raise UsageError(
                    "BertForMultipleChoice takes input_ids and their like as tensors [batch, choices, length], with a batch "
                    f"and choices that are the same for all; these began with {sides}."
                )
            choices = sides[0][1]
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds = (
                None if x is None else x.flatten(0, 1) for x in every
            )
        inputs = arrange(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, lengths, firsts_only=True
        )
        states = self.bert(
            inputs,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits = self.classifier(self.dropout(states.pooler_output)).view(-1, choices)
        output = MultipleChoiceModelOutput(
            loss=None if labels is None else cross_entropy(logits, labels),
            logits=logits,
            hidden_states=states.hidden_states,
            attentions=states.attentions,
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()


class BertForTokenClassification(BertPreTrainedModel):
    """BERT that puts every token into a class."""

    head = "ForTokenClassification"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.classifier = linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Lengths = None,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """labels: [B, L] classes, -100 where there is none. The other arguments are those of BertModel."""
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            labels=labels,
        )
        states = self.bert(
            inputs,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits = self.classifier(self.dropout(states.last_hidden_state))
        output = TokenClassifierOutput(
            loss=None if inputs.labels is None else cross_entropy(logits, inputs.labels),
            logits=inputs.layout.unpack(logits),
            hidden_states=states.hidden_states,
            attentions=states.attentions,
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()


class BertForQuestionAnswering(BertPreTrainedModel):
    """BERT that finds where an answer starts and ends."""

    head = "ForQuestionAnswering"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = linear(config.hidden_size, 2)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Lengths = None,
    ) -> QuestionAnsweringModelOutput | tuple[Any, ...]:
        """start_positions, end_positions: [B], the first and the last token of each answer; beyond the text it is ignored.

        The other arguments are those of BertModel.
        """
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            padding_too=start_positions is not None,
        )
        states = self.bert(
            inputs,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        logits, layout = self.qa_outputs(states.last_hidden_state), inputs.layout
        loss = None
        if start_positions is not None and end_positions is not None:
            of_rows = layout.to_grid(logits)
            beyond = of_rows.shape[1]
            starts, ends = (
                torch.as_tensor(positions, device=of_rows.device).flatten().clamp(0, beyond)
                for positions in (start_positions, end_positions)
            )
            if isinstance(layout, Packed):  # a row ends with its tokens
                real = layout.mask[:, 0, -1]
                of_rows = of_rows.masked_fill(~real[..., None], -torch.inf)
                starts, ends = (places.masked_fill(places >= real.sum(1), beyond) for places in (starts, ends))
            loss = cross_entropy(of_rows[..., 0], starts, beyond) / 2 + cross_entropy(of_rows[..., 1], ends, beyond) / 2
        output = QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=layout.unpack(logits[:, 0]),
            end_logits=layout.unpack(logits[:, 1]),
            hidden_states=states.hidden_states,
            attentions=states.attentions,
        )
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()
