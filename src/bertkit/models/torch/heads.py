"""The eight classes with a head. A class has its signature, `_outputs` and `_loss`; `_answer` does the rest for all of them.

T tokens   N sequences   B batch   L length   H hidden   V vocabulary   C labels
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.heads import HEADS, IGNORED
from bertkit.models.torch.cache import Cache, LayerCache
from bertkit.models.torch.generation import Generates
from bertkit.models.torch.model import ACTIVATION, BertModel, linear
from bertkit.models.torch.packing import Arranged, Layout, Packed, arrange
from bertkit.models.torch.pretrained import BertPreTrainedModel
from bertkit.outputs import (
    BertForPreTrainingOutput,
    CausalLMOutputWithCrossAttentions,
    Lazy,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

logger = logging.getLogger("bertkit")

Lengths: TypeAlias = Sequence[int] | Tensor | None


# --------------------------------------------------------------------------------------------------------- parts of the heads


class BertPredictions(nn.Sequential):
    """Scores of all words of the vocabulary. Its projection is the word embedding, unless the configuration unties them."""

    def __init__(self, config: BertConfig) -> None:
        transform = OrderedDict(
            dense=linear(config.hidden_size, config.hidden_size),
            transform_act_fn=ACTIVATION[config.hidden_act](),
            LayerNorm=nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, device="meta"),
        )
        decoder = linear(config.hidden_size, config.vocab_size)
        super().__init__(OrderedDict(transform=nn.Sequential(transform), decoder=decoder))  # [T, H] -> [T, V]
        self.bias = nn.Parameter(torch.empty(config.vocab_size, device="meta"))  # and decoder.bias, by tie_weights


class BertWordsHead(nn.Module):
    """The masked-language-modelling head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = BertPredictions(config)

    def forward(self, sequence_output: Tensor) -> Tensor:
        """[T, H] -> [T, V]."""
        scores: Tensor = self.predictions(sequence_output)
        return scores


class BertNextSentenceHead(nn.Module):
    """The next-sentence head. Class 0: the second sentence follows the first; class 1: it does not."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.seq_relationship = linear(config.hidden_size, 2)

    def forward(self, pooled_output: Tensor) -> Tensor:
        """[N, H] -> [N, 2]."""
        scores: Tensor = self.seq_relationship(pooled_output)
        return scores


class BertPreTrainingHeads(nn.Module):
    """The masked-language-modelling head and the next-sentence head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = BertPredictions(config)
        self.seq_relationship = linear(config.hidden_size, 2)

    def forward(self, sequence_output: Tensor, pooled_output: Tensor) -> tuple[Tensor, Tensor]:
        """[T, H] and [N, H] -> [T, V] and [N, 2]."""
        return self.predictions(sequence_output), self.seq_relationship(pooled_output)


# ------------------------------------------------------------------------------------------------------- what the classes share


@dataclass(frozen=True)
class _OfAllTokens:
    """Logits of all tokens, computed when they are read. The loss needs those of labelled tokens only."""

    model: BertWithHead
    name: str
    states: Tensor  # [T, H]
    pooled: Tensor | None
    layout: Layout
    before: Sequence[tuple[Tensor, int, Tensor]]  # parameters of the head, their versions, a sample of their values
    autocast: torch.dtype | None
    grad: bool = field(default_factory=torch.is_grad_enabled)

    def __call__(self) -> Tensor:
        """[*outer, V], with the weights of the forward. Raises UsageError if they have changed since."""
        here = {id(p) for p in self.model.parameters()}
        if any(
            id(p) not in here or p._version != version or not _same(p, sample) for p, version, sample in self.before
        ):
            raise UsageError(
                "The weights have changed since this forward, and its logits were not read before: read outputs.logits "
                "before optimizer.step()."
            )
        kind = self.states.device.type
        with torch.set_grad_enabled(self.grad), torch.autocast(kind, self.autocast, enabled=self.autocast is not None):
            return self.layout.unpack(self.model._outputs(self.states, self.pooled)[self.name])


