"""A part of the loss of pretraining: the vectors of the student's texts should be those of a teacher.

    loss = mean over texts of 1 - cosine(mean of the last hidden states of the text's tokens, target)

The tokens of a text are those with its token type: A with [CLS] and its [SEP], B with its [SEP]. These are also the tokens whose
mean is the vector of a single text. Texts without vectors do not count.

T tokens   N rows   S texts of a row   H width of the student   W width of a target, at most H
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bertkit.data.batches import Batch
from bertkit.training.pretraining.objective import Found, Part
from bertkit.training.pretraining.sentence_vectors import VECTORS


class SentenceDistance(Part):
    """The distance between the texts of a packed batch and their targets from `SentenceVectors`.

    >>> import numpy as np
    >>> from bertkit.data.batches import Row, Target, pack
    >>> target = Target(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), "row")
    >>> batch = pack([Row(np.array([2, 7, 3, 8, 3]), np.array([0, 0, 0, 1, 1]), targets={VECTORS: target})])
    >>> states = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, -1.0], [1.0, 0.0], [-1.0, 0.0]])
    >>> distance(states, batch), SentenceDistance().weight(batch)
    (tensor(0.5000), 2.0)

    Args:
        factor: the factor of this part in the loss.
    """

    name = "teacher_loss"
    needs_tokens = True

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def weight(self, batch: Batch) -> float:
        """Return the number of texts with a target."""
        return float(batch.targets[VECTORS].values.any(-1).sum())

    def loss(self, model: Any, found: Found, batch: Batch) -> Tensor:
        """Return the mean distance."""
        assert found.tokens is not None
        return distance(found.tokens, batch)


def distance(states: Tensor, batch: Batch) -> Tensor:
    """Return the mean distance of the texts with a target; 0 if there are none.

    Args:
        states: the last hidden states of all tokens, in the order of the batch [T, H].
        batch: the batch.
    """
    targets = torch.from_numpy(batch.targets[VECTORS].values).to(states.device)  # [N, S, W]
    rows, texts, width = targets.shape
    owners = torch.arange(rows).repeat_interleave(torch.from_numpy(batch.lengths)) * texts
    owners = (owners + torch.from_numpy(batch.token_type_ids)).to(states.device)  # [T]
    sums = states.new_zeros(rows * texts, width, dtype=torch.float32)  # a cosine does not depend on the length
    sums = sums.index_add(0, owners, states[:, :width].float())
    distances = 1 - F.cosine_similarity(sums, targets.flatten(0, 1), dim=-1)
    known = targets.flatten(0, 1).any(-1)
    return torch.where(known, distances, 0.0).sum() / known.sum().clamp(min=1)
