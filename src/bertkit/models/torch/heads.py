"""The eight classes with a head. All read alike: arrange the tokens, run BERT over them, apply the head, compute the loss.

T tokens   B batch   L length   H hidden   V vocabulary   C labels
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.models.torch.cache import Cache, LayerCache
from bertkit.models.torch.model import ACTIVATION, BertModel
from bertkit.models.torch.packing import Inputs, Layout, Packed, arrange
from bertkit.models.torch.pretrained import BertPreTrainedModel
from bertkit.outputs import (
    BaseModelOutputWithPoolingAndCrossAttentions,
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

IGNORED = -100
"""A label that stands for none."""

Lengths: TypeAlias = Sequence[int] | Tensor | Layout | None


# --------------------------------------------------------------------------------------------------------- parts of the heads


class BertTransform(nn.Module):
    """A dense layer before the vocabulary projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACTIVATION[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """[T, H] -> [T, H]."""
        return self.LayerNorm(self.activation(self.dense(x)))


class BertPredictions(nn.Module):
    """Scores of every word of the vocabulary. The projection is the word embedding, unless the configuration unties them."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = BertTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = nn.Parameter(torch.empty(config.vocab_size))  # and decoder.bias, by tie_weights

    def forward(self, x: Tensor) -> Tensor:
        """[T, H] -> [T, V]."""
        return self.decoder(self.transform(x))


class BertLanguageHeads(nn.Module):
    """The head of masked words, and where it is wanted that of the next sentence."""

    def __init__(self, config: BertConfig, next_sentence: bool = False) -> None:
        super().__init__()
        self.predictions = BertPredictions(config)
        if next_sentence:
            self.seq_relationship = nn.Linear(config.hidden_size, 2)


class BertNextSentenceHead(nn.Module):
    """Whether the second sentence follows the first: 0 it does, 1 it does not."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


# -------------------------------------------------------------------------------------------------------------------- losses


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the labels that are not -100. logits: [..., C], labels: [...]."""
    return F.cross_entropy(logits.flatten(0, -2).float(), labels.flatten(), ignore_index=IGNORED)


def vocabulary_loss(predict: Callable[[Tensor], Tensor], x: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the words at labelled tokens, which are the only ones that are predicted. x: [T, H], labels: [T]."""
    if not torch.compiler.is_compiling():  # which wants shapes that do not depend on numbers
        labelled = (labels != IGNORED).nonzero()[:, 0]
        x, labels = x[labelled], labels[labelled]
    return cross_entropy(predict(x), labels)


def classification_loss(config: BertConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of `config.problem_type`, which the first labels tell where nobody has. logits: [B, C], labels: [B] or [B, C]."""
    if config.problem_type is None:
        whole = not labels.is_floating_point()
        kinds = "single_label_classification" if whole else "multi_label_classification"
        config.problem_type = "regression" if config.num_labels == 1 else kinds
    if config.problem_type == "regression":
        return F.mse_loss(logits.squeeze().float(), labels.squeeze().float())
    if config.problem_type == "single_label_classification":
        return cross_entropy(logits, labels.view(-1))
    return F.binary_cross_entropy_with_logits(logits.float(), labels.float())


def later(predict: nn.Module, x: Tensor, layout: Layout) -> Later:
    """Logits [*outer, V] for whoever reads them, as they were at the time of the forward."""
    grad, kind = torch.is_grad_enabled(), x.device.type
    cast, cast_type = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    versions = [parameter._version for parameter in predict.parameters()]

    def compute() -> Tensor:
        if versions != [parameter._version for parameter in predict.parameters()]:
            raise UsageError(
                "The weights have changed since this forward, and its logits were not read before: read outputs.logits "
                "before optimizer.step()."
            )
        with torch.set_grad_enabled(grad), torch.autocast(kind, cast_type, enabled=cast):
            return layout.unpack(predict(x))

    return Later(compute)


def looked_at(attention_mask: Tensor | None, labels: Tensor | None) -> bool:
    """Whether a label lies on padding, so that the padding has to be computed for it. Labels there should be -100."""
    if labels is None or attention_mask is None or attention_mask.dim() != 2 or torch.compiler.is_compiling():
        return False
    return bool(((labels != IGNORED) & (attention_mask == 0)).any())


def position_loss(scores: Tensor, positions: Tensor, layout: Layout) -> Tensor:
    """Cross entropy of one position among those of its row. scores: [T], positions: [B] or [B, 1]."""
    of_rows = layout.to_grid(scores).float()
    if isinstance(layout, Packed):
        of_rows = of_rows.masked_fill(~layout.mask[:, 0, -1], -torch.inf)
    beyond = of_rows.shape[1]
    return F.cross_entropy(of_rows, positions.view(-1).clamp(0, beyond), ignore_index=beyond)


def shifted(labels: Tensor, layout: Layout) -> Tensor:
    """The label of the token after each, of packed labels: [T] -> [T], -100 after the last of a sequence."""
    assert isinstance(layout, Packed)
    following = F.pad(labels[1:], (0, 1), value=IGNORED)
    first = layout.columns == 0
    starts = torch.zeros_like(first)
    starts[layout.places if layout.places is not None else torch.arange(len(first), device=first.device)] = first
    return following.masked_fill(F.pad(starts[1:], (0, 1), value=True), IGNORED)


# ------------------------------------------------------------------------------------------------------------------- classes


class BertWithHead(BertPreTrainedModel):
    """What the eight classes share: BERT over tokens that are arranged already, and the parts of the output that it gives."""

    bert: BertModel
    cls: Any  # the language heads, where the class has them

    def states(
        self,
        inputs: Inputs,
        head_mask: Tensor | None,
        output_attentions: bool | Sequence[int] | None,
        output_hidden_states: bool | None,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """BertModel's output, [T, H] where it is [B, L, H] for others."""
        output: BaseModelOutputWithPoolingAndCrossAttentions = self.bert(
            inputs.input_ids,
            None,
            inputs.token_type_ids,
            inputs.position_ids,
            head_mask,
            inputs.inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            lengths=inputs.layout,
        )
        return output

    def logits(self, x: Tensor, layout: Layout, loss: Tensor | None, return_dict: bool | None) -> Tensor | Later:
        """Scores of every word for every token; with a loss, which does without most of them, not before they are read."""
        if loss is None or not self.wants_dict(return_dict) or torch.compiler.is_compiling():
            return layout.unpack(self.cls.predictions(x))
        return later(self.cls.predictions, x, layout)


def hidden_states(states: BaseModelOutputWithPoolingAndCrossAttentions, layout: Layout) -> tuple[Tensor, ...] | None:
    """Those of the caller, [*outer, H], where there are any."""
    return None if states.hidden_states is None else tuple(layout.unpack(x) for x in states.hidden_states)


def _one_batch(x: Tensor | None) -> Tensor | None:
    """[B, choices, ...] -> [B * choices, ...]."""
    return None if x is None else x.flatten(0, 1)


def _classifier_dropout(config: BertConfig) -> float:
    return config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout


class BertForPreTraining(BertWithHead):
    """BERT as it was pretrained: masked words, and the next sentence."""

    head = "ForPreTraining"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
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
        """labels: [B, L], the word of each masked token and -100 elsewhere. next_sentence_label: [B], 0 it follows, 1 it does not.

        The loss is the sum of both, where both labels are given. The other arguments are those of BertModel.
        """
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            padding_too=looked_at(attention_mask, labels),
        )
        layout = inputs.layout
        states = self.states(inputs, head_mask, output_attentions, output_hidden_states)
        x, related = states.last_hidden_state, self.cls.seq_relationship(states.pooler_output)
        loss = None
        if labels is not None and next_sentence_label is not None:
            loss = vocabulary_loss(self.cls.predictions, x, layout.pack(labels))
            loss = loss + cross_entropy(related, next_sentence_label.view(-1))
        output = BertForPreTrainingOutput(
            loss=loss,
            prediction_logits=self.logits(x, layout, loss, return_dict),
            seq_relationship_logits=related,
            hidden_states=hidden_states(states, layout),
            attentions=states.attentions,
        )
        return output if self.wants_dict(return_dict) else output.to_tuple()


class BertForMaskedLM(BertWithHead):
    """BERT that tells masked words."""

    head = "ForMaskedLM"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
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
            padding_too=looked_at(attention_mask, labels),
        )
        layout = inputs.layout
        states = self.states(inputs, head_mask, output_attentions, output_hidden_states)
        x = states.last_hidden_state
        loss = None if labels is None else vocabulary_loss(self.cls.predictions, x, layout.pack(labels))
        output = MaskedLMOutput(
            loss=loss,
            logits=self.logits(x, layout, loss, return_dict),
            hidden_states=hidden_states(states, layout),
            attentions=states.attentions,
        )
        return output if self.wants_dict(return_dict) else output.to_tuple()


