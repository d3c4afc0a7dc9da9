"""The score of an answer, whose attributions are computed: the logit of a label, of an answer, or of a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bertkit.engines.base import words_of
from bertkit.errors import Setting, UsageError, did_you_mean, received
from bertkit.heads import a_class

Score = Callable[[Any], Any]
"""The output of a model for n points -> their scores [n]."""

_LONGEST = 15
"""Tokens of an answer that is chosen automatically."""


def score_of(
    model: Any, tokenizer: Any, tensors: Any, texts: tuple[str, str | None], target: str | None
) -> tuple[str, Score]:
    """Return what the score is for, in words, and the function that computes it.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        tensors: the inputs [1, L].
        texts: the text and its pair.
        target: the label, the answer or the word; None: the one with the best score.
    """
    import torch

    if target is not None and not isinstance(target, str):
        raise UsageError(received("target", target), " is not a text: type a label, an answer or a word.")
    kinds = {
        "ForSequenceClassification": _label,
        "ForQuestionAnswering": _answer,
        "ForMaskedLM": _word,
        "ForPreTraining": _word,
    }
    if model._head not in kinds:
        known = ", ".join(a_class(head) for head in kinds)
        raise UsageError(f"The model is {a_class(model._head)}, and attributions need {known}.")
    with torch.no_grad():
        output = model(**tensors, return_dict=True)
    return kinds[model._head](model, tokenizer, output, texts, target)


def _label(
    model: Any, tokenizer: Any, output: Any, texts: tuple[str, str | None], target: str | None
) -> tuple[str, Score]:
    labels = {str(name): int(number) for number, name in model.config.id2label.items()}
    if target is not None and target not in labels:
        near = did_you_mean(target, labels)
        raise UsageError(
            received("target", target), f" is not a label of the model: choose one of {', '.join(labels)}.{near}"
        )
    best = int(output.logits[0].argmax()) if target is None else labels[target]
    return f"the label {model.config.id2label[best]}", lambda found: found.logits[:, best]


def _answer(
    model: Any, tokenizer: Any, output: Any, texts: tuple[str, str | None], target: str | None
) -> tuple[str, Score]:
    question, context = texts
    if context is None:
        raise UsageError("A question needs the text with its answer: pass it as ", Setting("pair", "..."), ".")
    row = tokenizer(question, context, verbose=False).encodings[0]
    at, length, _ = row.spans[1]
    if not length:
        raise UsageError("The text with the answer has no words: pass another as ", Setting("pair", "..."), ".")
    if target is None:
        start, end = (
            getattr(output, name)[0, at : at + length].float().cpu().numpy() for name in ("start_logits", "end_logits")
        )
        valid = np.tril(np.triu(np.ones((length, length), bool)), _LONGEST - 1)
        first, last = (
            at + int(n) for n in divmod(int(np.where(valid, start[:, None] + end, -np.inf).argmax()), length)
        )
    else:
        first, last = _tokens_of(row, range(at, at + length), context, target)
    answer = context[row.offsets[first][0] : row.offsets[last][1]]
    return f"the answer {answer!r}", lambda found: found.start_logits[:, first] + found.end_logits[:, last]


def _tokens_of(row: Any, places: range, context: str, target: str) -> tuple[int, int]:
    """The first and the last token of an answer in a text."""
    begin = context.find(target) if target else -1
    end = begin + len(target)
    inside = [place for place in places if row.offsets[place][0] < end and row.offsets[place][1] > begin]
    if begin < 0 or not inside:
        raise UsageError(received("target", target), " is not in the text: type the answer as it is written there.")
    return inside[0], inside[-1]


def _word(
    model: Any, tokenizer: Any, output: Any, texts: tuple[str, str | None], target: str | None
) -> tuple[str, Score]:
    ids = tokenizer(*texts, verbose=False)["input_ids"]
    if tokenizer.mask_token_id not in ids:
        raise UsageError(f"The text has no {tokenizer.mask_token}: type one where the word belongs.")
    place, name = ids.index(tokenizer.mask_token_id), words_of(model._head)
    if target is None:
        best = int(getattr(output, name)[0, place].argmax())
    else:
        pieces = [tokenizer.vocab[target]] if target in tokenizer.vocab else tokenizer.engine.ids(target)
        if len(pieces) != 1 or pieces[0] == tokenizer.unk_token_id:
            raise UsageError(received("target", target), " is not one token of the vocabulary: type another word.")
        best = pieces[0]
    word = tokenizer.convert_ids_to_tokens(best)
    return f"the word {word!r}", lambda found: getattr(found, name)[:, place, best]
