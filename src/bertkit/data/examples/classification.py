"""Texts or pairs of texts with labels, for text classification and next sentence prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertkit.data.examples.columns import Field, Fields, is_list
from bertkit.data.examples.labels import answers_of
from bertkit.data.examples.reader import Answers, Reader, is_missing
from bertkit.errors import DataError, described

PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "passage"),
    ("query", "document"),
    ("sentence_a", "sentence_b"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("first", "second"),
    ("#1 string", "#2 string"),
)
"""Usual names of the columns of a pair."""

_TEXT = (
    "text",
    "sentence",
    "document",
    "review",
    "content",
    "comment",
    "comment_text",
    "tweet",
    "utterance",
    "body",
    "question",
)
_LABEL = (
    "label",
    "labels",
    "gold_label",
    "score",
    "class",
    "category",
    "target",
    "sentiment",
    "intent",
    "gold",
    "rating",
    "stars",
    "is_duplicate",
    "entailment_judgment",
    "quality",
)


class TextClassificationReader(Reader):
    """Examples are texts or `{"text", "text_pair"}`, answers a label, a list of labels or a number."""

    fields = Fields(
        (
            Field("text", _TEXT),
            Field("text_pair", required=False, follows=True),
            Field("label", _LABEL, also=("labels",), several=True),
        ),
        PAIRS,
    )
    options = ("problem_type", "separator", "label_names")

    def example(self, record: Mapping[Any, Any]) -> tuple[Any, Any]:
        """Return the text or the pair, and the value of the label."""
        text: Any = self.text(record, "text")
        if "text_pair" in self.columns:
            text = {"text": text, "text_pair": self.text(record, "text_pair", optional=True)}
        return text, self._label(record)

    def _label(self, record: Mapping[Any, Any]) -> Any:
        column = self.columns["label"]
        if is_list(column):
            return [str(one) for one in column if _flag(record.get(one), one)]
        value = record.get(column)
        if is_missing(value):
            raise DataError("the label is missing.")
        return value

    def answers(self, found: list[Any]) -> Answers:
        """Return a label, a list of labels or a number for each example."""
        column = self.columns["label"]
        if is_list(column):
            return answers_of(found, self.given, [str(one) for one in column], plural=True)
        return answers_of(found, self.given, self.names.get(column), plural=self.given.plural or column == "labels")


def _flag(value: object, column: object) -> bool:
    """Return whether a text has the label of a column with 0 or 1."""
    text = str(value).strip().lower()
    if text not in ("0", "1", "0.0", "1.0", "true", "false"):
        raise DataError(
            f"the column {column!r} is {described(value)}, but a column for one of several labels has 0 or 1."
        )
    return text in ("1", "1.0", "true")


_RELATIONS = {"isnext": "IsNext", "notnext": "NotNext", "0": "IsNext", "1": "NotNext"}


class NextSentenceReader(Reader):
    """Examples are `{"text", "text_pair"}`, answers "IsNext" or "NotNext"."""

    fields = Fields(
        (Field("text", _TEXT), Field("text_pair", ("next", "next_sentence")), Field("label", _LABEL, also=("labels",))),
        PAIRS,
    )

    def example(self, record: Mapping[Any, Any]) -> tuple[Any, Any]:
        """Return the pair, and "IsNext" or "NotNext"."""
        label = record.get(self.columns["label"])
        names = self.names.get(self.columns["label"])
        if names and isinstance(label, int):
            label = names[label] if 0 <= label < len(names) else label
        answer = None if isinstance(label, bool) else _RELATIONS.get(str(label).strip().lower())
        if answer is None:
            raise DataError(f'the label is {described(label)}, but must be "IsNext" (or 0) or "NotNext" (or 1).')
        return {"text": self.text(record, "text"), "text_pair": self.text(record, "text_pair")}, answer

    def answers(self, found: list[Any]) -> Answers:
        """Return the answers unchanged."""
        return Answers(found, ["IsNext", "NotNext"])
