"""Objects in place of names: models and tokenizers, ours or those of transformers, for a pipeline."""

from __future__ import annotations

import os
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bertkit import hub
from bertkit.config import BertConfig
from bertkit.engines.base import engine_class
from bertkit.errors import HubError, Setting, UsageError, described
from bertkit.heads import head_of

if TYPE_CHECKING:
    from bertkit.hub import Place
    from bertkit.tasks.base import Tokenizer


def engine_of(model: Any, device: Any, dtype: Any) -> Any:
    """The engine of a model object; None where the model is a name."""
    if hasattr(model, "run"):
        return model
    if isinstance(model, (str, os.PathLike, hub.Place)):
        return None
    framework = _framework(model)
    if framework:
        if device is not None or dtype not in (None, "auto"):
            raise UsageError("device and dtype are for a model that is opened by its name: leave them out.")
        return engine_class(framework)(model)
    if not hasattr(model, "base_model_prefix") or not hasattr(model, "state_dict"):
        raise UsageError(
            f"model is a {type(model).__name__}: a name, a folder, a BERT of bertkit or transformers, or an engine is accepted."
        )
    engine = engine_class("torch")(model if getattr(model, "_head", None) else _taken_over(model))
    if device is not None:
        engine.to(device)
    if dtype not in (None, "auto", engine.precision, engine.dtype, str(engine.dtype).removeprefix("torch.")):
        raise UsageError(
            Setting("dtype", str(dtype)),
            f" is for a model that is opened by its name, and this one has {engine.dtype}: ",
            "change the model itself, as in model.half(), or leave dtype out.",
        )
    return engine


def _framework(model: Any) -> str | None:
    """The engine for one of the Flax or TensorFlow classes; None for another object."""
    if not hasattr(model, "base_model_prefix") or not getattr(model, "_head", None):
        return None
    return "flax" if getattr(model, "framework", None) == "flax" else "keras" if hasattr(model, "get_config") else None


def _taken_over(model: Any) -> Any:
    """A model of transformers as the same class of ours, with the same tensors."""
    kind = type(model).__name__
    if getattr(model.config, "model_type", None) != "bert":
        raise UsageError(
            f"model is a {kind}, which is no BERT: type a name, or a model of bertkit or transformers that is."
        )
    return import_module("bertkit.engines.torch").model_like(
        model, BertConfig.from_dict(model.config.to_dict()), head_of(kind)
    )


def place_of(model: Any) -> Place | None:
    """Where a model object was read from, if it says so and that is on this disk or in the cache of the Hub."""
    config = getattr(model, "config", None)
    name = getattr(config, "_name_or_path", "") or getattr(model, "name_or_path", "")
    if not name or not isinstance(name, (str, os.PathLike)):
        return None
    try:
        return hub.locate(name, local_files_only=True)
    except HubError:
        return None


def own_tokenizer(given: Any) -> Any:
    """A tokenizer of ours in place of an object of transformers; names, ours and None as they are."""
    from bertkit.text.tokenizer import BertTokenizerFast

    if given is None or isinstance(given, (str, os.PathLike)) or (callable(given) and hasattr(given, "engine")):
        return given
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict):
        return BertTokenizerFast.from_pretrained(given[0], **given[1])
    if hasattr(given, "save_pretrained") and hasattr(given, "get_vocab"):
        return _through_files(given)
    what = described(given) if isinstance(given, (int, float, list)) else f"a {type(given).__name__}"
    raise UsageError(f"tokenizer is {what}: type bertkit.BertTokenizerFast.from_pretrained(...), or a folder.")


def _through_files(given: Any) -> Tokenizer:
    """A tokenizer of transformers as ours, by the files that it saves."""
    from bertkit.text.tokenizer import BertTokenizerFast

    with TemporaryDirectory() as folder:
        given.save_pretrained(folder)
        tokenizer = BertTokenizerFast.from_pretrained(folder)
        len(tokenizer.engine.ids("a"))  # what is read late is read now, while the files are there
    tokenizer.name_or_path = str(getattr(given, "name_or_path", ""))
    return tokenizer
