"""Training of summaries: an encoder and a decoder are made of one BERT, and each word is predicted from the true words before it.

T tokens of the texts   N rows   L words of the longest summary   V vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bertkit import hub
from bertkit.config.encoder_decoder import EncoderDecoderConfig, config_of
from bertkit.data.batches import Batch
from bertkit.errors import Setting, UsageError
from bertkit.heads import IGNORED, PAIR
from bertkit.models.torch.encoder_decoder import EncoderDecoderModel
from bertkit.search.settings import GenerationConfig
from bertkit.tasks.summarization import LABELS, LENGTH
from bertkit.training.objectives import PLAIN, Inner, Objective, device_of, inputs_of
from bertkit.training.options import Settings


class Writing(Objective):
    """Cross-entropy of the words of summaries, with label smoothing."""

    head = PAIR

    def __init__(self, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def weight(self, batch: Batch) -> float:
        """Return the number of words."""
        return float(batch.targets[LENGTH].values.sum())

    def outputs(self, model: Any, batch: Batch, inner: Inner = PLAIN) -> Any:
        """Run the model on the packed texts and the true words."""
        given = inputs_of(batch, self.head, device_of(model))
        return model(**given, labels=labels_of(batch).to(given["input_ids"].device), **inner._asdict())

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of a word."""
        if not self.smoothing:
            own: Tensor = outputs.loss
            return own
        labels = labels_of(batch).to(outputs.logits.device)
        scores = outputs.logits.flatten(0, 1).float()
        return F.cross_entropy(scores, labels.flatten(), ignore_index=IGNORED, label_smoothing=self.smoothing)


def labels_of(batch: Batch) -> Tensor:
    """Return the words of the summaries of a batch, -100 after the end, [N, L]."""
    words, lengths = batch.targets[LABELS].values, batch.targets[LENGTH].values
    found = np.full((len(lengths), int(lengths.max())), IGNORED, np.int64)
    found[np.arange(found.shape[1]) < lengths[:, None]] = words
    return torch.from_numpy(found)


def pair_of(place: hub.Place, tokenizer: Any, settings: Settings) -> EncoderDecoderModel:
    """Open an encoder-decoder, or make one of a BERT. It writes with beams, as evaluations in training do."""
    config = config_of(place if settings.config is None else settings.config)
    dropout: Mapping[str, Any] = {}
    if settings.dropout is not None:
        dropout = {"hidden_dropout_prob": settings.dropout, "attention_probs_dropout_prob": settings.dropout}
    if isinstance(config, EncoderDecoderConfig):
        if settings.tie_encoder_decoder and not config.tie_encoder_decoder:
            raise UsageError(
                "The model has an encoder and a decoder with weights of their own, which cannot be tied: leave out ",
                Setting("tie_encoder_decoder", True),
                ".",
            )
        for part in (config.encoder, config.decoder):
            part.update(dict(dropout))
        model: EncoderDecoderModel = EncoderDecoderModel.from_pretrained(place, config)
    else:
        own = {f"{part}_{name}": value for part in ("encoder", "decoder") for name, value in dropout.items()}
        tied = settings.tie_encoder_decoder
        model = EncoderDecoderModel.from_encoder_decoder_pretrained(place, place, tie_encoder_decoder=tied, **own)
    _name_tokens(model.config, tokenizer)
    model.generation_config = GenerationConfig(
        num_beams=settings.num_beams,
        max_length=_longest(model.config, settings) + 1,
        early_stopping=True,
        no_repeat_ngram_size=3,
        **{name: getattr(model.config, name) for name in ("decoder_start_token_id", "eos_token_id", "pad_token_id")},
    )
    return model


def _name_tokens(config: Any, tokenizer: Any) -> None:
    """Write into a configuration with which words the decoder begins and ends, if it does not say so."""
    for name, token in (("decoder_start_token_id", "cls"), ("eos_token_id", "sep"), ("pad_token_id", "pad")):
        if getattr(config, name) is None:
            setattr(config, name, getattr(tokenizer, f"{token}_token_id"))
    config.vocab_size = config.decoder.vocab_size


def _longest(config: Any, settings: Settings) -> int:
    """Return the most words of a summary, for which the decoder needs positions."""
    most = config.decoder.max_position_embeddings - 1
    if settings.max_target_length > most:
        raise UsageError(
            f"max_target_length={settings.max_target_length} is above the positions of the decoder: type ",
            Setting("max_target_length", most),
            " or less.",
        )
    return settings.max_target_length
