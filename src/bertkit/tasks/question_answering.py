"""Extractive question answering: the part of a text that answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertkit.data.batches import Row, Target
from bertkit.errors import ConfigError, Setting, UsageError, described, received
from bertkit.heads import Ask
from bertkit.tasks.base import (
    Encoded,
    OnLong,
    Outputs,
    Prediction,
    Reading,
    Task,
    TaskOptions,
    check_integer,
    refuse_average,
)
from bertkit.tasks.numbers import is_number, largest, softmax
from bertkit.tasks.training import with_targets
from bertkit.tasks.windows import Windows, encode_texts
from bertkit.tensors import Array
from bertkit.text.call import Encoding

if TYPE_CHECKING:
    from bertkit.metrics.weighted import WeightedMetric

USUAL_LENGTH = 384


@dataclass(frozen=True)
class QuestionAnsweringOptions(TaskOptions):
    """The options of question answering."""

    on_long: OnLong = "window"
    top_k: int = 1  # number of answers; more than 1 returns a list
    max_answer_len: int = 15  # in tokens
    max_seq_len: int | None = None  # tokens of a row; None: 384, or the model's maximum
    max_question_len: int = 64  # in tokens; longer questions are truncated
    handle_impossible_answer: bool = False  # also accept that the text has no answer
    null_threshold: float | None = None  # return no answer if its logits exceed the best answer's by more than this
    align_to_words: bool = True  # start and end answers at word boundaries
    return_null_score: bool = (
        False  # also return "null_score_diff", the difference of logits that null_threshold limits
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("top_k", "max_answer_len", "max_question_len"):
            check_integer(name, getattr(self, name), least=1)
        check_integer("max_seq_len", self.max_seq_len, least=1, none=True)
        if self.null_threshold is not None and not is_number(self.null_threshold):
            advice = Setting("null_threshold", 0.0)
            raise UsageError(received("null_threshold", self.null_threshold), " is not a number: type ", advice, ".")


class _Memory(NamedTuple):
    context: str
    windows: Windows


class QuestionAnswering(Task[QuestionAnsweringOptions]):
    """A question and a text -> the answer in the text."""

    name = "question-answering"
    head = "ForQuestionAnswering"
    takes = 'question="..." and context="...", or {"question": ..., "context": ...}'
    options_type = QuestionAnsweringOptions
    reads_all = (Setting("on_long", "window"), ", or a larger max_question_len,")

    def encode(self, examples: Sequence[Any], options: QuestionAnsweringOptions) -> list[Encoded]:
        """Return rows with the question, followed by a window of the text."""
        pairs = [_question_and_context(example) for example in examples]
        most = min(self.row_length(options), USUAL_LENGTH if options.max_seq_len is None else options.max_seq_len)
        shortened = [self._shortened(question, options, most) for question, _ in pairs]
        pairs = [(question, text) for (question, _), (_, text) in zip(shortened, pairs, strict=True)]
        overlap = min(most // 2, 128) if options.overlap is None else options.overlap
        by_overlap: dict[int, list[int]] = {}
        for number, (question, _) in enumerate(pairs):
            room = self._room(question, most)
            fits = overlap if options.overlap is not None else min(overlap, room // 2)
            by_overlap.setdefault(fits, []).append(number)
        found: dict[int, Encoded] = {}
        for fits, numbers in by_overlap.items():
            questions, texts = [pairs[n][0] for n in numbers], [pairs[n][1] for n in numbers]
            own = replace(options, overlap=fits)
            encoded = encode_texts(self.tokenizer, questions, texts, own, most, cut="only_second")
            found.update(zip(numbers, encoded, strict=True))
        for number, item in found.items():
            item.memory = _Memory(pairs[number][1], item.memory)
            item.reading = _with_left_out(item.reading, shortened[number][1])
        return [found[number] for number in range(len(pairs))]

    def _shortened(self, question: str, options: QuestionAnsweringOptions, most: int) -> tuple[str, int]:
        """Return the truncated question, and the number of tokens that were left out."""
        room = max(min(options.max_question_len, most // 2), 1)
        ends = self.tokenizer.engine.locate([question]).details(0).ends
        left_out = max(len(ends) - room, 0)
        if left_out and options.on_long == "error":
            raise UsageError(
                f"The question has {len(ends)} tokens, and at most {room} are used: type a shorter one, ",
                Setting("max_question_len", most // 2),
                ", the maximum for this length of a row, or ",
                Setting("on_long", "window"),
                " to truncate the question.",
            )
        return question[: ends[room - 1]] if left_out else question, left_out

    def _room(self, question: str, most: int) -> int:
        """Return how many tokens of the text fit into a row after the question."""
        least = len(self.tokenizer.engine.ids(question)) + self.tokenizer.num_special_tokens_to_add(pair=True) + 1
        if most < least:
            advice = Setting("max_length", least)
            raise UsageError(
                f"The question and a text do not fit into a row of {most} tokens: type ", advice, ", or more."
            )
        return most - least + 1

    def wanted(self, options: QuestionAnsweringOptions) -> Ask:
        """Request two logits for each token: whether the answer starts and whether it ends there."""
        return Ask(("start_logits", "end_logits"))

    def decode(self, encoded: Encoded, outputs: Outputs, options: QuestionAnsweringOptions) -> Any:
        """Return `{"score", "start", "end", "answer"}`, or a list of several."""
        best: dict[str, dict[str, Any]] = {}
        nulls, null_logits, logits = [], [], []
        threshold = self._threshold(options)
        for window, output in zip(encoded.memory.windows, outputs, strict=True):
            spans = _Spans(window, output, options.max_answer_len)
            for text, answer in self._answers(spans, encoded.memory.context, options).items():
                # Windows overlap: an answer that several of them contain counts once.
                if text not in best or answer["score"] > best[text]["score"]:
                    best[text] = answer
            nulls.append(spans.null)
            if threshold is not None or options.return_null_score:
                null_logits.append(spans.null_logit)
                logits.append(spans.best_logit())
        found = sorted(best.values(), key=lambda answer: -answer["score"])
        nothing = {"score": min(nulls), "start": 0, "end": 0, "answer": ""}
        if not found:  # the text has no tokens, or every span has probability 0
            found = [nothing | {"score": 0.0}]
        if threshold is not None:
            found = [nothing, *found] if min(null_logits) - max(logits) > threshold else [*found, nothing]
        elif options.handle_impossible_answer:
            found = sorted([*found, nothing], key=lambda answer: -answer["score"])
        found = found[: options.top_k]
        if options.return_null_score:
            difference = min(null_logits) - max(logits)
            found = [{**answer, "null_score_diff": difference} for answer in found]
        return found[0] if len(found) == 1 else found

    def _threshold(self, options: QuestionAnsweringOptions) -> float | None:
        if options.null_threshold is not None or not options.handle_impossible_answer:
            return options.null_threshold
        stored = getattr(self.config, "null_score_diff_threshold", None)
        if stored is not None and not is_number(stored):
            raise ConfigError(
                f"null_score_diff_threshold of the configuration is {stored!r:.80}, and must be a number: correct or remove it."
            )
        return stored

    @staticmethod
    def _answers(spans: _Spans, context: str, options: QuestionAnsweringOptions) -> dict[str, dict[str, Any]]:
        """Return the answers in a window by their lowercased text.

        Several spans with the same text are one answer, and their probabilities are added.
        """
        count = options.top_k * 2 + 10 if options.align_to_words else options.top_k
        found: dict[str, dict[str, Any]] = {}
        for first, last, score in spans.best(count):
            start, end = spans.characters(first, last, options.align_to_words)
            text = context[start:end]
            if (known := found.get(text.lower())) is None:
                found[text.lower()] = {"score": score, "start": start, "end": end, "answer": text}
            else:
                known["score"] += score
        return found

    def targets(
        self, examples: Sequence[Any], answers: Sequence[Any], options: QuestionAnsweringOptions
    ) -> list[list[Row]]:
        """Return rows with the first and the last token of the answer, or 0 and 0 if a window does not contain all of it.

        An answer is `{"answer_start": 5, "text": "..."}`, or None if the text has no answer.
        """

        def label(encoded: Encoded, answer: Any) -> list[dict[str, Target]]:
            characters = _characters(answer, encoded.memory.context)
            spans = [(0, 0) if characters is None else _tokens(w, *characters) for w in encoded.memory.windows]
            names = ("start_positions", "end_positions")
            return [{name: Target(at, "row") for name, at in zip(names, span, strict=True)} for span in spans]

        return with_targets(self, examples, answers, options, label)

    def measured(self, answers: Sequence[Any], truths: Sequence[Any], average: str | None = None) -> WeightedMetric:
        """Return exact match and F1, by SQuAD 2.0 if a question has no answer, otherwise by SQuAD 1.1.

        A true answer is a string, or a list of all correct answers.
        """
        from bertkit.metrics.squad import question_metric

        refuse_average(self.name, average)
        return question_metric([_best(answer)["answer"] for answer in answers], list(map(_listed, truths)))

    def evaluation_options(self, truths: Sequence[Any]) -> dict[str, Any]:
        """Request the best answer and no answer, with the numbers for a threshold, if a question has no answer."""
        if all(map(_listed, truths)):
            return {}
        return {"handle_impossible_answer": True, "return_null_score": True, "top_k": 2}

    def prediction(self, answer: Any, truth: Any) -> Prediction:
        """Return the text of the answer, "" for no answer, and the list of all correct answers."""
        best, right = _best(answer), _listed(truth)
        exact = self.measured([answer], [right]).compute()["exact_match"]
        return Prediction(right, best["answer"], best["score"], exact == 100)

    def decided(self, answer: Any, threshold: float) -> list[dict[str, Any]]:
        """Return an answer with `evaluation_options` as another `null_threshold` orders it: no answer first, or last."""
        items = answer if isinstance(answer, list) else [answer]
        texts, nothing = [one for one in items if one["answer"]], [one for one in items if not one["answer"]]
        if not texts or items[0]["null_score_diff"] <= threshold:
            return texts or nothing
        difference = items[0]["null_score_diff"]
        null = {"score": 0.0, "start": 0, "end": 0, "answer": "", "null_score_diff": difference}
        return [*(nothing or [null]), *texts]


def _best(answer: Any) -> Any:
    """Return the best of several answers. An omitted answer is ""."""
    return (answer[0] if isinstance(answer, list) and answer else answer) or {"answer": "", "score": None}


def _listed(truth: Any) -> list[str]:
    """Return the correct answers of a question; [] if it has none."""
    return [truth] if isinstance(truth, str) else list(truth or ())


class _Spans:
    """The spans of tokens in a window that may be an answer. Tokens are counted from the first token of the text."""

    def __init__(self, window: Encoding, output: Mapping[str, Array], longest: int) -> None:
        at, self._length, _ = window.spans[1]
        self._at, self._window, self._longest = at, window, longest
        places = np.concatenate([[0], np.arange(at, at + self._length)])  # [CLS] means no answer
        start, end = output["start_logits"][places], output["end_logits"][places]
        starts, ends = softmax(start), softmax(end)
        self._start, self._end, self._starts, self._ends = start[1:], end[1:], starts[1:], ends[1:]
        self.null = float(starts[0] * ends[0])
        self.null_logit = float(start[0] + end[0])

    def best(self, count: int) -> list[tuple[int, int, float]]:
        """Return the most probable spans, as (first, last, probability)."""
        scores = np.tril(np.triu(self._starts[:, None] * self._ends), self._longest - 1)
        order = largest(scores.ravel(), min(count, scores.size))
        found = [(*divmod(index, self._length), float(scores.flat[index])) for index in order]
        return [span for span in found if span[2] > 0]

    def best_logit(self) -> float:
        """Return the largest sum of a start and an end logit, for `null_threshold`."""
        valid = np.tril(np.triu(np.ones((self._length, self._length), bool)), self._longest - 1)
        return float(np.where(valid, self._start[:, None] + self._end, -np.inf).max(initial=-np.inf))

    def characters(self, first: int, last: int, align: bool) -> tuple[int, int]:
        """Return the range of characters of a span; with `align`, extended to whole words."""
        if align:
            words = self._window.word_ids
            return self._words[words[self._at + first]][0], self._words[words[self._at + last]][1]
        offsets = self._window.offsets
        return offsets[self._at + first][0], offsets[self._at + last][1]

    @cached_property
    def _words(self) -> dict[int | None, tuple[int, int]]:
        """The range of characters of each word, for the part of the word in this window."""
        found: dict[int | None, tuple[int, int]] = {}
        places = slice(self._at, self._at + self._length)
        for word, (start, end) in zip(self._window.word_ids[places], self._window.offsets[places], strict=True):
            found[word] = (found[word][0] if word in found else start, end)
        return found


def _with_left_out(reading: Reading, tokens: int) -> Reading:
    """Return a Reading that also counts the tokens of the question that were left out."""
    left_out = reading.left_out + tokens
    return reading._replace(truncated=left_out > 0, n_tokens=reading.n_tokens + tokens, left_out=left_out)


def _characters(answer: Any, context: str) -> tuple[int, int] | None:
    """Return the range of characters of an answer, without whitespace around it, or None if the text has no answer."""
    if answer is None:
        return None
    start, text = (answer.get("answer_start"), answer.get("text")) if isinstance(answer, Mapping) else (None, None)
    if not isinstance(text, str) or not isinstance(start, (int, np.integer)) or isinstance(start, bool):
        raise UsageError(
            f'An answer is {{"answer_start": 5, "text": "..."}}, or None for a text without an answer, not {described(answer)}.'
        )
    if not text.strip():
        return None
    if not 0 <= start < len(context):
        raise UsageError(f"answer_start={start} is outside the text, which has the characters 0 to {len(context) - 1}.")
    found = context[start : start + len(text)]
    if found != text:
        raise UsageError(f"The text has {described(found)} at {start}, not the answer {described(text)}.")
    start = int(start) + len(text) - len(text.lstrip())
    return start, start + len(text.strip())


def _tokens(window: Encoding, start: int, end: int) -> tuple[int, int]:
    """Return the first and the last token of the characters [start, end), or 0 and 0 if the window has only some of them."""
    at, length, _ = window.spans[1]
    places, offsets = range(at, at + length), window.offsets
    touched = [place for place in places if offsets[place][0] < end and offsets[place][1] > start]
    if not touched or offsets[at][0] > start or offsets[places[-1]][1] < end:
        return 0, 0
    return touched[0], touched[-1]


def _question_and_context(example: Any) -> tuple[str, str]:
    if isinstance(example, Mapping):
        question, context = example.get("question"), example.get("context")
    else:
        question, context = getattr(example, "question_text", None), getattr(example, "context_text", None)
    if isinstance(question, str) and isinstance(context, str):
        if question.strip() and context.strip():
            return question, context
        raise UsageError(f"The {'context' if question.strip() else 'question'} is empty: type some text.")
    raise UsageError(f'question-answering takes {{"question": ..., "context": ...}}, not {described(example)}.')