class BertLMHeadModel(BertWithHead):
    """BERT as a decoder, that tells the next word. Its configuration says is_decoder=True."""

    head = "LMHeadModel"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        if not config.is_decoder:
            logger.warning(
                "BertLMHeadModel of a configuration without is_decoder=True: every token sees those after it."
            )
        with torch.device("meta"):
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
        past_key_values: Cache | Sequence[LayerCache] | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        lengths: Lengths = None,
    ) -> CausalLMOutputWithCrossAttentions | tuple[Any, ...]:
        """labels: [B, L], the words themselves, -100 where there is no loss: each is told from the tokens before it.

        The other arguments are those of BertModel. With labels no cache is kept unless use_cache=True.
        """
        use_cache = False if use_cache is None and labels is not None else use_cache
        following = None if labels is None or labels.dim() == 1 else F.pad(labels[:, 1:], (0, 1), value=IGNORED)
        past, keeps_cache = self.bert.cache_of(past_key_values, use_cache, lengths)
        steps = past is not None or keeps_cache or encoder_hidden_states is not None
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            causal=self.config.is_decoder,
            past=(past.get_seq_length() if past else 0) if steps else None,
            padding_too=looked_at(attention_mask, following),
        )
        layout = inputs.layout
        states = self.bert(
            inputs.input_ids,
            None,
            inputs.token_type_ids,
            inputs.position_ids,
            head_mask,
            inputs.inputs_embeds,
            encoder_hidden_states,
            encoder_attention_mask,
            past,
            keeps_cache,
            output_attentions,
            output_hidden_states,
            return_dict=True,
            lengths=layout,
        )
        x = states.last_hidden_state
        loss = None
        if labels is not None:
            following = shifted(labels, layout) if following is None else following
            loss = vocabulary_loss(self.cls.predictions, x, layout.pack(following))
        output = CausalLMOutputWithCrossAttentions(
            loss=loss,
            logits=self.logits(x, layout, loss, return_dict),
            past_key_values=states.past_key_values,
            hidden_states=hidden_states(states, layout),
            attentions=states.attentions,
            cross_attentions=states.cross_attentions,
        )
        return output if self.wants_dict(return_dict) else output.to_tuple()

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


