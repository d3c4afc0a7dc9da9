"""`bertkit add-words`."""

from __future__ import annotations

import sys
from typing import Annotated

from bertkit.data.lines import read_lines
from bertkit.errors import DataError
from bertkit.training.add_words import add_words as add_words_to_model


def add_words(
    texts: Annotated[
        list[str], "files of text to find words in: .txt, .jsonl, .parquet, also with .gz or .xz; - for stdin"
    ] = [],  # noqa: B006
    *,
    model: Annotated[str, "directory or Hub id of a model with a tokenizer; it is not changed"],
    out: Annotated[str, "directory to write the new model to; it is created if necessary"],
    words: Annotated[str | None, "file with one word in each line, instead of texts"] = None,
    count: Annotated[int | None, "number of words to find in the texts: those that save the most tokens"] = None,
    min_frequency: Annotated[
        int | None, "minimum number of times that a word occurs in the texts (default: 10)"
    ] = None,
    field: Annotated[str | None, "field of the text in .jsonl and .parquet (default: text)"] = None,
    overwrite: Annotated[bool, "replace a model in the directory"] = False,
) -> None:
    """Add the words of a domain to a model's vocabulary, before shards are prepared and pretraining continues.

    Words replace [unused0], [unused1], ..., and then the embedding grows. The row of a word is the mean of those of its pieces.
    Prints the new words.
    """
    given = None if words is None else [word for line in read_lines(words) if (word := line.strip())]
    if given == []:
        raise DataError(f"{words} has no words: write one in each line.")
    added = add_words_to_model(
        model,
        out,
        words=given,
        texts=texts,
        count=count,
        min_frequency=min_frequency,
        field=field,
        overwrite=overwrite,
        progress=sys.stderr.isatty(),
    )
    for word in added:
        print(word)
