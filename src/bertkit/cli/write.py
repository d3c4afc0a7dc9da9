"""`bertkit generate` and `bertkit summarize`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from bertkit.cli.ask import checked_texts
from bertkit.cli.job import answer
from bertkit.cli.shared import Shared
from bertkit.errors import DataError
from bertkit.hub import read_text

_MOST_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class SharedByWriters(Shared):
    """model, input and output"""

    max_length: Annotated[int | None, "maximum tokens of the result, together with those of a prompt"] = None


@dataclass(frozen=True, kw_only=True)
class Words:
    """words to write"""

    max_new_tokens: Annotated[
        int | None, "maximum new tokens (default: 256, or as many as the model has positions for)"
    ] = None
    min_new_tokens: Annotated[int | None, "minimum new tokens"] = None
    min_length: Annotated[int | None, "minimum tokens of the result, together with those of a prompt"] = None
    num_beams: Annotated[int | None, "texts that beam search compares (default: 4 for summarize, 1 for generate)"] = (
        None
    )
    num_return_sequences: Annotated[int | None, "results for each input"] = None
    length_penalty: Annotated[float | None, "above 0, beam search prefers longer texts"] = None
    early_stopping: Annotated[bool | None, "stop as soon as there are as many texts as beams"] = None
    do_sample: Annotated[bool | None, "draw words at random (default: only for generate)"] = None
    temperature: Annotated[float | None, "below 1, likely words become likelier (default: 0.7 for generate)"] = None
    top_k: Annotated[int | None, "draw from this number of the likeliest words"] = None
    top_p: Annotated[float | None, "draw from the likeliest words that together have this probability"] = None
    seed: Annotated[int, "seed of the random numbers: the same seed gives the same words"] = 0
    repetition_penalty: Annotated[float | None, "above 1, words that occurred become less likely"] = None
    no_repeat_ngram_size: Annotated[int | None, "no sequence of this number of tokens occurs twice"] = None
    stop_sequence: Annotated[str | None, "a word that ends the text"] = None

    def options(self) -> dict[str, Any]:
        """The options of a task, without settings that are left to the model."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        own = {name: found.pop(name) for name in ("seed", "stop_sequence") if name in found}
        return own | ({"settings": found} if found else {})


def generate(
    prompts: Annotated[list[str], "beginnings of texts (default: the lines of stdin)"] = [],  # noqa: B006
    *,
    prefix: Annotated[str | None, "text before each prompt, which is not shown"] = None,
    return_full_text: Annotated[bool, "show the prompt before its continuation"] = True,
    words: Words,
    shared: SharedByWriters,
) -> int:
    """Continue the beginning of a text, with a BERT that was trained as a decoder."""
    options = {**words.options(), "prefix": prefix, "return_full_text": return_full_text}
    return answer("text-generation", shared, options, checked_texts(prompts))


def summarize(
    texts: Annotated[list[str], "texts, or files that are one text each (default: the lines of stdin)"] = [],  # noqa: B006
    *,
    prefix: Annotated[str | None, "text before each text"] = None,
    words: Words,
    shared: SharedByWriters,
) -> int:
    """Summarize texts, with an encoder and a decoder.

    A long text is cut between its sentences, and the summaries of its parts are joined.
    """
    return answer("summarization", shared, {**words.options(), "prefix": prefix}, _read(checked_texts(texts)))


def _read(texts: Sequence[str]) -> list[str]:
    """The texts, and the contents of those that are names of files."""
    # Path.is_file raises an error for a text that is too long for a name.
    return [read_text(text, _MOST_BYTES, DataError) if os.path.isfile(text) else text for text in texts]  # noqa: PTH113