class BertForNextSentencePrediction(BertWithHead):
    """BERT that tells whether one sentence follows another."""

    head = "ForNextSentencePrediction"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
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
        inputs = arrange(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, lengths)
        layout = inputs.layout
        states = self.states(inputs, head_mask, output_attentions, output_hidden_states)
        logits = self.cls.seq_relationship(states.pooler_output)
        output = NextSentencePredictorOutput(
            loss=None if labels is None else cross_entropy(logits, labels.view(-1)),
            logits=logits,
            hidden_states=hidden_states(states, layout),
            attentions=states.attentions,
        )
        return output if self.wants_dict(return_dict) else output.to_tuple()


class BertForSequenceClassification(BertWithHead):
    """BERT that puts a text, or a pair of texts, into classes, or gives it numbers."""

    head = "ForSequenceClassification"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
            self.bert = BertModel(config)
            self.dropout = nn.Dropout(_classifier_dropout(config))
            self.classifier = nn.Linear(config.hidden_size, config.num_labels)
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
        inputs = arrange(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, lengths)
        layout = inputs.layout
        states = self.states(inputs, head_mask, output_attentions, output_hidden_states)
        logits = self.classifier(self.dropout(states.pooler_output))
        output = SequenceClassifierOutput(
            loss=None if labels is None else classification_loss(self.config, logits, labels),
            logits=logits,
            hidden_states=hidden_states(states, layout),
            attentions=states.attentions,
        )
        return output if self.wants_dict(return_dict) else output.to_tuple()