def _same(parameter: Tensor, sample: Tensor) -> bool:
    """Whether a parameter still has the values of an earlier sample."""
    now = parameter.detach().reshape(-1)[:: parameter.numel() // 64 + 1]
    return now.dtype == sample.dtype and now.device == sample.device and torch.equal(now, sample)


class BertWithHead(BertPreTrainedModel):
    """The base of the eight classes: arranged tokens -> outputs and a loss."""

    bert: BertModel

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        """The outputs of the head by their names, from states of tokens x [T, H] and pooled vectors [N, H]."""
        raise NotImplementedError

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any], layout: Layout) -> Tensor:
        """The sum of the cross-entropy of each output with its labels, averaged over labels that are not -100."""
        losses = [
            cross_entropy(logits, wanted) for logits, wanted in zip(outputs.values(), labels.values(), strict=True)
        ]
        return torch.stack(losses).sum() if len(losses) > 1 else losses[0]

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
        past_key_values: Cache | None = None,
        use_cache: bool = False,
        last: int = 0,
    ) -> Any:
        """The output object of a forward. labels: by their names; labels of tokens are arranged as the tokens are.

        With labels, the logits of words are computed for labelled tokens only. Those of all tokens are computed when read.
        last: compute the outputs of so many last tokens of each row; 0: of all.
        """
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
        x, pooled, layout, row = states.last_hidden_state, states.pooler_output, inputs.layout, HEADS[str(self._head)]
        has_labels = bool(labels) and all(wanted is not None for wanted in labels.values())
        words = next((name for name, output in row.outputs.items() if output.grain == "place"), None)
        sharded = getattr(self, "_is_fsdp_managed_module", False)  # FSDP frees the parameters after the forward
        later = words is not None and has_labels and not sharded
        later = later and not torch.compiler.is_compiling()  # its shapes cannot depend on the labels
        if later:
            head = (p for module in self.children() if module is not self.bert for p in module.parameters())
            # Fused optimizers and writes to .data change values without a new version.
            before = [
                (p, p._version, p.detach().reshape(-1)[:: p.numel() // 64 + 1].clone())
                for p in head
                if not p.is_inference()
            ]
            kind = x.device.type
            autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
            wanted = labels["labels"].flatten()
            labelled = (wanted != IGNORED).nonzero()[:, 0]
            labels = {**labels, "labels": wanted[labelled]}
        if last:
            x = layout.unpack(x)[:, -last:]
        outputs = self._outputs(x.flatten(0, -2)[labelled] if later else x, pooled)
        if inputs.choices is not None:
            outputs = {name: output.view(-1, inputs.choices) for name, output in outputs.items()}
        found: dict[str, Any] = states._asdict()
        for name, output in list(outputs.items()):
            grain, padding = row.outputs[name].grain, max(row.outputs[name].padding, torch.finfo(output.dtype).min)
            if later and name == words:
                found[name] = Lazy(_OfAllTokens(self, name, x, pooled, layout, before, autocast))
            elif has_labels and grain == "token":
                found[name], outputs[name] = layout.returned(output, padding)
            else:
                found[name] = output if grain == "row" or last else layout.unpack(output, padding)
        found["loss"] = self._loss(outputs, labels, layout) if has_labels else None
        answer = row.output({name: found.get(name) for name in row.output.names})
        if return_dict is None:
            return_dict = self.config.return_dict and not self.config.torchscript
        return answer if return_dict else answer.to_tuple()


def cross_entropy(logits: Tensor, labels: Any) -> Tensor:
    """The mean over labels that are not -100. logits: [..., C]. Raises UsageError for invalid labels."""
    logits = logits.flatten(0, -2)
    try:
        return F.cross_entropy(logits.float(), labels.flatten(), ignore_index=IGNORED)
    except (AttributeError, IndexError, RuntimeError, ValueError) as error:
        sentence = _invalid_labels(logits, labels, beyond=isinstance(error, IndexError))
        if not sentence:
            raise
        raise UsageError(sentence) from error


def _invalid_labels(logits: Tensor, labels: object, beyond: bool) -> str:
    """Error text for invalid labels, or an empty string. beyond: whether a label is above the number of classes."""
    if not isinstance(labels, Tensor):
        return f"Labels are a {type(labels).__name__}, and must be a tensor: torch.tensor(labels)."
    if labels.dtype != torch.long:
        return f"Labels are of {labels.dtype}, and must be numbers of classes: labels.long()."
    if labels.numel() != len(logits):
        return f"Labels have the shape {list(labels.shape)}, and must be {len(logits)}, one for each row of the logits."
    counted = labels[labels != IGNORED]
    if not beyond:
        return ""
    return (
        f"Labels are {counted.min()} to {counted.max()}, and must be 0 to {logits.shape[-1] - 1}, or {IGNORED} where there is "
        "no label."
    )


# ------------------------------------------------------------------------------------------------------------------- classes


def _classifier_dropout(config: BertConfig) -> float:
    return config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout


class BertForPreTraining(BertWithHead):
    """BERT with a masked-language-modelling head and a next-sentence head, as in pretraining."""

    _head = "ForPreTraining"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        config = self.config
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        words, related = self.cls(x, pooled)
        return {"prediction_logits": words, "seq_relationship_logits": related}

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
        lengths: Lengths = None,
    ) -> BertForPreTrainingOutput | tuple[Any, ...]:
        """labels: [B, L], the word of each masked token, -100 elsewhere. next_sentence_label: [B], 0 if it follows, else 1.

        There is a loss, the sum of both, if both labels are given. The other arguments are those of BertModel.
        """
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            labels=labels,
            causal=self.config.is_decoder,
        )
        return self._answer(
            inputs,
            {"labels": inputs.labels, "next_sentence_label": next_sentence_label},
            head_mask,
            output_attentions,
            output_hidden_states,
            return_dict,
        )


