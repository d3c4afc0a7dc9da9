"""The Auto classes, which load BERT. Other models raise an error."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.models.flax import heads
from bertkit.models.flax.pretrained import FlaxBertPreTrainedModel


class _Auto:
    made: ClassVar[type[FlaxBertPreTrainedModel]]

    def __init__(self, *_: Any, **__: Any) -> None:
        name = type(self).__name__
        raise UsageError(
            f"{name} cannot be instantiated: type {name}.from_pretrained(name) or {name}.from_config(config)."
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **options: Any) -> Any:
        """See `from_pretrained` of the BERT class."""
        return cls.made.from_pretrained(pretrained_model_name_or_path, *args, **options)

    @classmethod
    def from_config(cls, config: BertConfig, **options: Any) -> Any:
        """A model with random weights. See `from_config` of the BERT class."""
        return cls.made.from_config(config, **options)


class FlaxAutoModel(_Auto):
    """FlaxBertModel."""

    made = heads.FlaxBertModel


class FlaxAutoModelForPreTraining(_Auto):
    """FlaxBertForPreTraining."""

    made = heads.FlaxBertForPreTraining


class FlaxAutoModelForMaskedLM(_Auto):
    """FlaxBertForMaskedLM."""

    made = heads.FlaxBertForMaskedLM


class FlaxAutoModelForCausalLM(_Auto):
    """FlaxBertForCausalLM."""

    made = heads.FlaxBertForCausalLM


class FlaxAutoModelForNextSentencePrediction(_Auto):
    """FlaxBertForNextSentencePrediction."""

    made = heads.FlaxBertForNextSentencePrediction


class FlaxAutoModelForSequenceClassification(_Auto):
    """FlaxBertForSequenceClassification."""

    made = heads.FlaxBertForSequenceClassification


class FlaxAutoModelForMultipleChoice(_Auto):
    """FlaxBertForMultipleChoice."""

    made = heads.FlaxBertForMultipleChoice


class FlaxAutoModelForTokenClassification(_Auto):
    """FlaxBertForTokenClassification."""

    made = heads.FlaxBertForTokenClassification


class FlaxAutoModelForQuestionAnswering(_Auto):
    """FlaxBertForQuestionAnswering."""

    made = heads.FlaxBertForQuestionAnswering
