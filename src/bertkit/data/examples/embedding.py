"""Texts for sentence embeddings: pairs that belong together, triplets with a text that does not, and pairs with a similarity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertkit.data.examples.classification import PAIRS
from bertkit.data.examples.columns import Field, Fields
from bertkit.data.examples.labels import number_of
from bertkit.data.examples.reader import Answers, Reader, is_missing
from bertkit.errors import DataError, UsageError

_TOGETHER = (
    ("anchor", "positive", "negative"),
    ("query", "positive", "negative"),
    ("anchor", "positive"),
    ("query", "positive"),
    ("query", "answer"),
    ("question", "answer"),
    ("title", "body"),
    *PAIRS,
)


class EmbeddingReader(Reader):
    """Examples are `{"text", "text_pair"}` or `{"text", "text_pair", "negative"}`, answers None or a similarity."""

    fields = Fields(
        (
            Field("text", ("text", "anchor")),
            Field("text_pair", ("positive",)),
            Field("negative", ("negative", "hard_negative"), required=False, follows=True),
            Field(
                "score",
                ("score", "similarity", "similarity_score", "relatedness_score", "label"),
                required=False,
                also=("label",),
                follows=True,
            ),
        ),
        _TOGETHER,
    )

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if "negative" in self.columns and "score" in self.columns:
            raise UsageError(
                f"The columns {self.columns['negative']!r} and {self.columns['score']!r} are a negative and a score, but an "
                "example has only one of them: name the columns to use in the option columns."
            )

    def example(self, record: Mapping[Any, Any]) -> tuple[Any, Any]:
        """Return the texts, and the similarity or None."""
        names = [name for name in ("text", "text_pair", "negative") if name in self.columns]
        texts = {name: self.text(record, name) for name in names}
        if "score" not in self.columns:
            return texts, None
        value = record.get(self.columns["score"])
        if is_missing(value):
            raise DataError("the score is missing.")
        return texts, number_of(value, "score")

    def answers(self, found: list[Any]) -> Answers:
        """Return the scores unchanged, with a note about the form of the examples."""
        form = "triplets" if "negative" in self.columns else "pairs"
        if "score" not in self.columns:
            return Answers(found, notes=[f"The examples are {form} without a score."])
        return Answers(
            found,
            notes=[f"The examples are pairs with a score from {min(found):g} to {max(found):g}."] if found else [],
        )
