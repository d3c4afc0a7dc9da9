"""`bertkit prepare`."""

from __future__ import annotations

import sys
from typing import Annotated

from bertkit.data.shards.write import SHARD
from bertkit.text.auto import AutoTokenizer
from bertkit.training.prepare import prepare as prepare_shards


def prepare(
    files: Annotated[
        list[str],
        "text files with empty lines between documents, .jsonl, .parquet, also with .gz or .xz; - for stdin",
    ],
    *,
    tokenizer: Annotated[str, "directory or Hub id of the tokenizer"],
    out: Annotated[str, "directory to write the shards to; it is created if necessary"],
    field: Annotated[str, "field of the text in .jsonl and .parquet"] = "text",
    sentence_per_line: Annotated[bool, "each line is one sentence; by default, lines are split into sentences"] = False,
    processes: Annotated[int | None, "number of processes (default: one for each core, at most 8)"] = None,
    shard_tokens: Annotated[int, "a shard ends with the documents that reach this number of tokens"] = SHARD,
    overwrite: Annotated[bool, "replace the shards in the directory"] = False,
) -> None:
    """Turn files of text into shards of tokens, for pretraining.

    If the command is interrupted, the same command continues it. The shards do not depend on the number of processes.
    """
    found = prepare_shards(
        files,
        AutoTokenizer.from_pretrained(tokenizer),
        out,
        field=field,
        sentence_per_line=sentence_per_line,
        processes=processes,
        shard_tokens=shard_tokens,
        overwrite=overwrite,
        progress=sys.stderr.isatty(),
    )
    print(f"{out}: {len(found):,} documents, {found.sentences:,} sentences, {found.tokens:,} tokens")
