"""The Auto classes, which load BERT. Other models raise an error."""

from __future__ import annotations

import copy
import os
from typing import Any, ClassVar

from bertkit.config.encoder_decoder import EncoderDecoderConfig
from bertkit.errors import UsageError
from bertkit.models.torch import heads
from bertkit.models.torch.encoder_decoder import EncoderDecoderModel
from bertkit.models.torch.model import BertModel


class _Auto:
    made: ClassVar[Any]

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
        return cls.made.from_pretrained(pretrained_model_name_or_path, config, **options)

    @classmethod
    def from_config(cls, config: Any, **options: Any) -> Any:
        """A model with random weights. See `from_config` of the BERT class."""
        return cls.made.from_config(config, **options)


class AutoModel(_Auto):
    """BertModel."""

    made = BertModel


class AutoModelForPreTraining(_Auto):
    """BertForPreTraining."""

    made = heads.BertForPreTraining


class AutoModelForMaskedLM(_Auto):
    """BertForMaskedLM."""

    made = heads.BertForMaskedLM


class AutoModelForCausalLM(_Auto):
    """BertLMHeadModel."""

    made = heads.BertLMHeadModel


class AutoModelForSeq2SeqLM(_Auto):
    """EncoderDecoderModel."""

    made = EncoderDecoderModel

    @classmethod
    def from_config(cls, config: EncoderDecoderConfig, **options: Any) -> Any:
        """A model with random weights. options: `encoder` and `decoder`, models to use as parts."""
        return EncoderDecoderModel(copy.deepcopy(config), **options)


class AutoModelForNextSentencePrediction(_Auto):
    """BertForNextSentencePrediction."""

    made = heads.BertForNextSentencePrediction


class AutoModelForSequenceClassification(_Auto):
    """BertForSequenceClassification."""

    made = heads.BertForSequenceClassification


class AutoModelForMultipleChoice(_Auto):
    """BertForMultipleChoice."""

    made = heads.BertForMultipleChoice


class AutoModelForTokenClassification(_Auto):
    """BertForTokenClassification."""

    made = heads.BertForTokenClassification


class AutoModelForQuestionAnswering(_Auto):
    """BertForQuestionAnswering."""

    made = heads.BertForQuestionAnswering
