"""Question answering: the part of a text that answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from bertkit.data.batches import Array, Grain, Row
from bertkit.errors import UsageError
from bertkit.tasks.base import Encoded, OnLong, Options, Outputs, Task, Told, shown, told, whole
from bertkit.tasks.numbers import largest, softmax
from bertkit.tasks.windows import Windows, encode_texts
from bertkit.text.call import Encoding

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
        if self.null_threshold is not None and (
            isinstance(self.null_threshold, bool) or not isinstance(self.null_threshold, Real)
        ):
            raise UsageError(f"null_threshold={self.null_threshold!r} is no number: type null_threshold=0.0, say.")


class _Memory(NamedTuple):
    context: str
    windows: Windows


class QuestionAnswering(Task[QuestionAnsweringOptions]):
    """A question and a text -> the answer in the text."""

    name = "question-answering"
    head = "ForQuestionAnswering"
    takes = 'question="..." and context="...", or {"question": ..., "context": ...}'
    options_type = QuestionAnsweringOptions
    reads_all = 'on_long="window", or a greater max_question_len,'

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
            own = told(options, overlap=fits)
            encoded = encode_texts(self.tokenizer, questions, texts, own, most, cut="only_second")
            found.update(zip(numbers, encoded, strict=True))
        for number, item in found.items():
            item.memory = _Memory(pairs[number][1], item.memory)
            item.told = _also_left_out(item.told, shortened[number][1])
        return [found[number] for number in range(len(pairs))]

    def _shortened(self, question: str, options: QuestionAnsweringOptions, most: int) -> tuple[str, int]:
        """As much of a question as is read, and how many tokens of it are not."""
        room = max(min(options.max_question_len, most // 2), 1)
        ends = self.tokenizer.engine.locate([question]).details(0).ends
        left_out = max(len(ends) - room, 0)
        if left_out and options.on_long == "error":
            raise UsageError(
                f"The question has {len(ends)} tokens, and {room} are read: type a shorter one, max_question_len={most // 2}, "
                'the most for which a row has room, or on_long="window" to cut it.'
            )
        return question[: ends[room - 1]] if left_out else question, left_out

    def _room(self, question: str, most: int) -> int:
        """Tokens of the text in a row."""
        least = len(self.tokenizer.engine.ids(question)) + self.tokenizer.num_special_tokens_to_add(pair=True) + 1
        if most < least:
            raise UsageError(
                f"A row of {most} tokens has no place for the question and a text: type max_length={least}, or more."
            )
        return most - least + 1

    def wanted(self, options: QuestionAnsweringOptions) -> dict[str, Grain]:
        """How likely an answer begins and ends at each token."""
        return {"start_logits": "token", "end_logits": "token"}

    def decode(self, encoded: Encoded, outputs: Outputs, options: QuestionAnsweringOptions) -> Any:
        """`{"score", "start", "end", "answer"}`, or a list of them where there are several."""
        best: dict[str, dict[str, Any]] = {}
        nulls, null_logits, logits = [], [], []
        threshold = self._threshold(options)
        for window, output in zip(encoded.memory.windows, outputs, strict=True):
            spans = _Spans(window, output, options.max_answer_len)
            for text, answer in self._answers(spans, encoded.memory.context, options).items():
                # The windows share text: the same answer in several of them counts once.
                if text not in best or answer["score"] > best[text]["score"]:
                    best[text] = answer
            nulls.append(spans.null)
            if threshold is not None:
                null_logits.append(spans.null_logit)
                logits.append(spans.best_logit())
        found = sorted(best.values(), key=lambda answer: -answer["score"])
        nothing = {"score": min(nulls), "start": 0, "end": 0, "answer": ""}
        if not found:  # a text without any token, or one that no answer can be in
            found = [nothing | {"score": 0.0}]
        if threshold is not None:
            found = [nothing, *found] if min(null_logits) - max(logits) > threshold else [*found, nothing]
        elif options.handle_impossible_answer:
            found = sorted([*found, nothing], key=lambda answer: -answer["score"])
        found = found[: options.top_k]
        return found[0] if len(found) == 1 else found

    def _threshold(self, options: QuestionAnsweringOptions) -> float | None:
        stored = getattr(self.config, "null_score_diff_threshold", None)
        return stored if options.null_threshold is None and options.handle_impossible_answer else options.null_threshold

    @staticmethod
    def _answers(spans: _Spans, context: str, options: QuestionAnsweringOptions) -> dict[str, dict[str, Any]]:
        """The answers in a window by their text, in small letters.

        Two spans with the same text are the same answer, and either may be meant: their probabilities are added.
        """
        wish = options.top_k * 2 + 10 if options.align_to_words else options.top_k
        found: dict[str, dict[str, Any]] = {}
        for first, last, score in spans.best(wish):
            start, end = spans.characters(first, last, options.align_to_words)
            text = context[start:end]
            if (known := found.get(text.lower())) is None:
                found[text.lower()] = {"score": score, "start": start, "end": end, "answer": text}
            else:
                known["score"] += score
        return found

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

    @classmethod
    def translate(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """`topk` is `top_k`, and padding changes nothing."""
        found = {name: value for name, value in given.items() if name != "padding" and value is not None}
        if "topk" in found:
            found.setdefault("top_k", found.pop("topk"))
        return found


class _Spans:
    """The spans of tokens in a window that may be an answer, by their first and last token in the text of the window."""

    def __init__(self, window: Encoding, output: Mapping[str, Array], longest: int) -> None:
        at, self._length, _ = window.spans[1]
        self._at, self._window, self._longest = at, window, longest
        places = np.concatenate([[0], np.arange(at, at + self._length)])  # [CLS] stands for no answer
        start, end = output["start_logits"][places], output["end_logits"][places]
        starts, ends = softmax(start), softmax(end)
        self._start, self._end, self._starts, self._ends = start[1:], end[1:], starts[1:], ends[1:]
        self.null = float(starts[0] * ends[0])
        self.null_logit = float(start[0] + end[0])

    def best(self, count: int) -> list[tuple[int, int, float]]:
        """The likeliest spans, (first, last, probability)."""
        scores = np.tril(np.triu(self._starts[:, None] * self._ends), self._longest - 1)
        order = largest(scores.ravel(), min(count, scores.size))
        found = [(*divmod(index, self._length), float(scores.flat[index])) for index in order]
        return [span for span in found if span[2] > 0]

    def best_logit(self) -> float:
        """The largest sum of two logits, as Google's scripts compare it with that for no answer."""
        may_be = np.tril(np.triu(np.ones((self._length, self._length), bool)), self._longest - 1)
        return float(np.where(may_be, self._start[:, None] + self._end, -np.inf).max(initial=-np.inf))

    def characters(self, first: int, last: int, align: bool) -> tuple[int, int]:
        """The characters of a span; with `align` of the words that it touches."""
        if align:
            words = self._window.word_ids
            return self._words[words[self._at + first]][0], self._words[words[self._at + last]][1]
        offsets = self._window.offsets
        return offsets[self._at + first][0], offsets[self._at + last][1]

    @cached_property
    def _words(self) -> dict[int | None, tuple[int, int]]:
        """The characters of each word, as far as the window has it."""
        found: dict[int | None, tuple[int, int]] = {}
        places = slice(self._at, self._at + self._length)
        for word, (start, end) in zip(self._window.word_ids[places], self._window.offsets[places], strict=True):
            found[word] = (found[word][0] if word in found else start, end)
        return found


def _also_left_out(told: Told, tokens: int) -> Told:
    """What was done with a text, of whose question so many tokens are not read."""
    left_out = told.left_out + tokens
    return told._replace(truncated=left_out > 0, n_tokens=told.n_tokens + tokens, left_out=left_out)


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
