"""The options of a run: arguments of `bertkit.finetune`, options of the command, and fields of a recipe."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from bertkit.arguments import Also
from bertkit.errors import Setting, UsageError, received


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """data"""

    format: Annotated[str, "format of the files: infer, jsonl, csv, tsv, parquet, conll, squad, glue/mrpc, ..."] = (
        "infer"
    )
    columns: Annotated[
        str | Mapping[str, Any] | None, "columns of the file: text=sentence1,text_pair=sentence2,label=gold"
    ] = None
    problem_type: Annotated[
        Literal["single_label_classification", "multi_label_classification", "regression"] | None,
        "single_label_classification, multi_label_classification or regression (default: inferred from the labels)",
    ] = None
    separator: Annotated[str | None, "text between several labels in a cell"] = None
    label_names: Annotated[str | list[str] | None, "file with the names of the labels 0, 1, ..., one in each line"] = (
        None
    )
    scheme: Annotated[str | None, "scheme of tags: IOB1, IOB2, IOBES, BILOU, or none (default: inferred)"] = None
    repair: Annotated[bool, "repair invalid sequences of tags, such as I-PER after O"] = False
    encoding: Annotated[str | None, "encoding of the files (default: UTF-8)"] = None
    on_bad: Annotated[Literal["raise", "skip"], "what to do with an invalid row"] = "raise"
    limit: Annotated[int | None, "use only the first examples of the training file", Also("max-train-samples")] = None
    max_length: Annotated[
        int | None, "maximum tokens of a row (default: the model's maximum)", Also("max-seq-length", "max-seq-len")
    ] = None
    on_long: Annotated[
        Literal["truncate", "window", "error"] | None,
        "what to do with a text longer than a row (default: depends on the task)",
        Also("long-text"),
    ] = None
    overlap: Annotated[int | None, "number of tokens that neighbouring windows share", Also("doc-stride")] = None
    merge: Annotated[
        Literal["mean", "max"] | None,
        "how the windows of a classified text are combined; max: one of them decides (default: mean, or max for several labels)",
    ] = None
    max_windows: Annotated[int, "maximum windows of a text in one step of training, chosen at random in each epoch"] = (
        16
    )
    max_question_len: Annotated[int | None, "maximum tokens of a question (default: 64)", Also("max-query-length")] = (
        None
    )
    max_answer_len: Annotated[int | None, "maximum tokens of an answer (default: 15)", Also("max-answer-length")] = None
    max_target_length: Annotated[int, "maximum tokens of a summary"] = 64
    label_all_tokens: Annotated[bool, "label every token of a word, not only its first (token classification)"] = False


@dataclass(frozen=True, kw_only=True)
class SharedOptimization:
    """The options of optimization that fine-tuning and pretraining share."""

    epochs: Annotated[float | None, "passes over the training data", Also("num-train-epochs")] = None
    max_steps: Annotated[int | None, "number of steps, instead of epochs", Also("num-train-steps")] = None
    batch_size: Annotated[
        int, "examples of each step, on all processes together", Also("train-batch-size", "per-device-train-batch-size")
    ] = 32
    batch_tokens: Annotated[int, "maximum tokens that are computed at once; larger batches are split"] = 4096
    accumulate: Annotated[int, "batches of each step", Also("gradient-accumulation-steps")] = 1
    lr: Annotated[float, "highest learning rate", Also("learning-rate")] = 5e-5
    schedule: Annotated[
        Literal["linear", "cosine", "constant"], "how the learning rate decreases", Also("lr-scheduler-type")
    ] = "linear"
    warmup: Annotated[
        float,
        "steps in which the learning rate rises: their number, or below 1 their share",
        Also("warmup-proportion", "warmup-ratio", "warmup-steps"),
    ] = 0.1
    weight_decay: Annotated[float, "weight decay of matrices (AdamW)"] = 0.01
    beta1: Annotated[float, "decay of AdamW's mean of gradients", Also("adam-beta1")] = 0.9
    beta2: Annotated[float, "decay of AdamW's mean of squared gradients", Also("adam-beta2")] = 0.999
    epsilon: Annotated[float, "epsilon of AdamW", Also("adam-epsilon")] = 1e-8
    clip: Annotated[float, "maximum norm of the gradient; 0: no limit", Also("max-grad-norm")] = 1.0
    layer_decay: Annotated[
        float, "factor of the learning rate from each layer to the one below it", Also("layerwise-lr-decay")
    ] = 1.0
    freeze: Annotated[str | None, "parts that are not trained: embeddings, a number of layers, or encoder"] = None
    dropout: Annotated[
        float | None, "dropout of the model (default: that of its configuration)", Also("hidden-dropout")
    ] = None
    seed: Annotated[int, "seed of the new layers, the order of examples and dropout"] = 0


@dataclass(frozen=True, kw_only=True)
class OptimizationOptions(SharedOptimization):
    """optimization"""

    epochs: Annotated[float, "passes over the training file", Also("num-train-epochs")] = 3.0
    label_smoothing: Annotated[
        float, "share of each label that is spread over all labels", Also("label-smoothing-factor")
    ] = 0.0
    class_weights: Annotated[
        str | Mapping[str, float] | None,
        "weight of each label in the loss: balanced, or good=1,bad=3",
        Also("class-weight"),
    ] = None
    pos_weight: Annotated[
        str | float | Mapping[str, float] | None,
        "weight of positive labels in multi-label classification: balanced, or a number",
    ] = None
    group_by_length: Annotated[bool | None, "put texts of similar length into one batch (default: yes)"] = None
    tie_encoder_decoder: Annotated[bool, "share the weights of encoder and decoder (summarization)"] = False
    lora: Annotated[int | None, "train only adapters of this rank (LoRA, needs peft)", Also("lora-rank")] = None


@dataclass(frozen=True, kw_only=True)
class SharedRun:
    """The options of a run that fine-tuning and pretraining share."""

    config: Annotated[str | None, "path of the configuration, if not with the model", Also("bert-config-file")] = None
    tokenizer: Annotated[str | None, "path or Hub id of the tokenizer, if not with the model", Also("vocab-file")] = (
        None
    )
    device: Annotated[str | None, "cpu, cuda, cuda:1, mps (default: a GPU if possible)"] = None
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        "type of numbers in products; weights stay fp32 (auto: bf16 where it is native)",
    ] = "auto"
    gradient_checkpointing: Annotated[bool, "compute layers again in the backward pass, for less memory"] = False
    shard: Annotated[bool, "shard the model over the processes of torchrun (FSDP2) instead of copying it (DDP)"] = False
    eval_steps: Annotated[int | None, "steps between evaluations (default: one epoch)"] = None
    patience: Annotated[
        int | None, "stop after this number of evaluations without a better score", Also("early-stopping-patience")
    ] = None
    save_steps: Annotated[
        int | None, "steps between checkpoints (default: at each evaluation)", Also("save-checkpoints-steps")
    ] = None
    keep: Annotated[int, "number of latest checkpoints to keep, besides the best", Also("save-total-limit")] = 1
    log_steps: Annotated[int, "steps between lines of metrics.jsonl", Also("logging-steps")] = 10
    resume: Annotated[bool, "continue an interrupted run"] = False
    overwrite: Annotated[bool, "replace an earlier run in the output folder", Also("overwrite-output-dir")] = False


@dataclass(frozen=True, kw_only=True)
class RunOptions(SharedRun):
    """run"""

    do_lower_case: Annotated[bool | None, "lowercase texts (default: as the tokenizer's files say)"] = None
    metric: Annotated[
        str | None,
        "score that decides which checkpoint is the best (default: depends on the task)",
        Also("metric-for-best-model"),
    ] = None
    num_beams: Annotated[int, "beams of the search in evaluations, and of the trained model (summarization)"] = 4
    average: Annotated[
        Literal["macro", "micro", "weighted", "binary"] | None,
        "average of F1 over the labels (default: depends on the task)",
    ] = None
    tune_thresholds: Annotated[
        bool | None, "tune thresholds on the evaluation file (default: where a task has some)"
    ] = None
    null_score_diff_threshold: Annotated[
        float | None, "questions: no answer if its logits exceed the best answer's by more (default: tuned on --eval)"
    ] = None


@dataclass(frozen=True, kw_only=True)
class DistillationOptions:
    """distillation"""

    teacher: Annotated[str | None, "directory or Hub id of a fine-tuned teacher", Also("teacher-model")] = None
    temperature: Annotated[float, "temperature of the distributions that are compared"] = 2.0
    alpha: Annotated[float, "weight of the teacher in the loss; the rest is that of the labels"] = 0.5
    hidden_states: Annotated[float, "weight of the distance between hidden states of student and teacher"] = 0.0
    attention: Annotated[float, "weight of the distance between attentions of student and teacher"] = 0.0
    student_layers: Annotated[int | None, "make the student from this number of the model's layers"] = None


_MOST = 1e30  # a number of steps with more digits is a mistake
_UNCHECKED = ("task", "model", "train", "eval", "out")  # arguments of functions, which check them

GROUPS = (DataOptions, OptimizationOptions, RunOptions, DistillationOptions)


@dataclass(frozen=True, kw_only=True)
class SharedSettings(SharedOptimization, SharedRun):
    """The options of any run, checked. `Settings` has those of fine-tuning."""

    out: str = field(default="")

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=False).items():
            if name not in _UNCHECKED:
                _check(name, getattr(self, name), hint)
        self._require("epochs", self.epochs is None or 0 < self.epochs < _MOST, "a number above 0", 1.0)
        for name in ("lr", "layer_decay"):
            self._require(name, 0 < getattr(self, name) < _MOST, "a number above 0")
        for name in ("batch_size", "batch_tokens", "accumulate", "log_steps", "keep"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("max_steps", "eval_steps", "save_steps", "patience"):
            self._require_count(name)
        for name in ("warmup", "weight_decay", "clip", "epsilon"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "a number of at least 0")
        self._require("seed", 0 <= self.seed < 2**63, "at least 0 and below 2**63")
        for name in ("beta1", "beta2", "dropout"):
            value = getattr(self, name)
            self._require(name, value is None or 0 <= value < 1, "at least 0 and below 1", 0.1)

    def _require_count(self, name: str) -> None:
        """Raise UsageError for a number below 1 of an option that may be None."""
        value = getattr(self, name)
        self._require(name, value is None or value >= 1, "at least 1", 8)

    def _require(self, name: str, valid: bool, accepted: str, example: object = None) -> None:
        """Raise UsageError for an invalid value. The advice is the example, or the default of the option."""
        if not valid:
            value, advice = (
                getattr(self, name),
                Setting(name, getattr(type(self), name) if example is None else example),
            )
            raise UsageError(received(name, value), f" is not {accepted}: type for example ", advice, ".")


@dataclass(frozen=True, kw_only=True)
class Settings(DataOptions, OptimizationOptions, RunOptions, DistillationOptions, SharedSettings):
    """All options of a fine-tuning run, checked.

    >>> Settings(task="ner", model="bert-base-cased", train="train.conll", lr=3e-5).epochs
    3.0
    """

    task: str
    model: str
    train: Any
    eval: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("temperature", 0 < self.temperature < _MOST, "a number above 0")
        self._require("max_windows", self.max_windows >= 1, "at least 1")
        self._require("num_beams", self.num_beams >= 1, "at least 1")
        self._require("max_target_length", self.max_target_length >= 2, "at least 2")
        for name in ("limit", "lora", "student_layers"):
            self._require_count(name)
        for name in ("alpha", "label_smoothing"):
            self._require(name, 0 <= getattr(self, name) <= 1, "between 0 and 1", 0.1)
        for name in ("hidden_states", "attention"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "a number of at least 0")


def option_names(groups: Sequence[Any] = GROUPS) -> list[str]:
    """Return the names of all options of some groups."""
    return [option.name for group in groups for option in fields(group)]


def check_names(names: Mapping[str, object], function: str = "finetune", groups: Sequence[Any] = GROUPS) -> None:
    """Raise UsageError for an unknown option."""
    known = option_names(groups)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Its options are {', '.join(sorted(known))}."
            raise UsageError(f"{function} has no option {name!r}.{hint}")


def _check(name: str, value: object, hint: Any) -> None:
    """Raise UsageError for a value of another type than the option's."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    plain = tuple(get_origin(kind) or kind for kind in kinds if get_origin(kind) is not Literal)
    is_number = type(value) is int and float in plain
    is_other_bool = isinstance(value, bool) and bool not in plain
    if is_number or (isinstance(value, plain) and not is_other_bool) or (isinstance(value, str) and value in choices):
        return
    accepted = [repr(choice) for choice in choices] + [kind.__name__ for kind in plain if kind is not NoneType]
    raise UsageError(received(name, value), f" is invalid: it must be {' or '.join(accepted)}.")


def columns_of(option: str | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the columns of an option: field -> column, or a list for a field that is named several times.

    A number is a column of a file without a header.

    >>> columns_of("text=sentence1, label=-1, choices=a, choices=b")
    {'text': 'sentence1', 'label': -1, 'choices': ['a', 'b']}
    """
    if not isinstance(option, str):
        return option
    found: dict[str, list[str | int]] = {}
    for part in option.split(","):
        name, equals, column = (word.strip() for word in part.partition("="))
        if not (name and equals and column):
            advice = Setting("columns", "text=sentence,label=gold")
            raise UsageError(received("columns", option), " is invalid: type for example ", advice, ".")
        number = int(column) if re.fullmatch(r"-?\d+", column, re.ASCII) else column
        found.setdefault(name, []).append(number)
    return {name: own if len(own) > 1 else own[0] for name, own in found.items()}
