"""Open what a run needs: the task, the tokenizer, and the model with a head for the labels."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from bertkit import hub
from bertkit.config import BertConfig
from bertkit.config.encoder_decoder import EncoderDecoderConfig
from bertkit.data.examples import Examples
from bertkit.engines.torch import device_of, model_class
from bertkit.errors import BertkitError, MissingExtraError, UsageError
from bertkit.heads import PAIR, head_of
from bertkit.models.torch.encoder_decoder import EncoderDecoderModel
from bertkit.pipelines.calls import options_of
from bertkit.pipelines.open import tokenizer_of
from bertkit.tasks import task_class
from bertkit.tasks.base import Task, TaskOptions
from bertkit.tasks.embedding import weights_place
from bertkit.text.tokenizer import BertTokenizerFast
from bertkit.training.batches import Unit, units_of
from bertkit.training.options import Settings
from bertkit.training.schedule import freeze
from bertkit.training.summaries import pair_of

if TYPE_CHECKING:
    from bertkit.tasks.base import Tokenizer

_logger = logging.getLogger("bertkit")
LABELLED = ("ForSequenceClassification", "ForTokenClassification")


@dataclass
class Opened:
    """The task with its tokenizer, and the model."""

    task: Task[Any]
    model: Any
    place: hub.Place  # of the model's files

    @property
    def labels(self) -> list[str]:
        """The names of the labels; none for a task that writes."""
        return [str(name) for name in getattr(self.task.config, "id2label", {}).values()]

    def units(self, examples: Examples, settings: Settings) -> list[Unit]:
        """Return the rows of examples with their targets."""
        targets: Any = getattr(self.task, "targets", None)
        if targets is None:
            raise UsageError(f"{self.task.name} has no training: choose another task.")
        options = options_of(self.task.name, given_options(self.task, settings))
        try:
            return units_of(targets(examples.inputs, examples.answers, options), self.task.head)
        except BertkitError:
            self._find_invalid(examples, options)
            raise

    def _find_invalid(self, examples: Examples, options: TaskOptions) -> None:
        """Raise the error for the first invalid example, with its file and line instead of its number."""
        targets: Any = getattr(self.task, "targets", None)
        for index, (example, answer) in enumerate(examples):
            try:
                targets([example], [answer], options)
            except BertkitError as error:
                if error.parts[0] == "Example 0: ":  # and not an invalid option
                    where = examples.where(index)
                    error.parts = (f"{where[:1].upper()}{where[1:]}: ", *error.parts[1:])
                raise


def open_for_training(settings: Settings, labels: Sequence[str], problem_type: str | None) -> Opened:
    """Open a model for a task. A head that the files lack, or that has other labels, is new, and drawn with the seed."""
    job = task_class(settings.task)
    files = hub.locate(settings.model)
    place = weights_place(files)
    tokenizer = _tokenizer(place, settings)
    torch.manual_seed(settings.seed)
    if job.head == PAIR:
        model = pair_of(place, tokenizer, settings)
    else:
        before = BertConfig.from_pretrained(place if settings.config is None else settings.config)
        config = _config(before, settings, job.head, labels, problem_type)
        model = _model(place, before, config, job.head, labels)
    if settings.student_layers is not None:
        keep_layers(model, settings.student_layers)
    model.to(device_of(settings.device))
    freeze(model, settings.freeze)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    trained = model if settings.lora is None else with_adapters(model, settings.lora)
    return Opened(job(tokenizer, model.config, files), trained, place)


def _tokenizer(place: hub.Place, settings: Settings) -> Tokenizer:
    if settings.do_lower_case is None:
        found = tokenizer_of(settings.tokenizer, place)
    else:
        source = place if settings.tokenizer is None else settings.tokenizer
        found = BertTokenizerFast.from_pretrained(source, do_lower_case=settings.do_lower_case)
    if (
        task_class(settings.task).writes and settings.max_length is not None
    ):  # of a row; that of a call is of the answer
        found.model_max_length = settings.max_length
    return found


def _config(
    before: BertConfig, settings: Settings, head: str, labels: Sequence[str], problem_type: str | None
) -> BertConfig:
    """Return the configuration of a model with the labels, the kind of problem and the dropout of the run."""
    config = copy.deepcopy(before)
    if head in LABELLED:
        if not has_labels(config, head, labels, problem_type):
            config.id2label = dict(enumerate(labels))
            config.label2id = {name: number for number, name in enumerate(labels)}
        config.problem_type = problem_type
    for name in ("thresholds", "null_score_diff_threshold", "merge_windows"):  # of the weights before training
        vars(config).pop(name, None)
    if settings.merge is not None:
        config.update({"merge_windows": settings.merge})
    if settings.null_score_diff_threshold is not None:
        config.update({"null_score_diff_threshold": settings.null_score_diff_threshold})
    if settings.dropout is not None:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = settings.dropout
        config.classifier_dropout = None
    return config


def has_labels(config: BertConfig, head: str, labels: Sequence[str], problem_type: str | None) -> bool:
    """Return whether a model of this head was trained for these labels, so that its head is kept."""
    is_head = bool(config.architectures) and _head(config) == head
    fits = problem_type != "regression" or config.num_labels == len(labels)
    return is_head and fits and set(labels) <= set(config.label2id)


def _head(config: BertConfig) -> str:
    return head_of((config.architectures or ["BertModel"])[0])


def _model(place: hub.Place, before: BertConfig, config: BertConfig, head: str, labels: Sequence[str]) -> Any:
    """Open the model of a place, whose configuration is `before`, with the configuration of the run."""
    own = {"add_pooling_layer": False} if head == "Model" else {}
    mismatched = (
        head in LABELLED and _head(before) == head and not has_labels(before, head, labels, config.problem_type)
    )
    model = model_class(head).from_pretrained(
        place, config=copy.deepcopy(config), ignore_mismatched_sizes=mismatched, **own
    )
    if mismatched:
        _logger.warning(
            "The model was trained for other labels (%s): its head is new.", ", ".join(before.label2id)[:200]
        )
        model.initialize(["classifier.weight", "classifier.bias"])
    return model


def keep_layers(model: Any, count: int) -> None:
    """Keep some layers of a model, evenly spread from the first to the last, for a smaller student."""
    layers = model.base_model.encoder.layer
    if count > len(layers):
        raise UsageError(f"The model has {len(layers)} layers, of which student_layers={count} cannot be kept.")
    chosen = np.linspace(0, len(layers) - 1, count).round().astype(int).tolist() if count > 1 else [0]
    model.base_model.encoder.layer = nn.ModuleList([layers[number] for number in chosen])
    model.config.num_hidden_layers = count


def with_adapters(model: Any, rank: int) -> Any:
    """Return a model with LoRA adapters at queries and values. Also the pooler, the head and cross-attention are trained."""
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("peft", None, "lora") from error
    if isinstance(model, EncoderDecoderModel):
        targets: str | list[str] = r".*\.attention\.self\.(query|value)"
        saved = ["crossattention"]
    else:
        targets = ["query", "value"]
        saved = [name for name, part in model.named_children() if name != "bert" and list(part.parameters())]
        saved += ["pooler"] if getattr(model.base_model, "pooler", None) is not None else []
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules=targets, modules_to_save=saved or None
    )
    return peft.get_peft_model(model, config)


def without_adapters(model: Any) -> Any:
    """Return the model with its adapters merged into the weights; other models unchanged."""
    if not hasattr(model, "peft_config"):
        return model
    own = copy.deepcopy(model)
    config = own.get_base_model().config
    tied = config.tie_word_embeddings
    if isinstance(config, EncoderDecoderConfig):  # peft would compare words of the encoder with those of the decoder
        config.tie_word_embeddings = False
    merged = own.merge_and_unload()
    merged.config.tie_word_embeddings = tied
    return merged


def given_options(task: Task[Any], settings: Settings) -> dict[str, Any]:
    """Return the options of a task that the settings of a run change."""
    if task.writes:
        return {
            "on_long": settings.on_long or "truncate",
            "max_new_tokens": settings.max_target_length,
            "num_beams": settings.num_beams,
        }
    given: Mapping[str, Any] = {
        "max_length": settings.max_length,
        "on_long": settings.on_long,
        "overlap": settings.overlap,
        "label_all_tokens": settings.label_all_tokens or None,
        "max_question_len": settings.max_question_len,
        "max_answer_len": settings.max_answer_len,
        "is_split_into_words": True if task.head == "ForTokenClassification" else None,
    }
    known = {field.name for field in fields(task.options_type)}
    values = {name: value for name, value in given.items() if value is not None and name in known}
    if task.name == "question-answering" and settings.max_length is not None:
        values["max_seq_len"] = settings.max_length
    return values
