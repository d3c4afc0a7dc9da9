"""What a forward returns: values by attribute, by key, or by position.

    outputs.logits    outputs["logits"]    outputs[0]    loss, logits = outputs.to_tuple()

A value that a call did not produce is None as an attribute, and neither a key nor a position. The frameworks share the classes:
an array here is a tensor of whichever it was.

    B batch   L length   H hidden   V vocabulary   C labels   A attention heads
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Later:
    """A value that is computed when somebody reads it."""

    compute: Callable[[], Any]


class ModelOutput(dict[str, Any]):
    """The base: a dict of what there is, in the order of the class's annotations.

    >>> output = MaskedLMOutput(loss=1.5, logits=Later(lambda: [[0.5]]))
    >>> output.loss, output["logits"], output[1], output.hidden_states
    (1.5, [[0.5]], [[0.5]], None)
    >>> list(output)
    ['loss', 'logits']
    """

    names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.names = tuple(cls.__annotations__)
        dataclass(init=False, repr=False, eq=False)(cls)  # as which FSDP and others copy outputs, and keep their class
        cls.to_tuple = cls.to_tuple  # type: ignore[method-assign]  # a method of its own, or torch.jit.trace sees no dict

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
        if isinstance(value, Later):
            value = value.compute()
            super().__setitem__(key, value)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default` where the call did not produce it."""
        return self[key] if key in self else default  # noqa: SIM401 - which would call itself

    # A dict is copied without a look at __getitem__ unless it has an iterator of its own.
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """The pairs of what there is."""
        return ItemsView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """What there is."""
        return ValuesView(self)

    def to_tuple(self) -> tuple[Any, ...]:
        """What there is, in order."""
        return tuple(self[name] for name in self.names if name in self)

    def unread(self) -> dict[str, Any]:
        """The pairs as they lie here, those that nobody has read yet included."""
        return {name: dict.__getitem__(self, name) for name in dict.keys(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self.items()),)


class BaseModelOutputWithPoolingAndCrossAttentions(ModelOutput):
    """Of BertModel."""

    last_hidden_state: Any  # [B, L, H]
    pooler_output: Any  # [B, H]
    past_key_values: Any  # Cache
    hidden_states: Any  # of the embeddings and of each layer: [B, L, H]
    attentions: Any  # of each layer: [B, A, L, L]
    cross_attentions: Any  # of each layer: [B, A, L, length of the encoder]


class BaseModelOutputWithPastAndCrossAttentions(ModelOutput):
    """Of the encoder of BertModel, where it is called by itself."""

    last_hidden_state: Any  # [B, L, H]
    past_key_values: Any  # Cache
    hidden_states: Any
    attentions: Any
    cross_attentions: Any


class BertForPreTrainingOutput(ModelOutput):
    """Of BertForPreTraining."""

    loss: Any
    prediction_logits: Any  # [B, L, V]
    seq_relationship_logits: Any  # [B, 2]: 0 the second sentence follows, 1 it does not
    hidden_states: Any
    attentions: Any


class MaskedLMOutput(ModelOutput):
    """Of BertForMaskedLM."""

    loss: Any
    logits: Any  # [B, L, V]
    hidden_states: Any
    attentions: Any


class CausalLMOutputWithCrossAttentions(ModelOutput):
    """Of BertLMHeadModel."""

    loss: Any
    logits: Any  # [B, L, V]
    past_key_values: Any
    hidden_states: Any
    attentions: Any
    cross_attentions: Any


class NextSentencePredictorOutput(ModelOutput):
    """Of BertForNextSentencePrediction."""

    loss: Any
    logits: Any  # [B, 2]
    hidden_states: Any
    attentions: Any


class SequenceClassifierOutput(ModelOutput):
    """Of BertForSequenceClassification."""

    loss: Any
    logits: Any  # [B, C]
    hidden_states: Any
    attentions: Any


class MultipleChoiceModelOutput(ModelOutput):
    """Of BertForMultipleChoice."""

    loss: Any
    logits: Any  # [B, choices]
    hidden_states: Any  # [B * choices, L, H]
    attentions: Any


class TokenClassifierOutput(ModelOutput):
    """Of BertForTokenClassification."""

    loss: Any
    logits: Any  # [B, L, C]
    hidden_states: Any
    attentions: Any


class QuestionAnsweringModelOutput(ModelOutput):
    """Of BertForQuestionAnswering."""

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
"""All of them, for the frameworks that want their outputs registered."""
