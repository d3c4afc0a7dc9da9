"""Training of sentence embeddings: the loss of a step compares all of its texts with each other.

A step that is larger than `batch_tokens` is computed in two passes. The first computes all vectors without keeping what their
gradients need. The loss of all vectors gives the gradient of each vector, with which the second pass computes each batch again.

T tokens   N rows   E examples   k texts of an example   D size of a vector
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bertkit.data.batches import Batch
from bertkit.errors import Setting, UsageError, received
from bertkit.tasks.embedding import Dense, Recipe
from bertkit.tasks.sentence_embedding import SCORE, SentenceEmbedding
from bertkit.training.batches import Unit
from bertkit.training.objectives import Objective, device_of
from bertkit.training.options import Settings

SCALE = 20.0
"""The factor of cosines in the losses, that of sentence-transformers."""


def negatives_loss(vectors: Tensor, scores: Tensor | None = None) -> Tensor:
    """Return the loss of multiple negatives ranking: the second text of each example, among those of all examples, [E, k, D].

    Third texts are further negatives of all examples.
    """
    first, *others = F.normalize(vectors, dim=-1).unbind(1)
    logits = SCALE * first @ torch.cat(others).T  # [E, (k - 1) * E]
    return F.cross_entropy(logits, torch.arange(len(first), device=logits.device))


def cosent_loss(vectors: Tensor, scores: Tensor | None) -> Tensor:
    """Return the CoSENT loss: of any two pairs, the one with the higher score should have the higher cosine, [E, 2, D], [E]."""
    assert scores is not None
    cosines = SCALE * F.cosine_similarity(vectors[:, 0], vectors[:, 1], dim=-1)
    differences = cosines[:, None] - cosines[None, :]  # [E, E]
    wrong = differences[scores[:, None] < scores[None, :]]
    return torch.cat([wrong.new_zeros(1), wrong]).logsumexp(0)


@dataclass
class _Share:
    """What the first pass of a step leaves for a batch."""

    loss: Tensor  # of the whole step
    gradient: Tensor | None = None  # of the batch's vectors; None: gradients are not computed
    state: list[Tensor] | None = None  # random states before the first pass


class Embeddings(Objective):
    """A loss that compares the vectors of all texts of a step.

    Args:
        recipe: how hidden states become a vector.
        joint: vectors [E, k, D] and scores [E] or None -> the loss.
    """

    head = "Model"
    is_joint = True

    def __init__(self, recipe: Recipe, joint: Callable[[Tensor, Tensor | None], Tensor]) -> None:
        self.recipe, self.joint = recipe, joint
        self._shares: deque[_Share] = deque()

    def weight(self, batch: Batch) -> float:
        """Return the number of examples."""
        assert batch.groups is not None
        return float(len(batch.groups))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the loss of a batch that is a whole step."""
        return self.joint(self._vectors(outputs, batch), _scores([batch], outputs.last_hidden_state.device))

    def begin_step(self, model: Any, batches: Sequence[Batch]) -> None:
        """Compute the loss of a step of several batches, and the gradient of each vector."""
        self._shares.clear()
        if len(batches) == 1:
            return
        states, vectors = [], []
        with torch.no_grad():
            for batch in batches:
                states.append(_random_state(device_of(model)))
                vectors.append(self._vectors(self.outputs(model, batch), batch))
        if not torch.is_grad_enabled():
            loss = self.joint(torch.cat(vectors), _scores(batches, vectors[0].device))
            self._shares.extend(_Share(loss) for _ in batches)
            return
        for own in vectors:
            own.requires_grad_()
        loss = self.joint(torch.cat(vectors), _scores(batches, vectors[0].device))
        total = sum(map(self.weight, batches))
        for gradient, state, batch in zip(torch.autograd.grad(loss, vectors), states, batches, strict=True):
            # The loop multiplies the loss of a batch by its weight, relative to the step.
            self._shares.append(_Share(loss.detach(), gradient * (total / self.weight(batch)), state))

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Return the loss of the step. Its gradients are those through the vectors of this batch."""
        if not self._shares:
            return super().__call__(model, batch)
        share = self._shares.popleft()
        if share.gradient is None or share.state is None:
            return share.loss
        with _with_random_state(share.state, device_of(model)):
            vectors = self._vectors(self.outputs(model, batch), batch)
        product = (vectors * share.gradient).sum()
        return product - product.detach() + share.loss

    def _vectors(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the vectors of the texts of each example [E, k, D]."""
        assert batch.groups is not None
        pooled = pool(outputs.last_hidden_state.float(), batch, self.recipe.pooling.modes)
        pooled = pooled[:, : self.recipe.width]
        return pooled.reshape(len(batch.groups), -1, pooled.shape[1])


