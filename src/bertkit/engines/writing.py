"""The PyTorch engine of tasks that write: the method `generate` of a decoder, or of an encoder and a decoder."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertkit.config import BertConfig
from bertkit.config.encoder_decoder import EncoderDecoderConfig
from bertkit.data.batches import Batch, Limits
from bertkit.engines.torch import NAMES, TorchEngine, device_of, model_like, take_settings, type_of
from bertkit.errors import Setting, UsageError, received
from bertkit.heads import PAIR, Ask, Writing
from bertkit.hub import Place
from bertkit.models.torch.encoder_decoder import EncoderDecoderModel
from bertkit.models.torch.heads import BertLMHeadModel
from bertkit.search.settings import GenerationConfig
from bertkit.tensors import Array

_ROWS = 32
"""The most texts or beams that are written at the same time. Each keeps the keys and values of all its words."""


class WritingEngine:
    """A model with the method `generate`."""

    name = "torch"
    limits = Limits(rows=_ROWS)
    gpus = 0

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, model.config
        self.head = PAIR if isinstance(model, EncoderDecoderModel) else "LMHeadModel"
        self.precision = NAMES[model.dtype]
        self.unwanted: Callable[[], bool] | None = None  # ends all texts at the next word, if it returns True

    @classmethod
    def open(cls, place: Place, config: Any, device: object = None, precision: str = "auto") -> WritingEngine:
        """The engine for the model of a place."""
        if precision == "int8":
            raise UsageError(
                received("precision", precision), " cannot write: type ", Setting("precision", "fp32"), "."
            )
        on = device_of(device)
        made: Any = EncoderDecoderModel if isinstance(config, EncoderDecoderConfig) else BertLMHeadModel
        return cls(made.from_pretrained(place, config, dtype=type_of(precision, on), device_map=on))

    @classmethod
    def of(cls, engine: Any) -> WritingEngine:
        """The engine for the model of another one."""
        if isinstance(engine, WritingEngine):
            return engine
        if not isinstance(engine, TorchEngine) or engine.model is None or engine.head != "LMHeadModel":
            raise UsageError(
                "This task writes, and needs a PyTorch model: pass the name of one, a BertLMHeadModel or an EncoderDecoderModel."
            )
        return cls(engine.model)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        found: torch.device = self.model.device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """The type of the model's numbers."""
        found: torch.dtype = self.model.dtype
        return found

    def to(self, device: object) -> None:
        """Move the model."""
        self.model.to(device_of(device))

    def run(self, batch: Batch, ask: Ask) -> dict[str, Array]:
        """Write for each row. Rows of a decoder that are written together have the same length, so that no prompt is padded."""
        assert ask.writing is not None
        rows = np.split(batch.input_ids, np.cumsum(batch.lengths)[:-1])
        chosen = self.model.current_settings().for_writing(ask.writing)
        most = max(1, _ROWS // max(chosen.num_beams, chosen.num_return_sequences))
        groups = [np.arange(len(rows))] if self.head == PAIR else _alike(batch.lengths)
        found: list[Any] = [None] * len(rows)
        for group in groups:
            for start in range(0, len(group), most):
                numbers = group[start : start + most].tolist()
                written = self._written([rows[number] for number in numbers], chosen, ask.writing)
                for number, texts in zip(numbers, written, strict=True):
                    found[number] = texts
        longest = max(texts.shape[1] for texts in found)
        filled = [np.pad(texts, ((0, 0), (0, longest - texts.shape[1])), constant_values=-1) for texts in found]
        return {"sequences": np.stack(filled)}

    def _written(self, rows: list[Array], chosen: GenerationConfig, writing: Writing) -> list[Array]:
        """The words of some rows, [texts, words] of each, without what is only there because another row is longer."""
        padding = chosen.pad_token_id or 0
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), padding, np.int64)
        for own, row in zip(ids, rows, strict=True):
            own[: len(row)] = row
        mask = np.arange(longest) < np.array([len(row) for row in rows])[:, None]
        prompt, unwanted = 1 if self.head == PAIR else longest, self.unwanted
        words = self.model.generate(
            torch.from_numpy(ids).to(self.device),
            chosen.with_options(_fitting(chosen, writing, self._positions - prompt)),
            attention_mask=torch.from_numpy(mask.astype(np.int64)).to(self.device),
            seed=[_seed(writing.seed, row) for row in rows] if chosen.do_sample and writing.seed is not None else None,
            use_model_defaults=False,  # those are in the settings
            stopping_criteria=None if unwanted is None else [lambda *_: unwanted()],
        )
        texts = words.cpu().numpy().reshape(len(rows), chosen.num_return_sequences, -1)
        return [one[:, : prompt + _length(one[:, prompt:], chosen.ends)] for one in texts]

    @property
    def _positions(self) -> int:
        """The most words that the decoder can have."""
        config: BertConfig = getattr(self.model, "decoder", self.model).config
        return config.max_position_embeddings


def writing_engine(model: Any) -> WritingEngine:
    """The engine for an EncoderDecoderModel of bertkit, or of transformers, whose tensors it shares."""
    if isinstance(model, EncoderDecoderModel):
        return WritingEngine(model)
    parts = [(model.encoder, "Model"), (model.decoder, "LMHeadModel")]
    for part, head in parts:
        if getattr(part.config, "model_type", None) != "bert":
            raise UsageError(f"The model has a {type(part).__name__}, and needs a Bert{head}.")
    config = EncoderDecoderConfig.from_dict(model.config.to_dict())
    shared = [
        model_like(part, own, head) for (part, head), own in zip(parts, (config.encoder, config.decoder), strict=True)
    ]
    made = EncoderDecoderModel(config, *shared)
    if hasattr(made, "enc_to_dec_proj"):
        made.enc_to_dec_proj = model.enc_to_dec_proj
    take_settings(made, model)
    return WritingEngine(made.train(model.training))


def _alike(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The numbers of the rows of each length."""
    return [np.flatnonzero(lengths == length) for length in np.unique(lengths)]


def _fitting(chosen: GenerationConfig, writing: Writing, room: int) -> dict[str, Any]:
    """The number of new words, where the usual one does not fit into the positions."""
    usual = "max_new_tokens" not in writing.settings and chosen.max_new_tokens is not None
    return {"max_new_tokens": min(chosen.max_new_tokens or 0, room)} if usual else {}


def _length(texts: Array, ends: list[int]) -> int:
    """The number of words of the longest of some texts [R, t], each with the word that ends it."""
    found = np.isin(texts, ends)
    return int(np.where(found.any(1), found.argmax(1) + 1, texts.shape[1]).max())


def _seed(seed: int, row: Array) -> int:
    """The seed of a row, which depends on its tokens, and not on its place among the others."""
    digest = blake2b(row.astype("<i8").tobytes(), digest_size=8).digest()
    return (seed << 64) + int.from_bytes(digest, "little")
