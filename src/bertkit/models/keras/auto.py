"""The Auto classes, which load BERT. Other models raise an error."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from bertkit.config import BertConfig
from bertkit.errors import UsageError
from bertkit.models.keras import heads
from bertkit.models.keras.model import TFBertModel
from bertkit.models.keras.pretrained import TFBertPreTrainedModel


class _Auto:
    made: ClassVar[type[TFBertPreTrainedModel]]

    def __init__(self, *_: Any, **__: Any) -> None:
        name = type(self).__name__
        raise UsageError(
            f"{name} cannot be instantiated: type {name}.from_pretrained(name) or {name}.from_config(config)."
        )

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], config: Any = None, **options: Any
    ) -> Any:
        """See `from_pretrained` of the BERT class."""
        return cls.made.from_pretrained(pretrained_model_name_or_path, config=config, **options)

    @classmethod
    def from_config(cls, config: BertConfig, **options: Any) -> Any:
        """A model with random weights. See `from_config` of the BERT class."""
        return cls.made.from_config(config, **options)


class TFAutoModel(_Auto):
    """TFBertModel."""

    made = TFBertModel


class TFAutoModelForPreTraining(_Auto):
    """TFBertForPreTraining."""

    made = heads.TFBertForPreTraining


class TFAutoModelForMaskedLM(_Auto):
    """TFBertForMaskedLM."""

    made = heads.TFBertForMaskedLM


class TFAutoModelForCausalLM(_Auto):
    """TFBertLMHeadModel."""

    made = heads.TFBertLMHeadModel


class TFAutoModelForNextSentencePrediction(_Auto):
    """TFBertForNextSentencePrediction."""

    made = heads.TFBertForNextSentencePrediction


class TFAutoModelForSequenceClassification(_Auto):
    """TFBertForSequenceClassification."""

    made = heads.TFBertForSequenceClassification


class TFAutoModelForMultipleChoice(_Auto):
    """TFBertForMultipleChoice."""

    made = heads.TFBertForMultipleChoice


class TFAutoModelForTokenClassification(_Auto):
    """TFBertForTokenClassification."""

    made = heads.TFBertForTokenClassification


class TFAutoModelForQuestionAnswering(_Auto):
    """TFBertForQuestionAnswering."""

    made = heads.TFBertForQuestionAnswering