class BertForMultipleChoice(BertWithHead):
    """BERT that chooses among texts."""

    head = "ForMultipleChoice"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
            self.bert = BertModel(config)
            self.dropout = nn.Dropout(_classifier_dropout(config))
            self.classifier = nn.Linear(config.hidden_size, 1)
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
        """input_ids and their like: [B, choices, L]. labels: [B], the choice that is right. The other arguments are those of BertModel.

        With lengths, the sequences are the choices one after the other, and `labels` tell how many there are of each.
        """
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given is None or given.dim() < 3:
            raise UsageError("BertForMultipleChoice takes input_ids of the shape [batch, choices, length].")
        choices = given.shape[1]
        inputs = arrange(
            _one_batch(input_ids),
            _one_batch(attention_mask),
            _one_batch(token_type_ids),
            _one_batch(position_ids),
            _one_batch(inputs_embeds),
            lengths,
        )
        layout = inputs.layout
        states = self.states(inputs, head_mask, output_attentions, output_hidden_states)
        logits = self.classifier(self.dropout(states.pooler_output)).view(-1, choices)
        output = MultipleChoiceModelOutput(
            loss=None if labels is None else cross_entropy(logits, labels),
            logits=logits,
            hidden_states=hidden_states(states, layout),
            attentions=states.attentions,
        )
        return output if self.wants_dict(return_dict) else output.to_tuple()


class BertForTokenClassification(BertWithHead):
    """BERT that puts every token into a class."""

    head = "ForTokenClassification"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
            self.bert = BertModel(config, add_pooling_layer=False)
            self.dropout = nn.Dropout(_classifier_dropout(config))
            self.classifier = nn.Linear(config.hidden_size, config.num_labels)
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
            padding_too=looked_at(attention_mask, labels),
        )
        layout = inputs.layout
        states = self.states(inputs, head_mask, output_attentions, output_hidden_states)
        logits = self.classifier(self.dropout(states.last_hidden_state))
        output = TokenClassifierOutput(
            loss=None if labels is None else cross_entropy(logits, layout.pack(labels)),
            logits=layout.unpack(logits),
            hidden_states=hidden_states(states, layout),
            attentions=states.attentions,
        )
        return output if self.wants_dict(return_dict) else output.to_tuple()


class BertForQuestionAnswering(BertWithHead):
    """BERT that finds where an answer starts and ends."""

    head = "ForQuestionAnswering"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
            self.bert = BertModel(config, add_pooling_layer=False)
            self.qa_outputs = nn.Linear(config.hidden_size, 2)
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
        """start_positions, end_positions: [B], the first and the last token of each answer; one beyond the text counts for nothing.

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
        layout = inputs.layout
        states = self.states(inputs, head_mask, output_attentions, output_hidden_states)
        logits = self.qa_outputs(states.last_hidden_state)
        start, end = logits[:, 0], logits[:, 1]
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (position_loss(start, start_positions, layout) + position_loss(end, end_positions, layout)) / 2
        output = QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=layout.unpack(start),
            end_logits=layout.unpack(end),
            hidden_states=hidden_states(states, layout),
            attentions=states.attentions,
        )
        return output if self.wants_dict(return_dict) else output.to_tuple()
