"""The model and the tokenizer of an explanation, by name or as objects, and a text as their inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from bertkit import hub
from bertkit.config import BertConfig
from bertkit.config.encoder_decoder import config_of
from bertkit.engines.base import engine_class
from bertkit.errors import UsageError, described
from bertkit.heads import PAIR, head_of
from bertkit.pipelines.base import Pipeline
from bertkit.pipelines.objects import engine_of, own_tokenizer, place_of
from bertkit.pipelines.open import Weights, check_vocabulary, tokenizer_of
from bertkit.tasks.embedding import weights_place

_LONGEST = 48
"""Characters of a model's name."""


def opened(model: Any, tokenizer: Any) -> tuple[Any, Any]:
    """Return a PyTorch model in evaluation mode and its tokenizer.

    Args:
        model: a folder, a Hub id, a built-in model, a model of the PyTorch classes or of transformers, or a pipeline.
        tokenizer: a tokenizer, or its path or Hub id; None: that of the model.
    """
    if isinstance(model, Pipeline):
        found, words = model.model, tokenizer_of(own_tokenizer(tokenizer), None) if tokenizer else model.tokenizer
    elif (engine := engine_of(model, None, "auto")) is not None:
        if not hasattr(engine, "model") or not hasattr(engine.model, "parameters"):
            raise UsageError("Explanations need a PyTorch model: pass its name, a PyTorch class, or a pipeline.")
        found, words = engine.model, tokenizer_of(own_tokenizer(tokenizer), place_of(model))
    else:
        found, words = _by_name(model, own_tokenizer(tokenizer))
    if type(found).__name__ == PAIR:
        raise UsageError(f"The model is an {PAIR}: pass its encoder or its decoder.")
    check_vocabulary(words, found.config)
    return found, words


def _by_name(model: str | os.PathLike[str], tokenizer: Any) -> tuple[Any, Any]:
    """Open a model by its name, in float32, as the class in its configuration."""
    engine_class("torch")  # raises an error that says how to install PyTorch
    place = weights_place(hub.locate(model))
    config = config_of(place, {})
    if not isinstance(config, BertConfig):
        raise UsageError(f"{place.name} is an {PAIR}: pass its encoder or its decoder.")
    head = head_of(config.architectures[0]) if config.architectures else "Model"
    return Weights.read(place, config, head).model().float(), tokenizer_of(tokenizer, place)


def name_of(model: Any) -> str:
    """Return the name that a model was loaded by, without the start of a long path, or else its class.

    >>> name_of(type("Tiny", (), {"config": {}})())
    'Tiny'
    """
    name = str(getattr(getattr(model, "config", None), "_name_or_path", "") or type(model).__name__)
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"


def opened_tokenizer(tokenizer: Any) -> Any:
    """Return a tokenizer by its name, or the tokenizer that was passed."""
    return tokenizer_of(own_tokenizer(tokenizer), None)


def check_texts(text: object, pair: object) -> None:
    """Raise UsageError if the text, or its pair, is not a string. The pair may be None."""
    for name, one in (("text", text), ("pair", "" if pair is None else pair)):
        if not isinstance(one, str):
            raise UsageError(f"{name} is {described(one)}: pass one text.")


def inputs_of(model: Any, tokenizer: Any, text: str, pair: str | None) -> tuple[dict[str, Any], list[str]]:
    """Return the tensors [1, L] of a text, and its tokens. Raises UsageError for a text that is too long."""
    check_texts(text, pair)
    encoded = tokenizer(text, pair, verbose=False)
    most = model.config.max_position_embeddings
    if len(encoded["input_ids"]) > most:
        raise UsageError(
            f"The text has {len(encoded['input_ids'])} tokens, and the model takes at most {most}: pass a shorter text."
        )
    tensor = import_module("torch").tensor
    names = ("input_ids", "token_type_ids")
    tensors = {name: tensor([encoded[name]], device=model.device) for name in names if name in encoded}
    return tensors, encoded.tokens()


@contextmanager
def without_dropout(model: Any) -> Iterator[None]:
    """Evaluation mode in the block, whatever mode the model and each of its parts are in."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
