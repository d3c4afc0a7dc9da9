"""Scores on held-out documents, and sentences whose masks the model fills."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bertkit.data.batches import Batch, Row, Target, pack
from bertkit.data.shards import Shards
from bertkit.training.batches import batches_of
from bertkit.training.distributed import whole_model
from bertkit.training.job import Scored
from bertkit.training.loop import Loop
from bertkit.training.pretraining.objective import encoded, projection
from bertkit.training.pretraining.options import PretrainingSettings
from bertkit.training.pretraining.source import examples_of
from bertkit.training.pretraining.word_loss import word_scores

_SEED = 20_181_011
"""The seed of the held-out examples, so that runs with other seeds have the same ones."""
_SAMPLES, _LONGEST = 3, 40
"""The number of samples, and their maximum number of tokens."""
_SENTENCES, _TOKENS = 50, 30
"""The most sentences of the pseudo-perplexity, and the most tokens of each."""


class HeldOut:
    """The examples of an evaluation, which are the same each time.

    Args:
        shards: the held-out documents.
        settings: the options of the run.
        tokenizer: for the samples.
    """

    def __init__(self, shards: Shards, settings: PretrainingSettings, tokenizer: Any) -> None:
        self.tokenizer, self.batch_tokens, self.pairs = tokenizer, settings.batch_tokens, settings.examples == "pairs"
        epoch = examples_of(shards, settings, settings.max_length, _SEED).epoch(0)
        self.rows = [epoch[number] for number in range(min(len(epoch), settings.eval_examples))]
        self.one_by_one = one_by_one(shards, settings.max_length)

    def score(self, loop: Loop) -> Scored:
        """Return the scores of the model in training, and samples. All processes call it."""
        model = whole_model(loop.model).eval()
        try:
            with torch.no_grad(), loop.autocast():
                scores = self._scores(model)
                samples = [self._sample(model, row) for row in self.rows[:_SAMPLES]]
        finally:
            loop.model.train()
        return Scored(scores, samples)

    def _scores(self, model: Any) -> dict[str, float]:
        words, right, nsp = _Mean(), _Mean(), (_Mean(), _Mean())
        for batch in batches_of([[row] for row in self.rows], self.batch_tokens):
            found = encoded(model, batch)
            labels = torch.from_numpy(batch.targets["labels"].values).to(found.masked.device)
            logs, best = word_scores(*projection(model, found.masked), labels)
            words.add(-logs)
            right.add(best == labels)
            if self.pairs:
                logits = model.cls.seq_relationship(found.pooled).float()
                truth = torch.from_numpy(batch.targets["next_sentence_label"].values).to(logits.device)
                nsp[0].add(torch.nn.functional.cross_entropy(logits, truth, reduction="none"))
                nsp[1].add(logits.argmax(-1) == truth)
        scores = {"mlm_loss": words.value, "mlm_accuracy": right.value}
        if self.pairs:
            scores |= {"nsp_loss": nsp[0].value, "nsp_accuracy": nsp[1].value}
        alone = _Mean()
        for batch in batches_of([[row] for row in self.one_by_one], self.batch_tokens):
            alone.add(-_log_probs(model, batch))
        loss = scores["mlm_loss"] + scores.get("nsp_loss", 0.0)
        return {"loss": loss, **scores, "pseudo_perplexity": math.exp(min(alone.value, 700.0))}

    def _sample(self, model: Any, row: Row) -> str:
        """Return a text with the words of the model in brackets, and the true word after a wrong one."""
        assert row.positions is not None
        batch = pack([row])
        found = encoded(model, batch)
        labels = torch.from_numpy(batch.targets["labels"].values).to(found.masked.device)
        best = word_scores(*projection(model, found.masked), labels)[1].tolist()
        names = self.tokenizer.convert_ids_to_tokens
        tokens = names(row.input_ids[:_LONGEST].tolist())
        for place, ours, theirs in zip(row.positions.tolist(), names(best), names(labels.tolist()), strict=True):
            if place < _LONGEST:
                tokens[place] = f"[{ours}]" if ours == theirs else f"[{ours}, not {theirs}]"
        return f"{joined(tokens)}{' ...' if len(row) > _LONGEST else ''}"


def joined(tokens: Sequence[str]) -> str:
    """Return tokens as a text, with the pieces of a word together, unless one of them is in brackets.

    >>> joined(["[CLS]", "un", "##aff", "[##able]", "##s", "."])
    '[CLS] unaff [##able] ##s .'
    """
    text = ""
    for before, token in zip(["", *tokens], tokens, strict=False):
        follows = token.startswith("##") and before and not before.endswith("]")
        text += token[2:] if follows else f" {token}"
    return text.strip()


class _Mean:
    """A mean over batches."""

    def __init__(self) -> None:
        self._total, self._count = 0.0, 0

    def add(self, values: torch.Tensor) -> None:
        self._total, self._count = self._total + float(values.double().sum()), self._count + len(values)

    @property
    def value(self) -> float:
        return self._total / self._count if self._count else float("nan")


def _log_probs(model: Any, batch: Batch) -> torch.Tensor:
    found = encoded(model, batch)
    labels = torch.from_numpy(batch.targets["labels"].values).to(found.masked.device)
    return word_scores(*projection(model, found.masked), labels)[0]


def one_by_one(shards: Shards, max_length: int) -> Sequence[Row]:
    """Return rows of sentences with one masked token each, for the pseudo-perplexity: every token of a sentence once.

    The sentences are the first of documents at equal distances.
    """
    special, rows = shards.special, list[Row]()
    for document in np.linspace(0, len(shards) - 1, min(len(shards), _SENTENCES)).astype(int).tolist():
        sentence = shards[document][0][: min(_TOKENS, max_length - 2)]
        ids = np.concatenate([[special.cls], sentence, [special.sep]])
        for place in 1 + np.flatnonzero(~np.isin(sentence, special.never)):
            masked = ids.copy()
            masked[place] = special.mask
            at = np.array([place])
            rows.append(Row(masked, np.zeros_like(masked), at, {"labels": Target(ids[at], "place")}))
    return rows
