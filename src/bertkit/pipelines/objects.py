"""Opens a pipeline for objects instead of names: models and tokenizers of bertkit or transformers."""

from __future__ import annotations

import os
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bertkit import hub
from bertkit.config import BertConfig
from bertkit.engines.base import engine_class
from bertkit.errors import HubError, Setting, UsageError, described
from bertkit.heads import PAIR, head_of

if TYPE_CHECKING:
    from bertkit.hub import Place
    from bertkit.tasks.base import Tokenizer


def engine_of(model: Any, device: Any, dtype: Any) -> Any:
    """The engine of a model object; None if the model is a name."""
    if hasattr(model, "run"):
        return model
    if isinstance(model, (str, os.PathLike, hub.Place)):
        return None
    framework = None if isinstance(model, type) else _framework(model)
    if framework:
        if device is not None or dtype not in (None, "auto"):
            raise UsageError(
                "device and dtype need a model that is passed by name, and this is an object: leave them out."
            )
        return engine_class(framework)(model)
    if isinstance(model, type) or not hasattr(model, "base_model_prefix") or not hasattr(model, "state_dict"):
        what = f"the class {model.__name__}" if isinstance(model, type) else f"of type {type(model).__name__}"
        raise UsageError(f"model is {what}: pass a name, a folder, a BERT of bertkit or transformers, or an engine.")
    if hasattr(model, "peft_config"):
        model = _with_adapters(model)
    if type(model).__name__ == PAIR:
        engine = import_module("bertkit.engines.writing").writing_engine(model)
    else:
        engine = engine_class("torch")(model if getattr(model, "_head", None) else _converted(model))
    if device is not None:
        engine.to(device)
    if dtype not in (None, "auto", engine.precision, engine.dtype, str(engine.dtype).removeprefix("torch.")):
        raise UsageError(
            Setting("dtype", str(dtype)),
            f" needs a model that is passed by name, and this object has {engine.dtype}: ",
            "convert the model first, for example with model.half(), or leave dtype out.",
        )
    return engine


def _with_adapters(model: Any) -> Any:
    """The BERT within a model of peft, whose layers have the adapters. Virtual tokens are not among its layers."""
    if model.active_peft_config.is_prompt_learning:
        raise UsageError(
            f"model is a {type(model).__name__} with virtual tokens, which a pipeline cannot add: call the model itself."
        )
    return model.get_base_model()


def _framework(model: Any) -> str | None:
    """The engine's name for a model of a Flax or TensorFlow class; None for other objects."""
    if not hasattr(model, "base_model_prefix") or not getattr(model, "_head", None):
        return None
    return "flax" if getattr(model, "framework", None) == "flax" else "keras" if hasattr(model, "get_config") else None


def _converted(model: Any) -> Any:
    """A transformers model as a model of the same class of bertkit, with shared tensors."""
    kind = type(model).__name__
    if getattr(model.config, "model_type", None) != "bert":
        raise UsageError(f"model is a {kind}, which is not a BERT: pass a name, or a BERT of bertkit or transformers.")
    return import_module("bertkit.engines.torch").model_like(
        model, BertConfig.from_dict(model.config.to_dict()), head_of(kind)
    )


def place_of(model: Any) -> Place | None:
    """The files that a model object was loaded from; None if they are unknown, or neither on this disk nor in the cache."""
    config = getattr(model, "config", None)
    name = getattr(config, "_name_or_path", "") or getattr(model, "name_or_path", "")
    if not name or not isinstance(name, (str, os.PathLike)):
        return None
    try:
        return hub.locate(name, local_files_only=True)
    except HubError:
        return None


def own_tokenizer(given: Any) -> Any:
    """Convert a tokenizer of transformers to one of bertkit. Names, tokenizers of bertkit and None are returned unchanged."""
    from bertkit.text.tokenizer import BertTokenizerFast

    if given is None or isinstance(given, (str, os.PathLike)) or (callable(given) and hasattr(given, "engine")):
        return given
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict):
        return BertTokenizerFast.from_pretrained(given[0], **given[1])
    if hasattr(given, "save_pretrained") and hasattr(given, "get_vocab"):
        return _through_files(given)
    what = described(given) if isinstance(given, (int, float, list)) else f"a {type(given).__name__}"
    raise UsageError(f"tokenizer is {what}: pass bertkit.BertTokenizerFast.from_pretrained(...), or a folder.")


def _through_files(given: Any) -> Tokenizer:
    """Convert a tokenizer of transformers by saving it to a temporary folder."""
    from bertkit.text.tokenizer import BertTokenizerFast

    with TemporaryDirectory() as folder:
        given.save_pretrained(folder)
        tokenizer = BertTokenizerFast.from_pretrained(folder)
        len(tokenizer.engine.ids("a"))  # reads the files before they are deleted
    tokenizer.name_or_path = str(getattr(given, "name_or_path", ""))
    return tokenizer
