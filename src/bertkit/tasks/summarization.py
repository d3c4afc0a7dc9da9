"""Summarization: a text -> a shorter one. A long text is summarized in windows, whose summaries are joined with a space."""

from __future__ import annotations

from dataclasses import dataclass

from bertkit.tasks.base import OnLong
from bertkit.tasks.text2text_generation import Answering
from bertkit.tasks.writing import WritingOptions


@dataclass(frozen=True)
class SummarizationOptions(WritingOptions):
    """The options of summarization."""

    on_long: OnLong = "window"


class Summarization(Answering[SummarizationOptions]):
    """summarization."""

    name = "summarization"
    result = "summary"
    options_type = SummarizationOptions
