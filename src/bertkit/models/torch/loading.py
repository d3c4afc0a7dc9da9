"""Filling a model: from a file, from a state dict, or with random numbers."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.load import LoadReport, check_sizes, load_source, with_own
from bertkit.checkpoint.source import Source
from bertkit.config import BertConfig
from bertkit.errors import LoadError, UsageError
from bertkit.heads import POOLER
from bertkit.models.torch.arrays import array_of, dtype_of, tensor_of
from bertkit.parameters import TABLE, Parameter, expand

logger = logging.getLogger("bertkit")

FROM_FILES = ContextVar("from_files", default=False)
"""Whether a model is being built for weights of a file, so that post_init does not initialize it."""

_ALIASES = {row.alias: row.name for row in TABLE if row.alias}


def load(
    cls: Any,
    source: Source,
    config: BertConfig,
    own: Mapping[str, Any],
    dtype: str | torch.dtype | None,
    device: torch.device,
    ignore_mismatched_sizes: bool,
) -> tuple[Any, LoadReport]:
    """A model with the weights of a source, and the report. own: further arguments of the class."""
    optional = (POOLER,) if cls._head == "Model" and own.get("add_pooling_layer") is False else ()
    options: dict[str, Any] = {"ignore_mismatched_sizes": ignore_mismatched_sizes, "optional": optional}
    head = cls._head or "Model"
    if "_head" in vars(
        cls
    ):  # one of the nine: the table has all its parameters, so files are checked before modules are made
        tensors, report = load_source(source, head, config, **options)
        model, parts = _empty(cls, config, own), {}
    else:
        check_sizes(source, config)
        model = _empty(cls, config, own) if cls._head else cls(config, **own)
        parts = own_parts(model)
        strict = cls._head is not None and not parts
        tensors, report = load_source(source, head, config, strict=strict, **options)
    take(model, tensors, dtype, device)
    if optional:
        report = replace(report, fresh=tuple(name for name in report.fresh if not name.startswith(optional)))
    if parts or cls._head is None:
        report = take_own(model, parts, source.tensors, report, ignore_mismatched_sizes)
    return model, report


def model_of(
    cls: Any, config: BertConfig, tensors: Tensors, dtype: str | torch.dtype, device: torch.device, **own: Any
) -> Any:
    """A model in evaluation mode with arrays as its parameters. own: further arguments of the class."""
    model = _empty(cls, config, own)
    take(model, tensors, dtype, device)
    return model.eval()


def _empty(cls: Any, config: BertConfig, own: Mapping[str, Any]) -> Any:
    """A model whose parameters have no memory yet."""
    from_files = FROM_FILES.set(True)
    try:
        return cls(config, **own)
    finally:
        FROM_FILES.reset(from_files)


def take(model: Any, tensors: Tensors, dtype: str | torch.dtype | None, device: torch.device) -> None:
    """Make arrays the parameters of a model. Parameters on the meta device without an array are initialized."""
    if dtype == "auto":
        kind = tensor_of(next(iter(tensors.values()))).dtype
    else:
        kind = torch.float32 if dtype is None else dtype_of(dtype)
    here = dict(model.named_parameters(remove_duplicate=False))
    places: dict[int, list[tuple[nn.Module, str]]] = {}  # modules and names of each parameter; tied ones have several
    for module in model.modules():
        for leaf, old in module.named_parameters(recurse=False):
            places.setdefault(id(old), []).append((module, leaf))
    fresh = []
    for path, parameter in table_of(model).items():
        old = here[path]
        if parameter.name in tensors:
            tensor = tensor_of(tensors[parameter.name]).to(device, kind)
        elif not old.is_meta:
            continue
        else:
            tensor = torch.empty(parameter.shape, dtype=kind, device=device)
            fresh.append(path)
        new = nn.Parameter(tensor)
        for module, leaf in places[id(old)]:
            setattr(module, leaf, new)
    if tensors:
        model.config.dtype = str(kind).removeprefix("torch.")
        model.to(device, kind)  # parts of a subclass that are not in the table
    if fresh:
        model.initialize(fresh)


def initialize_own(model: Any, paths: Collection[str]) -> None:
    """Draw a subclass's own modules, of which parameters are among these paths. A model inside has drawn its own."""
    inside: list[str] = []
    for path, module in model.named_modules():
        if path and hasattr(module, "post_init"):
            inside.append(f"{path}.")
        elif not path.startswith(tuple(inside)):
            leaves = (name for name, _ in module.named_parameters(path, recurse=False))
            if any(leaf in paths for leaf in leaves):
                model._init_weights(module)


def take_own(
    model: Any, parts: Mapping[str, Tensor], given: Tensors, report: LoadReport, ignore_mismatched_sizes: bool
) -> LoadReport:
    """Load the parts of a user's subclass that are not in the table, by their names. Warns about missing ones."""
    named = {parameter.name for parameter in table_of(model, model._head or "Model").values()}
    shapes = {path: tuple(tensor.shape) for path, tensor in parts.items()}
    report = with_own(report, named, shapes, given, ignore_mismatched_sizes)
    loaded, fresh = ([path for path in parts if path in found] for found in (report.loaded, report.fresh))
    if report.missing or report.mismatched or (report.unexpected and model._head):
        raise LoadError(str(report))
    if fresh:
        initialize_own(model, fresh)
        logger.warning(
            "%s has no %s: they are initialized by %s._init_weights. Train them before use.",
            report.source,
            ", ".join(fresh),
            type(model).__name__,
        )
    model.load_state_dict({path: tensor_of(given[path]) for path in loaded}, strict=False)
    return report