class BertForMaskedLM(BertWithHead):
    """BERT with a masked-language-modelling head."""

    _head = "ForMaskedLM"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        config = self.config
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertWordsHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.cls(x)}

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
        output_attentions: bool | Sequence[int] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        lengths: Lengths = None,
    ) -> MaskedLMOutput | tuple[Any, ...]:
        """labels: [B, L], the word of each masked token, -100 elsewhere. The other arguments are those of BertModel.

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
            causal=self.config.is_decoder,
            past=None if encoder_hidden_states is None else 0,  # cross-attention requires a rectangle
        )
        return self._answer(
            inputs,
            {"labels": inputs.labels},
            head_mask,
            output_attentions,
            output_hidden_states,
            return_dict,
            encoder_hidden_states,
            encoder_attention_mask,
        )


class BertLMHeadModel(Generates, BertWithHead):
    """BERT as a decoder with a language-modelling head, for configurations with is_decoder=True."""

    _head = "LMHeadModel"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        config = self.config
        if not config.is_decoder:
            logger.warning(
                "BertLMHeadModel without is_decoder=True in its configuration: each token attends to those after it, too."
            )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertWordsHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.cls(x)}

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
        lengths: Lengths = None,
        logits_to_keep: int = 0,
    ) -> CausalLMOutputWithCrossAttentions | tuple[Any, ...]:
        """labels: [B, L], the words themselves, -100 where there is no loss. Each is predicted from the tokens before it.

        logits_to_keep: return the logits of so many last positions of the batch only, which saves their computation; 0: of all.
        The other arguments are those of BertModel. A decoder returns its cache by default, except in training.
        """
        is_number = isinstance(logits_to_keep, Integral | Tensor) and not getattr(logits_to_keep, "ndim", 0)
        last = int(logits_to_keep) if is_number else -1  # torch.onnx traces a number as a tensor
        if last < 0 or (last and (labels is not None or lengths is not None)):
            raise UsageError(
                f"logits_to_keep is {logits_to_keep!r:.80}, and must be a number from 0 on; with labels or lengths, leave it out."
            )
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
        return self._answer(
            inputs,
            {"labels": inputs.labels},
            head_mask,
            output_attentions,
            output_hidden_states,
            return_dict,
            encoder_hidden_states,
            encoder_attention_mask,
            cache,
            keeps_cache,
            last,
        )


class BertForNextSentencePrediction(BertWithHead):
    """BERT with a next-sentence head."""

    _head = "ForNextSentencePrediction"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        config = self.config
        self.bert = BertModel(config)
        self.cls = BertNextSentenceHead(config)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.cls(pooled)}

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
        lengths: Lengths = None,
    ) -> NextSentencePredictorOutput | tuple[Any, ...]:
        """labels: [B], 0 if the second sentence follows the first, else 1. The other arguments are those of BertModel."""
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            causal=self.config.is_decoder,
            pooled_only=True,
        )
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class BertForSequenceClassification(BertWithHead):
    """BERT with a classification or regression head over a text or a pair of texts."""

    _head = "ForSequenceClassification"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        config = self.config
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.classifier = linear(config.hidden_size, config.num_labels)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.dropout(pooled))}

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any], layout: Layout) -> Tensor:
        """The loss of `config.problem_type`. If that is None, the type of the first labels sets it."""
        logits, wanted, kind = outputs["logits"], labels["labels"], self.config.problem_type
        if kind is None:
            several = isinstance(wanted, Tensor) and wanted.is_floating_point()
            kind = "multi_label_classification" if several else "single_label_classification"
            kind = "regression" if self.config.num_labels == 1 else kind
        if kind == "single_label_classification":
            loss = super()._loss(outputs, labels, layout)
        else:
            x = logits.squeeze() if kind == "regression" else logits
            y = wanted.squeeze() if kind == "regression" and isinstance(wanted, Tensor) else wanted
            if getattr(y, "shape", None) != x.shape:
                received = list(wanted.shape) if isinstance(wanted, Tensor) else type(wanted).__name__
                raise UsageError(
                    f"Labels are {received}, and must be a tensor {list(logits.shape)}, as problem_type={kind!r} has them."
                )
            measure = F.mse_loss if kind == "regression" else F.binary_cross_entropy_with_logits
            loss = measure(x.float(), y.float())
        self.config.problem_type = kind
        return loss

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
        lengths: Lengths = None,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """labels: [B] classes; [B, C] of 0.0 and 1.0 for multi-label classification; or [B] numbers for regression.

        `config.problem_type` chooses the loss; if it is None, the first labels do. The other arguments are those of BertModel.
        """
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            causal=self.config.is_decoder,
            pooled_only=True,
        )
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


def _fold_choices(
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
    position_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    lengths: Lengths,
    causal: bool,
) -> Arranged:
    """Arrange the choices as separate sequences: [B, choices, L] -> [B * choices, L]."""
    every = [input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds]
    if lengths is not None:
        lengths = torch.as_tensor(lengths)
        if lengths.dim() != 2:
            raise UsageError(f"lengths are [batch, choices] here, such as [[3, 5]], not {list(lengths.shape)}.")
        choices, lengths = lengths.shape[1], lengths.flatten()
    else:
        sides = [tuple(getattr(x, "shape", ())[:2]) for x in every if x is not None]
        alike = torch.jit.is_tracing() or all(side == sides[0] for side in sides)  # type: ignore[attr-defined]
        if not sides or not alike or any(len(getattr(x, "shape", ())) < 3 for x in every if x is not None):
            raise UsageError(
                "BertForMultipleChoice takes input_ids, attention_mask and so on as tensors [batch, choices, length]; the first "
                f"sides of these are {sides}."
            )
        choices = sides[0][1]
        every = [None if x is None else x.flatten(0, 1) for x in every]
    ids, mask, types, positions, embeds = every
    inputs = arrange(ids, mask, types, positions, embeds, lengths, causal=causal, pooled_only=True)
    inputs.choices = choices
    return inputs


class BertForMultipleChoice(BertWithHead):
    """BERT with a multiple-choice head: a score for each of several texts."""

    _head = "ForMultipleChoice"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        config = self.config
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.classifier = linear(config.hidden_size, 1)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.dropout(pooled))[:, 0]}  # [N], before they become [B, choices]

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
        lengths: Lengths = None,
    ) -> MultipleChoiceModelOutput | tuple[Any, ...]:
        """input_ids, attention_mask and so on: [B, choices, L]. labels: [B], the right choice.

        lengths: [B, choices], of packed tokens. The other arguments are those of BertModel.
        """
        causal = self.config.is_decoder
        inputs = _fold_choices(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, lengths, causal)
        return self._answer(inputs, {"labels": labels}, head_mask, output_attentions, output_hidden_states, return_dict)


class BertForTokenClassification(BertWithHead):
    """BERT with a classification head over each token."""

    _head = "ForTokenClassification"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        config = self.config
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.classifier = linear(config.hidden_size, config.num_labels)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.dropout(x))}

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
        lengths: Lengths = None,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """labels: [B, L] classes, -100 where there is no label. The other arguments are those of BertModel."""
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            labels=labels,
            causal=self.config.is_decoder,
        )
        return self._answer(
            inputs, {"labels": inputs.labels}, head_mask, output_attentions, output_hidden_states, return_dict
        )


class BertForQuestionAnswering(BertWithHead):
    """BERT with a question-answering head: scores for the start and the end of an answer."""

    _head = "ForQuestionAnswering"

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        config = self.config
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = linear(config.hidden_size, 2)
        self.post_init()

    def _outputs(self, x: Tensor, pooled: Tensor | None) -> dict[str, Tensor]:
        start, end = self.qa_outputs(x).unbind(-1)
        return {"start_logits": start, "end_logits": end}

    def _loss(self, outputs: Mapping[str, Tensor], labels: Mapping[str, Any], layout: Layout) -> Tensor:
        """The mean of two cross-entropies over the positions of a row, padding included. Positions beyond the row are ignored."""
        losses = []
        for logits, positions in zip(outputs.values(), labels.values(), strict=True):
            of_rows = layout.to_grid(logits).float()  # [B, L]
            beyond = of_rows.shape[1]
            places = torch.as_tensor(positions, device=of_rows.device).flatten().clamp(0, beyond)
            if places.dtype != torch.long or len(places) != len(of_rows):
                raise UsageError(_invalid_labels(of_rows, places, beyond=False))
            if isinstance(layout, Packed):  # a row ends with its tokens
                real = layout.mask[:, 0, -1]
                of_rows = of_rows.masked_fill(~real, -torch.inf)
                places = places.masked_fill(places >= real.sum(1), beyond)
            losses.append(F.cross_entropy(of_rows, places, ignore_index=beyond))
        return torch.stack(losses).mean()

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
        lengths: Lengths = None,
    ) -> QuestionAnsweringModelOutput | tuple[Any, ...]:
        """start_positions, end_positions: [B], the first and the last token of each answer. Positions beyond the row are ignored.

        The other arguments are those of BertModel.
        """
        inputs = arrange(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            lengths,
            causal=self.config.is_decoder,
            padding_too=start_positions is not None,
        )
        return self._answer(
            inputs,
            {"start_positions": start_positions, "end_positions": end_positions},
            head_mask,
            output_attentions,
            output_hidden_states,
            return_dict,
        )
