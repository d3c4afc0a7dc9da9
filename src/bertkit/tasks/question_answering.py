"""Question answering: the part of a text that answers a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from bertkit.data.batches import Array, Grain, Row
from bertkit.errors import UsageError
from bertkit.tasks.base import Encoded, OnLong, Options, Outputs, Task, shown, told, whole
from bertkit.tasks.numbers import largest, softmax
from bertkit.tasks.windows import Windows, encode_texts
from bertkit.text.encoding import Encoding

USUAL_LENGTH = 384


@dataclass(frozen=True)
class QuestionAnsweringOptions(Options):
    """What question answering can be asked for. `overlap` is also known as `doc_stride`."""

    on_long: OnLong = "window"
    top_k: int = 1  # answers; 1 gives one, more a list
    max_answer_len: int = 15  # tokens
    max_seq_len: int | None = None  # tokens of a row; None: 384, or what the model takes
    max_question_len: int = 64  # tokens of the question that are read
    handle_impossible_answer: bool = False  # the text may have no answer
    null_threshold: float | None = (
        None  # how much better no answer has to be than the best one, as Google's scripts have it
    )
    align_to_words: bool = True  # answers begin and end with words

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("top_k", "max_answer_len", "max_question_len"):
            whole(name, getattr(self, name), least=1)
        whole("max_seq_len", self.max_seq_len, least=1, none=True)


class _Memory(NamedTuple):
    context: str
    windows: Windows


class QuestionAnswering(Task[QuestionAnsweringOptions]):
    """A question and a text -> the answer in the text."""

    name = "question-answering"
    head = "ForQuestionAnswering"
    takes = 'question="..." and context="...", or {"question": ..., "context": ...}'
    options_type = QuestionAnsweringOptions

    def read(self, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, bool]:
        """`question=, context=`, each a text or a list; a dictionary or several; two strings."""
        if not args and "question" in given and "context" in given:
            return _joined(given.pop("question"), given.pop("context"))
        if len(args) == 2 and all(isinstance(text, str) for text in args):
            return {"question": args[0], "context": args[1]}, True
        if len(args) > 1:
            return list(args), False
        if not args and "data" in given:
            args = (given.pop("data"),)
        inputs, one = super().read(args, given)
        if isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            return inputs[0], True
        return inputs, one or hasattr(inputs, "question_text")

    def encode(self, examples: Sequence[Any], options: QuestionAnsweringOptions) -> list[Encoded]:
        """Windows of the text, each behind the question."""
        pairs = [_question_and_context(example) for example in examples]
        most = min(self.row_length(options), USUAL_LENGTH if options.max_seq_len is None else options.max_seq_len)
        pairs = [
            (self._shortened(question, min(options.max_question_len, most // 2)), text) for question, text in pairs
        ]
        overlap = min(most // 2, 128) if options.overlap is None else options.overlap
        by_overlap: dict[int, list[int]] = {}
        for number, (question, _) in enumerate(pairs):
            fits = overlap if options.overlap is not None else min(overlap, self._room(question, most) // 2)
            by_overlap.setdefault(fits, []).append(number)
        found: dict[int, Encoded] = {}
        for fits, numbers in by_overlap.items():
            questions, texts = [pairs[n][0] for n in numbers], [pairs[n][1] for n in numbers]
            own = told(options, overlap=fits)
            encoded = encode_texts(self.tokenizer, questions, texts, own, most, cut="only_second")
            found.update(zip(numbers, encoded, strict=True))
        for number, item in found.items():
            item.memory = _Memory(pairs[number][1], item.memory)
        return [found[number] for number in range(len(pairs))]

    def _shortened(self, question: str, most: int) -> str:
        details = self.tokenizer.engine.details(question)
        return question if len(details.ends) <= most else question[: details.ends[most - 1]]

    def _room(self, question: str, most: int) -> int:
        """Tokens of the text in a row."""
        return most - len(self.tokenizer.engine.ids(question)) - self.tokenizer.num_special_tokens_to_add(pair=True)

    def wanted(self, options: QuestionAnsweringOptions) -> dict[str, Grain]:
        """How likely an answer begins and ends at each token."""
        return {"start_logits": "token", "end_logits": "token"}

    def decode(self, encoded: Encoded, outputs: Outputs, options: QuestionAnsweringOptions) -> Any:
        """`{"score", "start", "end", "answer"}`, or a list of them where there are several."""
        found: list[dict[str, Any]] = []
        nulls, margins, best = [], [], -np.inf
        for window, output in zip(encoded.memory.windows, outputs, strict=True):
            answers, null, margin = self._answers(window, output, encoded.memory.context, options)
            nulls.append(null)
            margins.append(margin[0])
            best = max(best, margin[1])
            _add(found, answers)
        found.sort(key=lambda answer: -answer["score"])
        threshold = self._threshold(options)
        if options.handle_impossible_answer or threshold is not None:
            nothing = {"score": min(nulls), "start": 0, "end": 0, "answer": ""}
            if threshold is None:
                found = sorted([*found, nothing], key=lambda answer: -answer["score"])
            else:
                found = [nothing, *found] if min(margins) - best > threshold else [*found, nothing]
        found = found[: options.top_k]
        return found[0] if len(found) == 1 else found

    def _threshold(self, options: QuestionAnsweringOptions) -> float | None:
        stored = getattr(self.config, "null_score_diff_threshold", None)
        return stored if options.null_threshold is None and options.handle_impossible_answer else options.null_threshold

    def _answers(
        self, window: Encoding, output: Mapping[str, Array], context: str, options: QuestionAnsweringOptions
    ) -> tuple[list[dict[str, Any]], float, tuple[float, float]]:
        """The answers in a window; how likely it has none; the logits for that and for the best answer."""
        at, length, _ = window.spans[1]
        places = np.concatenate([[0], np.arange(at, at + length)])  # [CLS] stands for no answer
        start, end = output["start_logits"][places], output["end_logits"][places]
        starts, ends = softmax(start), softmax(end)
        spans = _spans(starts[1:], ends[1:], options.max_answer_len)
        wish = options.top_k * 2 + 10 if options.align_to_words else options.top_k
        found: list[dict[str, Any]] = []
        for index in largest(spans.ravel(), min(wish, spans.size)):
            first, last = divmod(index, length)
            if (score := float(spans[first, last])) > 0:
                begin, stop = self._characters(window, at + first, at + last, options.align_to_words)
                _put(found, {"score": score, "start": begin, "end": stop, "answer": context[begin:stop]})
        logits = np.where(
            np.isfinite(_allowed(length, options.max_answer_len)), start[1:, None] + end[None, 1:], -np.inf
        )
        best = float(logits.max()) if length else -np.inf
        return found, float(starts[0] * ends[0]), (float(start[0] + end[0]), best)

    @staticmethod
    def _characters(window: Encoding, first: int, last: int, align: bool) -> tuple[int, int]:
        """The characters of a span of tokens; with `align` of the words that it touches."""
        if align:
            words = window.word_ids[first], window.word_ids[last]
            begin, stop = (window.word_to_chars(word, 1) for word in words if word is not None)
            if begin is not None and stop is not None:
                return begin[0], stop[1]
        return window.offsets[first][0], window.offsets[last][1]

    def labels(self, example: Any, answer: Any, options: QuestionAnsweringOptions) -> list[Row]:
        """Rows with the first and last token of the answer; 0, 0 where a window has not all of it.

        `answer` is `{"answer_start": 5, "text": "..."}`, or None where there is none.
        """
        encoded = self.encode([example], options)[0]
        rows = []
        for window, row in zip(encoded.memory.windows, encoded.rows, strict=True):
            span = (0, 0)
            if answer is not None and answer["text"]:
                begin = answer["answer_start"]
                tokens = [window.char_to_token(char, 1) for char in (begin, begin + len(answer["text"]) - 1)]
                if tokens[0] is not None and tokens[1] is not None:
                    span = (tokens[0], tokens[1])
            rows.append(replace(row, labels=np.array([span], np.int64)))
        return rows

    def score(self, answers: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Exact match and F1 of SQuAD: 2.0 where a question has no answer, 1.1 else. A truth is a list of right answers."""
        from bertkit.metrics import squad2_scores, squad_scores

        best = [answer[0] if isinstance(answer, list) and answer else answer for answer in answers]
        texts = [answer["answer"] if answer else "" for answer in best]
        right = [[truth] if isinstance(truth, str) else list(truth or ()) for truth in truths]
        return squad_scores(texts, right) if all(right) else squad2_scores(texts, right)

    def translate(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """`topk` is `top_k`, and padding changes nothing."""
        found = {name: value for name, value in given.items() if name != "padding" and value is not None}
        if "topk" in found:
            found.setdefault("top_k", found.pop("topk"))
        return found


def _spans(starts: Array, ends: Array, longest: int) -> Array:
    """The probability of each span [first, last]; 0 where it would be too long, or end before it begins."""
    return np.tril(np.triu(starts[:, None] * ends[None, :]), longest - 1)


def _allowed(length: int, longest: int) -> Array:
    """0 for a span that may be, -inf for one that may not."""
    ones = np.tril(np.triu(np.ones((length, length))), longest - 1)
    return np.where(ones > 0, 0.0, -np.inf)


def _same(found: list[dict[str, Any]], answer: dict[str, Any]) -> dict[str, Any] | None:
    text = answer["answer"].lower()
    return next((one for one in found if one["answer"].lower() == text), None)


def _put(found: list[dict[str, Any]], answer: dict[str, Any]) -> None:
    """Add an answer of a window. Two spans of it with the same text are the same answer, and either may be meant."""
    if (known := _same(found, answer)) is None:
        found.append(answer)
    else:
        known["score"] += answer["score"]


def _add(found: list[dict[str, Any]], answers: Iterable[dict[str, Any]]) -> None:
    """Add the answers of another window. The same answer in both counts once, as the windows share text."""
    for answer in answers:
        if (known := _same(found, answer)) is None:
            found.append(answer)
        elif answer["score"] > known["score"]:
            known.update(answer)


def _joined(questions: Any, contexts: Any) -> tuple[Any, bool]:
    if isinstance(questions, str) and isinstance(contexts, str):
        return {"question": questions, "context": contexts}, True
    if isinstance(questions, (list, tuple)) and isinstance(contexts, str):
        contexts = [contexts] * len(questions)
    if isinstance(questions, str) and isinstance(contexts, (list, tuple)):
        questions = [questions] * len(contexts)
    if not isinstance(questions, (list, tuple)) or not isinstance(contexts, (list, tuple)):
        raise UsageError(
            f"question is {shown(questions)} and context is {shown(contexts)}: type a text or a list of texts for each."
        )
    if len(questions) != len(contexts):
        raise UsageError(
            f"{len(questions)} questions came with {len(contexts)} contexts: type one for each, or one text for all."
        )
    found = [{"question": question, "context": context} for question, context in zip(questions, contexts, strict=True)]
    return (found[0], True) if len(found) == 1 else (found, False)


def _question_and_context(example: Any) -> tuple[str, str]:
    if isinstance(example, Mapping):
        question, context = example.get("question"), example.get("context")
    else:
        question, context = getattr(example, "question_text", None), getattr(example, "context_text", None)
    if isinstance(question, str) and isinstance(context, str):
        if question.strip() and context.strip():
            return question, context
        raise UsageError(f"The {'context' if question.strip() else 'question'} is empty: type a text.")
    raise UsageError(f'question-answering takes {{"question": ..., "context": ...}}, and {shown(example)} came.')
