"""`import bertkit` is fast, and has exactly the public names listed here."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import bertkit

SCRIPT = """
import sys, time
before = set(sys.modules)
start = time.perf_counter()
import bertkit
print(time.perf_counter() - start, len(sys.modules), *sorted(set(sys.modules) - before))
"""
HEAVY = {
    "numpy",
    "torch",
    "tensorflow",
    "keras",
    "jax",
    "flax",
    "transformers",
    "tokenizers",
    "huggingface_hub",
    "tqdm",
}


def test_import_is_light() -> None:
    """The best of five runs takes under 50 ms and imports under 120 modules, including Python's own, and no framework."""
    runs = [
        subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True) for _ in range(5)
    ]
    seconds, modules, *new = min((run.stdout.split() for run in runs), key=lambda words: float(words[0]))
    assert float(seconds) < 0.05
    assert int(modules) < 120
    assert not HEAVY & {name.partition(".")[0] for name in new}


def test_help_needs_no_numpy() -> None:
    script = "import sys; from bertkit.cli import main; main(['--help']); assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_public_names() -> None:
    assert bertkit.__all__ == sorted(bertkit.__all__)
    assert bertkit.__all__ == [
        "AdamWeightDecay",
        "AddedToken",
        "AutoConfig",
        "AutoModel",
        "AutoModelForCausalLM",
        "AutoModelForMaskedLM",
        "AutoModelForMultipleChoice",
        "AutoModelForNextSentencePrediction",
        "AutoModelForPreTraining",
        "AutoModelForQuestionAnswering",
        "AutoModelForSeq2SeqLM",
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
        "AutoTokenizer",
        "BatchEncoding",
        "BertConfig",
        "BertForMaskedLM",
        "BertForMultipleChoice",
        "BertForNextSentencePrediction",
        "BertForPreTraining",
        "BertForPreTrainingOutput",
        "BertForQuestionAnswering",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertLMHeadModel",
        "BertModel",
        "BertPreTrainedModel",
        "BertTokenizer",
        "BertTokenizerFast",
        "BertkitError",
        "CONFIG_MAPPING",
        "DataCollatorForLanguageModeling",
        "DataCollatorForMultipleChoice",
        "DataCollatorForTokenClassification",
        "DataCollatorForWholeWordMask",
        "DataCollatorWithPacking",
        "DataCollatorWithPadding",
        "DefaultDataCollator",
        "EarlyStoppingCallback",
        "EncoderDecoderConfig",
        "EncoderDecoderModel",
        "EvalPrediction",
        "Evaluation",
        "Exported",
        "FeatureExtractionPipeline",
        "FillMaskPipeline",
        "Finetuned",
        "Finetuner",
        "FlaxAutoModel",
        "FlaxAutoModelForCausalLM",
        "FlaxAutoModelForMaskedLM",
        "FlaxAutoModelForMultipleChoice",
        "FlaxAutoModelForNextSentencePrediction",
        "FlaxAutoModelForPreTraining",
        "FlaxAutoModelForQuestionAnswering",
        "FlaxAutoModelForSequenceClassification",
        "FlaxAutoModelForTokenClassification",
        "FlaxBertForCausalLM",
        "FlaxBertForMaskedLM",
        "FlaxBertForMultipleChoice",
        "FlaxBertForNextSentencePrediction",
        "FlaxBertForPreTraining",
        "FlaxBertForPreTrainingOutput",
        "FlaxBertForQuestionAnswering",
        "FlaxBertForSequenceClassification",
        "FlaxBertForTokenClassification",
        "FlaxBertModel",
        "FlaxBertPreTrainedModel",
        "FullSentences",
        "GenerationConfig",
        "HfArgumentParser",
        "Inspection",
        "IntervalStrategy",
        "KerasMetricCallback",
        "LoadReport",
        "Masking",
        "ModelOutput",
        "NerPipeline",
        "Pipeline",
        "PreTrainedConfig",
        "PreTrainedModel",
        "PreTrainedTokenizer",
        "PreTrainedTokenizerBase",
        "PreTrainedTokenizerFast",
        "Predictor",
        "Pretrained",
        "PretrainedConfig",
        "PushToHubCallback",
        "QuestionAnsweringPipeline",
        "SchedulerType",
        "SentencePairs",
        "Seq2SeqTrainer",
        "Seq2SeqTrainingArguments",
        "Shards",
        "SummarizationPipeline",
        "TFAutoModel",
        "TFAutoModelForCausalLM",
        "TFAutoModelForMaskedLM",
        "TFAutoModelForMultipleChoice",
        "TFAutoModelForNextSentencePrediction",
        "TFAutoModelForPreTraining",
        "TFAutoModelForQuestionAnswering",
        "TFAutoModelForSequenceClassification",
        "TFAutoModelForTokenClassification",
        "TFBertForMaskedLM",
        "TFBertForMultipleChoice",
        "TFBertForNextSentencePrediction",
        "TFBertForPreTraining",
        "TFBertForPreTrainingOutput",
        "TFBertForQuestionAnswering",
        "TFBertForSequenceClassification",
        "TFBertForTokenClassification",
        "TFBertLMHeadModel",
        "TFBertMainLayer",
        "TFBertModel",
        "TFBertPreTrainedModel",
        "TFBertTokenizer",
        "Text2TextGenerationPipeline",
        "TextClassificationPipeline",
        "TextGenerationPipeline",
        "TokenClassificationPipeline",
        "Trainer",
        "TrainerCallback",
        "TrainerControl",
        "TrainerState",
        "TrainingArguments",
        "WarmUp",
        "ZeroShotClassificationPipeline",
        "add_words",
        "batch_invariant",
        "bench",
        "convert",
        "create_optimizer",
        "default_data_collator",
        "doctor",
        "evaluate",
        "explain",
        "export",
        "finetune",
        "get_constant_schedule",
        "get_constant_schedule_with_warmup",
        "get_cosine_schedule_with_warmup",
        "get_cosine_with_hard_restarts_schedule_with_warmup",
        "get_linear_schedule_with_warmup",
        "get_polynomial_decay_schedule_with_warmup",
        "get_scheduler",
        "inspect",
        "load_checkpoint",
        "locate",
        "logging",
        "metrics",
        "pipeline",
        "prepare",
        "pretrain",
        "quantize_embeddings",
        "read_google_examples",
        "save_checkpoint",
        "set_seed",
    ]
    for name in bertkit.__all__:
        assert getattr(bertkit, name).__doc__ or bertkit._HOMES[name] == "training", name  # those of transformers
        assert name in dir(bertkit)
    with pytest.raises(AttributeError, match="no attribute 'BertConfg'"):
        bertkit.BertConfg  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    """The names under TYPE_CHECKING, for tools that do not run code, are those that `__getattr__` returns."""
    tree = ast.parse(Path(bertkit.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (alias.name, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    modules = {(name, None) for name in bertkit._MODULES}
    assert seen == {(name, f"bertkit.{home}") for name, home in bertkit._HOMES.items()} | modules
    for name, module in seen - modules:
        assert getattr(importlib.import_module(module), name) is getattr(bertkit, name)
