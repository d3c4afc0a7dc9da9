"""The outputs of a forward, with values by attribute, by key, or by position.

    outputs.logits    outputs["logits"]    outputs[0]    loss, logits = outputs.to_tuple()

A value that a call did not compute is None as an attribute, and has no key and no position. All frameworks use these classes,
each with its own type of tensor.

    B batch   L length   H hidden   V vocabulary   C labels   A attention heads
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Lazy:
    """A value that is computed when it is first read."""

    compute: Callable[[], Any]


class ModelOutput(dict[str, Any]):
    """The base class: a dict of the values that are not None, in the order of the class's annotations.

    >>> output = MaskedLMOutput(loss=1.5, logits=Lazy(lambda: [[0.5]]))
    >>> output.loss, output["logits"], output[1], output.hidden_states
    (1.5, [[0.5]], [[0.5]], None)
    >>> list(output)
    ['loss', 'logits']
    """

    names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.names = tuple(cls.__annotations__)
        dataclass(init=False, repr=False, eq=False)(cls)  # FSDP and others copy dataclasses without losing their class
        cls.to_tuple = cls.to_tuple  # type: ignore[method-assign]  # torch.jit.trace needs it in each class

    def __init__(self, values: Mapping[str, Any] | None = None, **named: Any) -> None:
        given = {**dict(values or {}), **named}
        for name in given:
            if name not in self.names:
                raise TypeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(self.names)}.")
        super().__init__()
        for name in self.names:
            if given.get(name) is not None:
                self[name] = given[name]

    def __getattr__(self, name: str) -> Any:
        if name in self.names:
            return self[name] if name in self else None  # noqa: SIM401
        raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(self.names)}.")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.names:
            raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(self.names)}.")
        self[name] = value

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        value = super().__getitem__(key)
        if isinstance(value, Lazy):
            value = value.compute()
            super().__setitem__(key, value)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default` if the output does not have it."""
        return self[key] if key in self else default  # noqa: SIM401 - its advice, self.get, is this method

    # Without this method, dict(output) would not call __getitem__, which computes lazy values.
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """The keys with their values."""
        return ItemsView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """The values, in the order of the keys."""
        return ValuesView(self)

    def to_tuple(self) -> tuple[Any, ...]:
        """The values as a tuple, in the order of the keys."""
        return tuple(self[name] for name in self.names if name in self)

    def unread(self) -> dict[str, Any]:
        """The keys with their values, without computing those that are `Lazy`."""
        return {name: dict.__getitem__(self, name) for name in dict.keys(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self.items()),)


class BaseModelOutputWithPoolingAndCrossAttentions(ModelOutput):
    """The output of BertModel."""

    last_hidden_state: Any  # [B, L, H]
    pooler_output: Any  # [B, H]
    past_key_values: Any  # Cache
    hidden_states: Any  # after the embeddings and after each layer: [B, L, H]
    attentions: Any  # of each layer: [B, A, L, L]
    cross_attentions: Any  # of each layer: [B, A, L, length of the encoder]


class BaseModelOutputWithPastAndCrossAttentions(ModelOutput):
    """The output of BertModel's encoder, if it is called directly."""

    last_hidden_state: Any  # [B, L, H]
    past_key_values: Any  # Cache
    hidden_states: Any
    attentions: Any
    cross_attentions: Any


class BertForPreTrainingOutput(ModelOutput):
    """The output of BertForPreTraining."""

    loss: Any
    prediction_logits: Any  # [B, L, V]
    seq_relationship_logits: Any  # [B, 2]: 0 for a second sentence that follows the first, 1 for another
    hidden_states: Any
    attentions: Any


class MaskedLMOutput(ModelOutput):
    """The output of BertForMaskedLM."""

    loss: Any
    logits: Any  # [B, L, V]
    hidden_states: Any
    attentions: Any


class CausalLMOutputWithCrossAttentions(ModelOutput):
    """The output of BertLMHeadModel."""

    loss: Any
    logits: Any  # [B, L, V]
    past_key_values: Any
    hidden_states: Any
    attentions: Any
    cross_attentions: Any


class NextSentencePredictorOutput(ModelOutput):
    """The output of BertForNextSentencePrediction."""

    loss: Any
    logits: Any  # [B, 2]
    hidden_states: Any
    attentions: Any


class SequenceClassifierOutput(ModelOutput):
    """The output of BertForSequenceClassification."""

    loss: Any
    logits: Any  # [B, C]
    hidden_states: Any
    attentions: Any


class MultipleChoiceModelOutput(ModelOutput):
    """The output of BertForMultipleChoice."""

    loss: Any
    logits: Any  # [B, choices]
    hidden_states: Any  # [B * choices, L, H]
    attentions: Any


class TokenClassifierOutput(ModelOutput):
    """The output of BertForTokenClassification."""

    loss: Any
    logits: Any  # [B, L, C]
    hidden_states: Any
    attentions: Any


class QuestionAnsweringModelOutput(ModelOutput):
    """The output of BertForQuestionAnswering."""

    loss: Any
    start_logits: Any  # [B, L]
    end_logits: Any  # [B, L]
    hidden_states: Any
    attentions: Any


OUTPUTS: tuple[type[ModelOutput], ...] = (
    BaseModelOutputWithPoolingAndCrossAttentions,
    BaseModelOutputWithPastAndCrossAttentions,
    BertForPreTrainingOutput,
    MaskedLMOutput,
    CausalLMOutputWithCrossAttentions,
    NextSentencePredictorOutput,
    SequenceClassifierOutput,
    MultipleChoiceModelOutput,
    TokenClassifierOutput,
    QuestionAnsweringModelOutput,
)
"""All output classes, for frameworks that must register them."""


class Seq2SeqLMOutput(ModelOutput):
    """The output of EncoderDecoderModel."""

    loss: Any
    logits: Any  # [B, L, V]
    past_key_values: Any
    decoder_hidden_states: Any
    decoder_attentions: Any
    cross_attentions: Any
    encoder_last_hidden_state: Any  # [B, S, H]
    encoder_hidden_states: Any
    encoder_attentions: Any


class GenerateDecoderOnlyOutput(ModelOutput):
    """What `generate` returns with return_dict_in_generate=True and one beam.

    sequences [B, t]. scores, logits: a tensor [B, V] for each new word, -inf for rows that had ended.
    """

    sequences: Any
    scores: tuple[Any, ...] | None
    logits: tuple[Any, ...] | None


class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """What `generate` returns with return_dict_in_generate=True and several beams.

    sequences [B * texts, t]. sequences_scores [B * texts]. scores, logits: a tensor [B * beams, V] for each new word, -inf for
    rows that had ended. beam_indices [B * texts, new words]: the row of `scores` that each word is from, -1 after the end.
    """

    sequences: Any
    sequences_scores: Any
    scores: tuple[Any, ...] | None
    logits: tuple[Any, ...] | None
    beam_indices: Any


class GenerateEncoderDecoderOutput(GenerateDecoderOnlyOutput):
    """The same as GenerateDecoderOnlyOutput, of an encoder-decoder."""

    sequences: Any
    scores: tuple[Any, ...] | None
    logits: tuple[Any, ...] | None


class GenerateBeamEncoderDecoderOutput(GenerateBeamDecoderOnlyOutput):
    """The same as GenerateBeamDecoderOnlyOutput, of an encoder-decoder."""

    sequences: Any
    sequences_scores: Any
    scores: tuple[Any, ...] | None
    logits: tuple[Any, ...] | None
    beam_indices: Any
