"""Open what pretraining needs: shards, their tokenizer, and a new or a trained model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bertkit import hub
from bertkit.config import SIZES, BertConfig
from bertkit.data.shards import Shards
from bertkit.data.shards.layout import TOKENIZER
from bertkit.data.shards.split import split
from bertkit.engines.torch import device_of, model_class
from bertkit.errors import Setting, UsageError, received
from bertkit.text.auto import AutoTokenizer
from bertkit.training.pretraining.nearby import can_start_nearby, start_nearby
from bertkit.training.pretraining.options import PretrainingSettings
from bertkit.training.schedule import freeze


@dataclass
class Opened:
    """What a run reads."""

    shards: Shards
    held_out: Shards | None  # for evaluation
    tokenizer: Any
    model: Any


def open_all(settings: PretrainingSettings) -> Opened:
    """Open the shards, the tokenizer and the model. A new model is drawn with the seed."""
    shards = Shards(settings.data)
    held_out = None if settings.eval is None else Shards(settings.eval)
    if held_out is not None and held_out.index.settings.get("tokenizer") != shards.index.settings.get("tokenizer"):
        raise UsageError(received("eval", settings.eval), " was prepared with another tokenizer: prepare it again.")
    if settings.eval_share is not None:
        shards, held_out = split(shards, settings.eval_share)
    tokenizer = AutoTokenizer.from_pretrained(settings.tokenizer or shards.folder / TOKENIZER)
    _check_tokenizer(tokenizer, shards, settings.tokenizer)
    torch.manual_seed(settings.seed)
    model = _trained(settings, tokenizer, shards) if settings.model else _new(settings, tokenizer, shards)
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    _check_sizes(model.config, settings, shards)
    model.to(device_of(settings.device))
    freeze(model, settings.freeze)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return Opened(shards, held_out, tokenizer, model)


def head_of(settings: PretrainingSettings) -> str:
    """Return the class suffix of the model."""
    return "ForPreTraining" if settings.examples == "pairs" else "ForMaskedLM"


def _check_tokenizer(tokenizer: Any, shards: Shards, name: str | None) -> None:
    """Raise UsageError if a tokenizer has another vocabulary than that of the shards."""
    if name is None:
        return
    own = AutoTokenizer.from_pretrained(shards.folder / TOKENIZER)
    if own.get_vocab() != tokenizer.get_vocab():
        raise UsageError(
            received("tokenizer", name),
            f" has another vocabulary than the tokenizer of {shards.folder}: leave it out, or prepare the shards again.",
        )


def _new(settings: PretrainingSettings, tokenizer: Any, shards: Shards) -> Any:
    """Return a model with initial weights."""
    assert settings.config is not None
    name = settings.config
    if name in SIZES:
        config = BertConfig.named(name, vocab_size=shards.special.vocab_size)
    elif Path(name).exists():
        config = BertConfig.from_pretrained(name)
    else:
        raise UsageError(
            received("config", name),
            f" is neither a size nor a file: type {', '.join(SIZES)}, or the path of a config.json.",
        )
    if tokenizer.pad_token_id is not None:
        config.pad_token_id = tokenizer.pad_token_id
    _drop_out(config, settings)
    able = can_start_nearby(config)
    if settings.start == "nearby" and not able:
        raise UsageError(
            received("start", settings.start), " needs a model with embeddings of positions: type ",
            Setting("start", "random"), ".",
        )  # fmt: skip
    model = model_class(head_of(settings))(config)
    if able and settings.start != "random":
        start_nearby(model)
    return model


def _trained(settings: PretrainingSettings, tokenizer: Any, shards: Shards) -> Any:
    """Return a model to train further. A part of the head that its files lack is new."""
    place = hub.locate(settings.model)  # type: ignore[arg-type]
    theirs = AutoTokenizer.from_pretrained(place)
    if theirs.get_vocab() != tokenizer.get_vocab():
        raise UsageError(
            received("model", settings.model),
            f" has another vocabulary than the tokenizer of {shards.folder}: prepare the shards with ",
            Setting("tokenizer", settings.model),
            ".",
        )
    config = BertConfig.from_pretrained(place)
    _drop_out(config, settings)
    return model_class(head_of(settings)).from_pretrained(place, config=config)


def _drop_out(config: BertConfig, settings: PretrainingSettings) -> None:
    if settings.dropout is not None:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = settings.dropout


def _check_sizes(config: BertConfig, settings: PretrainingSettings, shards: Shards) -> None:
    """Raise UsageError if the model is too small for the examples, or is not an encoder."""
    if config.is_decoder:
        raise UsageError("The configuration is one of a decoder (is_decoder), and masked words need an encoder.")
    if config.vocab_size < shards.special.vocab_size:
        raise UsageError(
            f"The model has {config.vocab_size:,} words, and the shards have a vocabulary of {shards.special.vocab_size:,}: "
            f"write vocab_size {shards.special.vocab_size} into the configuration."
        )
    if settings.max_length > config.max_position_embeddings:
        most = config.max_position_embeddings
        raise UsageError(
            received("max_length", settings.max_length), f" is above the {most} positions of the model: type ",
            Setting("max_length", most), ", or less.",
        )  # fmt: skip
    if settings.examples == "pairs" and config.type_vocab_size < 2:
        raise UsageError(
            "The model has one token type, and pairs need two: type ", Setting("examples", "sentences"), "."
        )


def saver(tokenizer: Any) -> Callable[[Any, Path], None]:
    """Return a function that writes a normal model folder."""

    def save(model: Any, folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return save