def table_of(model: Any, head: str | None = None) -> dict[str, Parameter]:
    """The rows of the table for a model, by the paths of its parameters. head: use the rows of this class."""
    here = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    table = {}
    for name, parameter in expand(model.config, head or model._head).items():
        path = name if name in here else name.removeprefix("bert.")
        if path in here:
            table[path] = parameter
    return table


def own_parts(model: Any) -> dict[str, Tensor]:
    """Parameters and saved buffers of a user's subclass that are not in the table, by their paths."""
    table = table_of(model, model._head or "Model")
    here = dict(model.named_parameters(remove_duplicate=False))
    known = {id(here[path]) for path in table}  # under any name
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    own = {path: tensor for path, tensor in tensors if path not in table and id(tensor) not in known}
    return {path: own[path] for path in model.state_dict() if path in own} if own else {}


# Further arguments of from_pretrained.


def check_without_name(name: Any, ours: str, config: object, state_dict: object) -> None:
    """Raise UsageError if from_pretrained has neither a name, nor weights and a configuration."""
    if isinstance(name, nn.Module):
        kind = type(name)
        raise UsageError(
            f"{ours}.from_pretrained takes a name or a folder, not a {kind.__name__} of {kind.__module__}. For its weights "
            f"type {ours}.from_pretrained(None, config=model.config, state_dict=model.state_dict())."
        )
    if state_dict is None or config is None:
        raise UsageError(
            f"{ours}.from_pretrained(None) requires config and state_dict: pass both, or the name of a model."
        )


def of_state_dict(state_dict: Mapping[str, Tensor]) -> Source:
    """A state dict as an opened checkpoint. Its tensors are copied, so that the model does not share them."""
    tensors = {name: array_of(tensor.detach().clone()) for name, tensor in state_dict.items()}
    return Source(Path("state_dict"), "safetensors", "huggingface", tensors)


def device_of(device_map: str | int | torch.device | Mapping[str, Any]) -> torch.device:
    """The device of a `device_map`, which must be one device."""
    if isinstance(device_map, Mapping):
        if len(set(map(str, device_map.values()))) != 1:
            raise UsageError(
                f"device_map is {dict(device_map)!r}, and must name one device, such as 'auto', 'cpu' or 0."
            )
        device_map = next(iter(device_map.values()))
    if device_map in ("auto", "balanced", "balanced_low_0", "sequential"):
        device_map = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(device_map)  # type: ignore[arg-type]  # a number is that of a GPU
        torch.empty(0, device=device)
        return device
    except (AssertionError, ImportError, RuntimeError) as error:
        raise UsageError(
            f"device_map is {device_map!r}, and must be 'auto', 'cpu', 0, 'cuda:0' or the like: {error}"
        ) from error


# Hooks of load_state_dict.


def with_both_names(model: Any, state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state dict that has both names of each tied parameter of which it has one."""
    absent = {}
    for first, second in _tied(model):
        for one, other in ((first, second), (second, first)):
            if one in state_dict and other not in state_dict:
                absent[other] = state_dict[one]
    if absent:
        state_dict = copy.copy(state_dict)  # with its _metadata
        cast(dict[str, Any], state_dict).update(absent)
    return state_dict


def agree(module: Any, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any], *rest: Any) -> None:
    """Hook before a state dict is loaded: give both names of a tied parameter one value. Different values are an error.

    Without tied weights, transformers 5 saves two biases, and uses the one with the second name. With assign=True, one name
    stands for both, as `tie_again` keeps the parameter with the first one.
    """
    tied = module.config.tie_word_embeddings
    for name, alias in _tied(module):
        first, second = (prefix + name, prefix + alias) if tied else (prefix + alias, prefix + name)
        known = state_dict.get(first, state_dict.get(second))
        both = first in state_dict and second in state_dict
        if both and tied and _differ(known, state_dict[second]):
            errors: list[str] = rest[-1]
            errors.append(
                f"{second} and {first} are tied, but their values differ: delete one of them from the state dict, or make "
                "the model with BertConfig(tie_word_embeddings=False)."
            )
        if both or (known is not None and metadata.get("assign_to_params_buffers")):
            state_dict[first] = state_dict[second] = known


def _tied(module: Any) -> list[tuple[str, str]]:
    """The two names of each tied parameter of a model."""
    module.tie_weights()  # `to_empty` unties
    here = dict(module.named_parameters(remove_duplicate=False))
    return [(name, alias) for alias, name in _ALIASES.items() if alias in here and here[alias] is here[name]]


def _differ(one: Any, other: Any) -> bool:
    """Whether two tensors of a state dict differ. Sharded ones and those without data are not compared."""
    if one is other or not {type(one), type(other)} <= {Tensor, nn.Parameter} or one.is_meta or other.is_meta:
        return False
    if one.shape != other.shape or one.data_ptr() == other.data_ptr():
        return one.shape != other.shape
    return not torch.equal(one.detach().nan_to_num(), other.detach().to(one).nan_to_num())


def tie_again(module: Any, _: Any) -> None:
    """Hook after a state dict was loaded: assign=True unties."""
    module.tie_weights()
