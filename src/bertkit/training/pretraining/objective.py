"""The loss of pretraining: a sum of parts, each a mean of its own. Masked words, the next sentence, and what else is added.

The last layer is computed to its end only for the masked tokens and the first token of each row, unless a part needs all tokens.

T tokens   N rows   M masked tokens   H hidden   K parts
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bertkit.config import BertConfig
from bertkit.data.batches import Batch
from bertkit.models.torch.packing import arrange
from bertkit.training.objectives import Objective, device_of, inputs_of
from bertkit.training.pretraining.flops import step_flops
from bertkit.training.pretraining.word_loss import word_loss


class Found(NamedTuple):
    """What the encoder computed for a batch."""

    masked: Tensor  # states of the masked tokens [M, H]
    pooled: Tensor | None  # [N, H]; None: the model has no pooler
    tokens: Tensor | None  # states of all tokens [T, H]; None: no part needs them


class Part(ABC):
    """One part of the loss."""

    name: str
    needs_tokens = False  # whether it needs the states of all tokens
    factor = 1.0

    @abstractmethod
    def weight(self, batch: Batch) -> float:
        """Return the number of items whose mean the loss is."""

    @abstractmethod
    def loss(self, model: Any, found: Found, batch: Batch) -> Tensor:
        """Return the mean loss of a batch."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield parameters that are trained together with the model, but are not part of it."""
        return iter(())


class MaskedWords(Part):
    """Cross-entropy of the masked words."""

    name = "mlm_loss"

    def weight(self, batch: Batch) -> float:
        """Return the number of masked tokens."""
        return float(len(batch.targets["labels"].values))

    def loss(self, model: Any, found: Found, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        labels = torch.from_numpy(batch.targets["labels"].values).to(found.masked.device)
        return word_loss(*projection(model, found.masked), labels)


class NextSentence(Part):
    """Cross-entropy of whether the second text follows the first."""

    name = "nsp_loss"

    def weight(self, batch: Batch) -> float:
        """Return the number of rows."""
        return float(len(batch.lengths))

    def loss(self, model: Any, found: Found, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        logits = model.cls.seq_relationship(found.pooled)
        labels = torch.from_numpy(batch.targets["next_sentence_label"].values).to(logits.device)
        return F.cross_entropy(logits.float(), labels)


def projection(model: Any, masked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what word scores are made of: transformed states [M, H], the vocabulary projection [V, H] and its bias [V]."""
    predictions = model.cls.predictions
    return predictions.transform(masked), predictions.decoder.weight, predictions.bias


def encoded(model: Any, batch: Batch, all_tokens: bool = False) -> Found:
    """Run the encoder on a batch."""
    assert batch.positions is not None
    device = device_of(model)
    given = inputs_of(batch, "ForMaskedLM", device)
    inputs = arrange(given["input_ids"], None, given["token_type_ids"], None, None, given["lengths"])
    places = inputs.layout.here(torch.from_numpy(batch.positions).to(device))  # type: ignore[union-attr]
    inputs.wanted = None if all_tokens else places
    states = model.bert(arranged=inputs, output_hidden_states=False, output_attentions=False)
    x = states.last_hidden_state
    if not all_tokens:
        return Found(x, states.pooler_output, None)
    return Found(x[places], states.pooler_output, inputs.layout.unpack(x))


class _Losses(nn.Module):
    """A model whose forward returns the parts of the loss. DDP and FSDP need all computation in a forward."""

    def __init__(self, model: Any, parts: Sequence[Part]) -> None:
        super().__init__()
        self.model, self.parts = model, parts

    @property
    def base_model(self) -> Any:
        """The encoder."""
        return self.model.base_model

    def forward(self, batch: Batch) -> Tensor:
        """Return the parts of the loss [K]."""
        found = encoded(self.model, batch, any(part.needs_tokens for part in self.parts))
        return torch.stack([part.factor * part.loss(self.model, found, batch) for part in self.parts])


class Pretraining(Objective):
    """The sum of the parts.

    Args:
        config: the configuration of the model.
        parts: the parts: masked words, then the next sentence if the examples are pairs, then any others.
    """

    def __init__(self, config: BertConfig, parts: Sequence[Part]) -> None:
        self.config, self.parts = config, list(parts)
        self.pairs = any(isinstance(part, NextSentence) for part in parts)
        self.head = "ForPreTraining" if self.pairs else "ForMaskedLM"
        self.loss_names = [part.name for part in parts] if len(parts) > 1 else []

    def module(self, model: Any) -> Any:
        """Return the model, with the parts of the loss in its forward."""
        return _Losses(model, self.parts)

    def weight(self, batch: Batch) -> float:
        """Return the number of masked tokens."""
        return self.parts[0].weight(batch)

    def loss_weights(self, batch: Batch) -> tuple[float, ...]:
        """Return the weight of each part of the loss."""
        return tuple(part.weight(batch) for part in self.parts)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the parts of the loss, which are the outputs."""
        losses: Tensor = outputs
        return losses

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Return the parts of the loss [K]. model: from `module`."""
        losses: Tensor = model(batch)
        return losses

    def flops(self, batch: Batch) -> float:
        """Return the operations of a step on a batch."""
        return step_flops(self.config, batch, self.pairs, any(part.needs_tokens for part in self.parts))

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters of the parts."""
        return chain.from_iterable(part.named_parameters() for part in self.parts)