def pool(states: Tensor, batch: Batch, modes: Sequence[str]) -> Tensor:
    """Pool the hidden states of each row to a vector, [T, H] -> [N, D], as `tasks.embedding.Pooling` does."""
    lengths, starts = (torch.from_numpy(numbers).to(states.device) for numbers in (batch.lengths, batch.starts))
    rows = torch.repeat_interleave(torch.arange(len(lengths), device=states.device), lengths)
    places = torch.arange(len(states), device=states.device) - starts[rows]

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(len(lengths), *values.shape[1:]).index_add(0, rows, values)

    counts = lengths[:, None].to(states.dtype)
    weights = (places[:, None] + 1).to(states.dtype)
    pools: dict[str, Callable[[], Tensor]] = {
        "cls": lambda: states[starts],
        "max": lambda: torch.stack([own.amax(0) for own in torch.split(states, batch.lengths.tolist())]),
        "mean": lambda: total(states) / counts,
        "mean_sqrt_len_tokens": lambda: total(states) / counts.sqrt(),
        "weightedmean": lambda: total(states * weights) / total(weights),
        "lasttoken": lambda: states[starts + lengths - 1],
    }
    return torch.cat([pools[mode]() for mode in modes], dim=-1)


def _scores(batches: Sequence[Batch], device: torch.device) -> Tensor | None:
    if SCORE not in batches[0].targets:
        return None
    return torch.cat([torch.from_numpy(batch.targets[SCORE].values) for batch in batches]).to(device)


def _random_state(device: torch.device) -> list[Tensor]:
    """Return the random states that dropout on a device depends on."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def _set_random_state(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])


@contextmanager
def _with_random_state(states: list[Tensor], device: torch.device) -> Iterator[None]:
    """Draw the same dropout as an earlier forward. After it, the present random state continues."""
    present = _random_state(device)
    _set_random_state(states, device)
    try:
        yield
    finally:
        _set_random_state(present, device)


def embedding_objective(task: SentenceEmbedding, units: Sequence[Unit], settings: Settings) -> Embeddings:
    """Return the objective for pairs, triplets or scored pairs. Raise UsageError for what cannot be trained."""
    for name in ("label_smoothing", "class_weights", "pos_weight", "teacher", "shard"):
        if getattr(settings, name):
            given = received(name, getattr(settings, name))
            raise UsageError(given, " has no meaning for sentence-embedding: leave it out.")
    recipe = task.recipe
    _check(recipe, settings)
    forms = {(len(unit), SCORE in unit[0].targets) for unit in units}
    if len(forms) > 1:
        raise UsageError(
            "The training examples have several forms: pass only pairs, only triplets, or only pairs with a score."
        )
    return Embeddings(recipe, cosent_loss if forms == {(2, True)} else negatives_loss)


def _check(recipe: Recipe, settings: Settings) -> None:
    """Raise UsageError for a model whose vectors are computed or compared in another way, and for steps of one example."""
    if any(isinstance(step, Dense) for step in recipe.steps):
        raise UsageError(
            f"{settings.model} has a dense layer after its pooling, which is not trained: choose another model."
        )
    if recipe.similarity != "cosine":
        raise UsageError(
            f"{settings.model} compares vectors by {recipe.similarity}, but training compares them by cosine: choose another "
            "model, or change similarity_fn_name in its config_sentence_transformers.json."
        )
    if recipe.default_prompt and not recipe.pooling.include_prompt:
        raise UsageError(
            f"{settings.model} pools texts without their prompt, which is not supported: choose another model."
        )
    if settings.batch_size * settings.accumulate < 2:
        raise UsageError(
            "A step of one example has nothing to compare it with: type for example ", Setting("batch_size", 32), "."
        )
