"""The output classes under the path of transformers."""

from __future__ import annotations

from bertkit.outputs import (
    BaseModelOutputWithPoolingAndCrossAttentions as BaseModelOutputWithPoolingAndCrossAttentions,
)
from bertkit.outputs import CausalLMOutputWithCrossAttentions as CausalLMOutputWithCrossAttentions
from bertkit.outputs import MaskedLMOutput as MaskedLMOutput
from bertkit.outputs import ModelOutput as ModelOutput
from bertkit.outputs import MultipleChoiceModelOutput as MultipleChoiceModelOutput
from bertkit.outputs import NextSentencePredictorOutput as NextSentencePredictorOutput
from bertkit.outputs import QuestionAnsweringModelOutput as QuestionAnsweringModelOutput
from bertkit.outputs import SequenceClassifierOutput as SequenceClassifierOutput
from bertkit.outputs import TokenClassifierOutput as TokenClassifierOutput
