"""Texts with their summaries, one or several of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertkit.data.examples.columns import Field, Fields
from bertkit.data.examples.reader import Answers, Reader
from bertkit.errors import DataError

_TOGETHER = (
    ("source", "target"),
    ("article", "highlights"),
    ("document", "summary"),
    ("dialogue", "summary"),
    ("text", "summary"),
    ("input", "output"),
)


class SummaryReader(Reader):
    """Examples are `{"text"}`, answers a summary. A list is the sentences of a text, or several summaries of it.

    A model is trained on the first summary, and evaluated with all of them.
    """

    fields = Fields(
        (
            Field("text", ("text", "source", "article", "document", "dialogue", "content", "body"), also=("source",)),
            Field("summary", ("summary", "target", "highlights", "abstract", "tldr", "title"), also=("target",)),
        ),
        _TOGETHER,
    )

    def example(self, record: Mapping[Any, Any]) -> tuple[Any, Any]:
        """Return the text, and its summaries."""
        return {"text": " ".join(self._texts(record, "text"))}, self._texts(record, "summary")

    def _texts(self, record: Mapping[Any, Any], name: str) -> list[str]:
        """Return the text in a field, or those of a list."""
        value = record.get(self.columns[name])
        if not isinstance(value, (list, tuple)):
            return [self.text(record, name)]
        if not value:
            raise DataError(f"the {name} is empty.")
        column = self.columns[name]
        return [self.text({column: one}, name) for one in value]

    def answers(self, found: list[Any]) -> Answers:
        """Return the first summary of each text to train on, and all of them as references."""
        several = sum(len(summaries) > 1 for summaries in found)
        notes = [f"{several:,} texts have several summaries: the first is trained on."] if several else []
        return Answers([summaries[0] for summaries in found], notes=notes, references=found)
