"""BERT: models, tokenizers, pipelines, checkpoints and metrics.

Public names are imported on first use, so that `import bertkit` is fast and needs no framework.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertkit.checkpoint import Inspection as Inspection
    from bertkit.checkpoint import LoadReport as LoadReport
    from bertkit.checkpoint import convert as convert
    from bertkit.checkpoint import inspect as inspect
    from bertkit.checkpoint import load_checkpoint as load_checkpoint
    from bertkit.checkpoint import save_checkpoint as save_checkpoint
    from bertkit.config import CONFIG_MAPPING as CONFIG_MAPPING
    from bertkit.config import AutoConfig as AutoConfig
    from bertkit.config import BertConfig as BertConfig
    from bertkit.config.encoder_decoder import EncoderDecoderConfig as EncoderDecoderConfig
    from bertkit.data.collators import DataCollatorForLanguageModeling as DataCollatorForLanguageModeling
    from bertkit.data.collators import DataCollatorForMultipleChoice as DataCollatorForMultipleChoice
    from bertkit.data.collators import DataCollatorForTokenClassification as DataCollatorForTokenClassification
    from bertkit.data.collators import DataCollatorForWholeWordMask as DataCollatorForWholeWordMask
    from bertkit.data.collators import DataCollatorWithPacking as DataCollatorWithPacking
    from bertkit.data.collators import DataCollatorWithPadding as DataCollatorWithPadding
    from bertkit.data.collators import DefaultDataCollator as DefaultDataCollator
    from bertkit.data.collators import default_data_collator as default_data_collator
    from bertkit.data.pretraining import FullSentences as FullSentences
    from bertkit.data.pretraining import Masking as Masking
    from bertkit.data.pretraining import SentencePairs as SentencePairs
    from bertkit.data.shards import Shards as Shards
    from bertkit.diagnosis.doctor import doctor as doctor
    from bertkit.errors import BertkitError as BertkitError
    from bertkit.exporting import Exported as Exported
    from bertkit.exporting import export as export
    from bertkit.hub import locate as locate
    from bertkit.measuring.bench import bench as bench
    from bertkit.models.flax.auto import FlaxAutoModel as FlaxAutoModel
    from bertkit.models.flax.auto import FlaxAutoModelForCausalLM as FlaxAutoModelForCausalLM
    from bertkit.models.flax.auto import FlaxAutoModelForMaskedLM as FlaxAutoModelForMaskedLM
    from bertkit.models.flax.auto import FlaxAutoModelForMultipleChoice as FlaxAutoModelForMultipleChoice
    from bertkit.models.flax.auto import (
        FlaxAutoModelForNextSentencePrediction as FlaxAutoModelForNextSentencePrediction,
    )
    from bertkit.models.flax.auto import FlaxAutoModelForPreTraining as FlaxAutoModelForPreTraining
    from bertkit.models.flax.auto import FlaxAutoModelForQuestionAnswering as FlaxAutoModelForQuestionAnswering
    from bertkit.models.flax.auto import (
        FlaxAutoModelForSequenceClassification as FlaxAutoModelForSequenceClassification,
    )
    from bertkit.models.flax.auto import FlaxAutoModelForTokenClassification as FlaxAutoModelForTokenClassification
    from bertkit.models.flax.heads import FlaxBertForCausalLM as FlaxBertForCausalLM
    from bertkit.models.flax.heads import FlaxBertForMaskedLM as FlaxBertForMaskedLM
    from bertkit.models.flax.heads import FlaxBertForMultipleChoice as FlaxBertForMultipleChoice
    from bertkit.models.flax.heads import FlaxBertForNextSentencePrediction as FlaxBertForNextSentencePrediction
    from bertkit.models.flax.heads import FlaxBertForPreTraining as FlaxBertForPreTraining
    from bertkit.models.flax.heads import FlaxBertForQuestionAnswering as FlaxBertForQuestionAnswering
    from bertkit.models.flax.heads import FlaxBertForSequenceClassification as FlaxBertForSequenceClassification
    from bertkit.models.flax.heads import FlaxBertForTokenClassification as FlaxBertForTokenClassification
    from bertkit.models.flax.heads import FlaxBertModel as FlaxBertModel
    from bertkit.models.flax.outputs import FlaxBertForPreTrainingOutput as FlaxBertForPreTrainingOutput
    from bertkit.models.flax.pretrained import FlaxBertPreTrainedModel as FlaxBertPreTrainedModel
    from bertkit.models.keras.auto import TFAutoModel as TFAutoModel
    from bertkit.models.keras.auto import TFAutoModelForCausalLM as TFAutoModelForCausalLM
    from bertkit.models.keras.auto import TFAutoModelForMaskedLM as TFAutoModelForMaskedLM
    from bertkit.models.keras.auto import TFAutoModelForMultipleChoice as TFAutoModelForMultipleChoice
    from bertkit.models.keras.auto import TFAutoModelForNextSentencePrediction as TFAutoModelForNextSentencePrediction
    from bertkit.models.keras.auto import TFAutoModelForPreTraining as TFAutoModelForPreTraining
    from bertkit.models.keras.auto import TFAutoModelForQuestionAnswering as TFAutoModelForQuestionAnswering
    from bertkit.models.keras.auto import TFAutoModelForSequenceClassification as TFAutoModelForSequenceClassification
    from bertkit.models.keras.auto import TFAutoModelForTokenClassification as TFAutoModelForTokenClassification
    from bertkit.models.keras.callbacks import KerasMetricCallback as KerasMetricCallback
    from bertkit.models.keras.callbacks import PushToHubCallback as PushToHubCallback
    from bertkit.models.keras.heads import TFBertForMaskedLM as TFBertForMaskedLM
    from bertkit.models.keras.heads import TFBertForMultipleChoice as TFBertForMultipleChoice
    from bertkit.models.keras.heads import TFBertForNextSentencePrediction as TFBertForNextSentencePrediction
    from bertkit.models.keras.heads import TFBertForPreTraining as TFBertForPreTraining
    from bertkit.models.keras.heads import TFBertForPreTrainingOutput as TFBertForPreTrainingOutput
    from bertkit.models.keras.heads import TFBertForQuestionAnswering as TFBertForQuestionAnswering
    from bertkit.models.keras.heads import TFBertForSequenceClassification as TFBertForSequenceClassification
    from bertkit.models.keras.heads import TFBertForTokenClassification as TFBertForTokenClassification
    from bertkit.models.keras.heads import TFBertLMHeadModel as TFBertLMHeadModel
    from bertkit.models.keras.model import TFBertMainLayer as TFBertMainLayer
    from bertkit.models.keras.model import TFBertModel as TFBertModel
    from bertkit.models.keras.optimization import AdamWeightDecay as AdamWeightDecay
    from bertkit.models.keras.optimization import WarmUp as WarmUp
    from bertkit.models.keras.optimization import create_optimizer as create_optimizer
    from bertkit.models.keras.pretrained import TFBertPreTrainedModel as TFBertPreTrainedModel
    from bertkit.models.keras.tokenizer import TFBertTokenizer as TFBertTokenizer
    from bertkit.models.torch.auto import AutoModel as AutoModel
    from bertkit.models.torch.auto import AutoModelForCausalLM as AutoModelForCausalLM
    from bertkit.models.torch.auto import AutoModelForMaskedLM as AutoModelForMaskedLM
    from bertkit.models.torch.auto import AutoModelForMultipleChoice as AutoModelForMultipleChoice
    from bertkit.models.torch.auto import AutoModelForNextSentencePrediction as AutoModelForNextSentencePrediction
    from bertkit.models.torch.auto import AutoModelForPreTraining as AutoModelForPreTraining
    from bertkit.models.torch.auto import AutoModelForQuestionAnswering as AutoModelForQuestionAnswering
    from bertkit.models.torch.auto import AutoModelForSeq2SeqLM as AutoModelForSeq2SeqLM
    from bertkit.models.torch.auto import AutoModelForSequenceClassification as AutoModelForSequenceClassification
    from bertkit.models.torch.auto import AutoModelForTokenClassification as AutoModelForTokenClassification
    from bertkit.models.torch.encoder_decoder import EncoderDecoderModel as EncoderDecoderModel
    from bertkit.models.torch.heads import BertForMaskedLM as BertForMaskedLM
    from bertkit.models.torch.heads import BertForMultipleChoice as BertForMultipleChoice
    from bertkit.models.torch.heads import BertForNextSentencePrediction as BertForNextSentencePrediction
    from bertkit.models.torch.heads import BertForPreTraining as BertForPreTraining
    from bertkit.models.torch.heads import BertForQuestionAnswering as BertForQuestionAnswering
    from bertkit.models.torch.heads import BertForSequenceClassification as BertForSequenceClassification
    from bertkit.models.torch.heads import BertForTokenClassification as BertForTokenClassification
    from bertkit.models.torch.heads import BertLMHeadModel as BertLMHeadModel
    from bertkit.models.torch.invariant import batch_invariant as batch_invariant
    from bertkit.models.torch.model import BertModel as BertModel
    from bertkit.models.torch.pretrained import BertPreTrainedModel as BertPreTrainedModel
    from bertkit.outputs import BertForPreTrainingOutput as BertForPreTrainingOutput
    from bertkit.outputs import ModelOutput as ModelOutput
    from bertkit.pipelines import FeatureExtractionPipeline as FeatureExtractionPipeline
    from bertkit.pipelines import FillMaskPipeline as FillMaskPipeline
    from bertkit.pipelines import NerPipeline as NerPipeline
    from bertkit.pipelines import Pipeline as Pipeline
    from bertkit.pipelines import QuestionAnsweringPipeline as QuestionAnsweringPipeline
    from bertkit.pipelines import SummarizationPipeline as SummarizationPipeline
    from bertkit.pipelines import Text2TextGenerationPipeline as Text2TextGenerationPipeline
    from bertkit.pipelines import TextClassificationPipeline as TextClassificationPipeline
    from bertkit.pipelines import TextGenerationPipeline as TextGenerationPipeline
    from bertkit.pipelines import TokenClassificationPipeline as TokenClassificationPipeline
    from bertkit.pipelines import ZeroShotClassificationPipeline as ZeroShotClassificationPipeline
    from bertkit.pipelines import pipeline as pipeline
    from bertkit.pipelines.bulk.predictor import Predictor as Predictor
    from bertkit.search.settings import GenerationConfig as GenerationConfig
    from bertkit.tasks.embedding.quantization import quantize_embeddings as quantize_embeddings
    from bertkit.text.auto import AutoTokenizer as AutoTokenizer
    from bertkit.text.batch_encoding import BatchEncoding as BatchEncoding
    from bertkit.text.tokenizer import BertTokenizer as BertTokenizer
    from bertkit.text.tokenizer import BertTokenizerFast as BertTokenizerFast
    from bertkit.text.tokenizer import PreTrainedTokenizerBase as PreTrainedTokenizerBase
    from bertkit.text.vocabulary import AddedToken as AddedToken
    from bertkit.training import EarlyStoppingCallback as EarlyStoppingCallback
    from bertkit.training import EvalPrediction as EvalPrediction
    from bertkit.training import HfArgumentParser as HfArgumentParser
    from bertkit.training import IntervalStrategy as IntervalStrategy
    from bertkit.training import SchedulerType as SchedulerType
    from bertkit.training import Seq2SeqTrainer as Seq2SeqTrainer
    from bertkit.training import Seq2SeqTrainingArguments as Seq2SeqTrainingArguments
    from bertkit.training import Trainer as Trainer
    from bertkit.training import TrainerCallback as TrainerCallback
    from bertkit.training import TrainerControl as TrainerControl
    from bertkit.training import TrainerState as TrainerState
    from bertkit.training import TrainingArguments as TrainingArguments
    from bertkit.training import get_constant_schedule as get_constant_schedule
    from bertkit.training import get_constant_schedule_with_warmup as get_constant_schedule_with_warmup
    from bertkit.training import get_cosine_schedule_with_warmup as get_cosine_schedule_with_warmup
    from bertkit.training import (
        get_cosine_with_hard_restarts_schedule_with_warmup as get_cosine_with_hard_restarts_schedule_with_warmup,
    )
    from bertkit.training import get_linear_schedule_with_warmup as get_linear_schedule_with_warmup
    from bertkit.training import get_polynomial_decay_schedule_with_warmup as get_polynomial_decay_schedule_with_warmup
    from bertkit.training import get_scheduler as get_scheduler
    from bertkit.training import set_seed as set_seed
    from bertkit.training.add_words import add_words as add_words
    from bertkit.training.evaluation import Evaluation as Evaluation
    from bertkit.training.evaluation import evaluate as evaluate
    from bertkit.training.finetune import Finetuned as Finetuned
    from bertkit.training.finetune import finetune as finetune
    from bertkit.training.google_examples import read_google_examples as read_google_examples
    from bertkit.training.loop import Finetuner as Finetuner
    from bertkit.training.prepare import prepare as prepare
    from bertkit.training.pretrain import Pretrained as Pretrained
    from bertkit.training.pretrain import pretrain as pretrain

    from . import explain as explain
    from . import logging as logging
    from . import metrics as metrics

    PreTrainedConfig = PretrainedConfig = BertConfig
    PreTrainedModel = BertPreTrainedModel
    PreTrainedTokenizer, PreTrainedTokenizerFast = BertTokenizer, BertTokenizerFast

__version__ = "0.1.0"

_HOMES = {  # name -> its module
    "AdamWeightDecay": "models.keras.optimization",
    "AddedToken": "text.vocabulary",
    "AutoConfig": "config",
    "AutoModel": "models.torch.auto",
    "AutoModelForCausalLM": "models.torch.auto",
    "AutoModelForMaskedLM": "models.torch.auto",
    "AutoModelForMultipleChoice": "models.torch.auto",
    "AutoModelForNextSentencePrediction": "models.torch.auto",
    "AutoModelForPreTraining": "models.torch.auto",
    "AutoModelForQuestionAnswering": "models.torch.auto",
    "AutoModelForSeq2SeqLM": "models.torch.auto",
    "AutoModelForSequenceClassification": "models.torch.auto",
    "AutoModelForTokenClassification": "models.torch.auto",
    "AutoTokenizer": "text.auto",
    "BatchEncoding": "text.batch_encoding",
    "BertConfig": "config",
    "BertForMaskedLM": "models.torch.heads",
    "BertForMultipleChoice": "models.torch.heads",
    "BertForNextSentencePrediction": "models.torch.heads",
    "BertForPreTraining": "models.torch.heads",
    "BertForPreTrainingOutput": "outputs",
    "BertForQuestionAnswering": "models.torch.heads",
    "BertForSequenceClassification": "models.torch.heads",
    "BertForTokenClassification": "models.torch.heads",
    "BertLMHeadModel": "models.torch.heads",
    "BertModel": "models.torch.model",
    "BertPreTrainedModel": "models.torch.pretrained",
    "BertTokenizer": "text.tokenizer",
    "BertTokenizerFast": "text.tokenizer",
    "BertkitError": "errors",
    "CONFIG_MAPPING": "config",
    "DataCollatorForLanguageModeling": "data.collators",
    "DataCollatorForMultipleChoice": "data.collators",
    "DataCollatorForTokenClassification": "data.collators",
    "DataCollatorForWholeWordMask": "data.collators",
    "DataCollatorWithPacking": "data.collators",
    "DataCollatorWithPadding": "data.collators",
    "DefaultDataCollator": "data.collators",
    "EarlyStoppingCallback": "training",
    "EncoderDecoderConfig": "config.encoder_decoder",
    "EncoderDecoderModel": "models.torch.encoder_decoder",
    "EvalPrediction": "training",
    "Evaluation": "training.evaluation",
    "Exported": "exporting",
    "FeatureExtractionPipeline": "pipelines",
    "FillMaskPipeline": "pipelines",
    "Finetuned": "training.finetune",
    "Finetuner": "training.loop",
    "FlaxAutoModel": "models.flax.auto",
    "FlaxAutoModelForCausalLM": "models.flax.auto",
    "FlaxAutoModelForMaskedLM": "models.flax.auto",
    "FlaxAutoModelForMultipleChoice": "models.flax.auto",
    "FlaxAutoModelForNextSentencePrediction": "models.flax.auto",
    "FlaxAutoModelForPreTraining": "models.flax.auto",
    "FlaxAutoModelForQuestionAnswering": "models.flax.auto",
    "FlaxAutoModelForSequenceClassification": "models.flax.auto",
    "FlaxAutoModelForTokenClassification": "models.flax.auto",
    "FlaxBertForCausalLM": "models.flax.heads",
    "FlaxBertForMaskedLM": "models.flax.heads",
    "FlaxBertForMultipleChoice": "models.flax.heads",
    "FlaxBertForNextSentencePrediction": "models.flax.heads",
    "FlaxBertForPreTraining": "models.flax.heads",
    "FlaxBertForPreTrainingOutput": "models.flax.outputs",
    "FlaxBertForQuestionAnswering": "models.flax.heads",
    "FlaxBertForSequenceClassification": "models.flax.heads",
    "FlaxBertForTokenClassification": "models.flax.heads",
    "FlaxBertModel": "models.flax.heads",
    "FlaxBertPreTrainedModel": "models.flax.pretrained",
    "FullSentences": "data.pretraining",
    "GenerationConfig": "search.settings",
    "HfArgumentParser": "training",
    "Inspection": "checkpoint",
    "IntervalStrategy": "training",
    "KerasMetricCallback": "models.keras.callbacks",
    "LoadReport": "checkpoint",
    "Masking": "data.pretraining",
    "ModelOutput": "outputs",
    "NerPipeline": "pipelines",
    "Pipeline": "pipelines",
    "PreTrainedTokenizerBase": "text.tokenizer",
    "Pretrained": "training.pretrain",
    "PushToHubCallback": "models.keras.callbacks",
    "Predictor": "pipelines.bulk.predictor",
    "QuestionAnsweringPipeline": "pipelines",
    "SchedulerType": "training",
    "SentencePairs": "data.pretraining",
    "Seq2SeqTrainer": "training",
    "Seq2SeqTrainingArguments": "training",
    "Shards": "data.shards",
    "SummarizationPipeline": "pipelines",
    "TFAutoModel": "models.keras.auto",
    "TFAutoModelForCausalLM": "models.keras.auto",
    "TFAutoModelForMaskedLM": "models.keras.auto",
    "TFAutoModelForMultipleChoice": "models.keras.auto",
    "TFAutoModelForNextSentencePrediction": "models.keras.auto",
    "TFAutoModelForPreTraining": "models.keras.auto",
    "TFAutoModelForQuestionAnswering": "models.keras.auto",
    "TFAutoModelForSequenceClassification": "models.keras.auto",
    "TFAutoModelForTokenClassification": "models.keras.auto",
    "TFBertForMaskedLM": "models.keras.heads",
    "TFBertForMultipleChoice": "models.keras.heads",
    "TFBertForNextSentencePrediction": "models.keras.heads",
    "TFBertForPreTraining": "models.keras.heads",
    "TFBertForPreTrainingOutput": "models.keras.heads",
    "TFBertForQuestionAnswering": "models.keras.heads",
    "TFBertForSequenceClassification": "models.keras.heads",
    "TFBertForTokenClassification": "models.keras.heads",
    "TFBertLMHeadModel": "models.keras.heads",
    "TFBertMainLayer": "models.keras.model",
    "TFBertModel": "models.keras.model",
    "TFBertPreTrainedModel": "models.keras.pretrained",
    "TFBertTokenizer": "models.keras.tokenizer",
    "Text2TextGenerationPipeline": "pipelines",
    "TextClassificationPipeline": "pipelines",
    "TextGenerationPipeline": "pipelines",
    "TokenClassificationPipeline": "pipelines",
    "Trainer": "training",
    "TrainerCallback": "training",
    "TrainerControl": "training",
    "TrainerState": "training",
    "TrainingArguments": "training",
    "WarmUp": "models.keras.optimization",
    "ZeroShotClassificationPipeline": "pipelines",
    "add_words": "training.add_words",
    "bench": "measuring.bench",
    "batch_invariant": "models.torch.invariant",
    "convert": "checkpoint",
    "create_optimizer": "models.keras.optimization",
    "default_data_collator": "data.collators",
    "doctor": "diagnosis.doctor",
    "evaluate": "training.evaluation",
    "export": "exporting",
    "finetune": "training.finetune",
    "get_constant_schedule": "training",
    "get_constant_schedule_with_warmup": "training",
    "get_cosine_schedule_with_warmup": "training",
    "get_cosine_with_hard_restarts_schedule_with_warmup": "training",
    "get_linear_schedule_with_warmup": "training",
    "get_polynomial_decay_schedule_with_warmup": "training",
    "get_scheduler": "training",
    "inspect": "checkpoint",
    "load_checkpoint": "checkpoint",
    "locate": "hub",
    "pipeline": "pipelines",
    "prepare": "training.prepare",
    "pretrain": "training.pretrain",
    "quantize_embeddings": "tasks.embedding.quantization",
    "read_google_examples": "training.google_examples",
    "save_checkpoint": "checkpoint",
    "set_seed": "training",
}
_ALIASES = {
    "PreTrainedConfig": "BertConfig",
    "PreTrainedModel": "BertPreTrainedModel",
    "PreTrainedTokenizer": "BertTokenizer",
    "PreTrainedTokenizerFast": "BertTokenizerFast",
    "PretrainedConfig": "BertConfig",
}
"""Base classes of transformers -> the classes of bertkit, for annotations, isinstance and subclasses."""
_MODULES = ("explain", "logging", "metrics")
__all__ = sorted([*_HOMES, *_ALIASES, *_MODULES])


def __getattr__(name: str) -> object:
    if name == "AdamW":  # which transformers 5 dropped
        from bertkit.errors import UnavailableError

        raise UnavailableError("bertkit has no AdamW: type from torch.optim import AdamW.")
    if name not in __all__:
        raise AttributeError(f"module 'bertkit' has no attribute {name!r}")
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"bertkit.{name}")
    own = _ALIASES.get(name, name)
    value = globals()[name] = getattr(import_module(f"bertkit.{_HOMES[own]}"), own)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


if os.environ.get("BERTKIT_VERBOSITY"):
    from importlib import import_module

    import_module("bertkit.logging").get_logger()
