"""`bertkit train-tokenizer`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Annotated

from bertkit.data import read_texts
from bertkit.errors import UsageError
from bertkit.text.files import TokenizerFiles, check_folder, write_files
from bertkit.text.training.vocabulary import rules_for, train_vocabulary
from bertkit.text.vocabulary import Vocabulary
from bertkit.text.wordpiece.characters import Rules

_SPARED = (
    "stripping accents would tear the letters of these texts apart (한 -> ᄒ ᅡ ᆫ, が -> か), so they are kept. "
    "To strip them nevertheless, add --strip-accents."
)


def train_tokenizer(
    files: Annotated[list[str], "texts: .txt (one a line), .jsonl, .parquet, or gzip or xz of them; - for stdin"],
    *,
    out: Annotated[str, "the directory to write the tokenizer to; made where there is none"],
    vocab_size: Annotated[int, "how many pieces"] = 30522,
    cased: Annotated[bool, "tell capital letters from small ones"] = False,
    strip_accents: Annotated[
        bool | None, "take accents off letters (default: unless cased, or the texts are Korean, Japanese, Indic)"
    ] = None,
    min_frequency: Annotated[int, "make no piece that occurs more rarely"] = 2,
    field: Annotated[str, "what holds the text in .jsonl and .parquet"] = "text",
    unused: Annotated[int, "slots [unused0], [unused1], ... for tokens that come later"] = 0,
    overwrite: Annotated[bool, "replace a vocabulary that is there"] = False,
) -> None:
    """Learn a vocabulary of WordPieces from files of texts, and write a tokenizer.

    The files are read once, as a stream, in bounded memory. The same texts give the same vocabulary on every machine.
    """
    _check(Path(out), overwrite)
    progress = sys.stderr.isatty()
    given = Rules(lowercase=not cased, strip_accents=strip_accents)
    rules, _ = rules_for(_heads(files, field), given)
    with closing(read_texts(files, field=field, progress=progress)) as read:
        rules, texts = rules_for(read, rules)  # with standard input, which no one reads twice
        if rules != given:
            _say(_SPARED)
        tokens = train_vocabulary(
            texts, vocab_size, rules=rules, min_frequency=min_frequency, unused=unused, progress=progress
        )
    if len(tokens) < vocab_size:
        _say(f"the texts give {len(tokens):,} pieces, fewer than the {vocab_size:,} that there is room for.")
    for path in _write(Path(out), tokens, rules):
        print(path)


def _heads(files: Sequence[str], field: str) -> Iterator[str]:
    """The first texts of each file, since an English file may stand before a Korean one."""
    for name in files:
        if name != "-":
            with closing(read_texts([name], field=field)) as texts:
                yield from islice(texts, 1 + 1000 // len(files))


def _say(sentence: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"bertkit: {sentence}", file=sys.stderr)  # above a bar that is being drawn


def _check(directory: Path, overwrite: bool) -> None:
    """Find out before the work what would be an error after it."""
    check_folder(directory)
    if (directory / "vocab.txt").exists() and not overwrite:
        raise UsageError(f"{directory} has a vocab.txt already. Choose another directory, or add --overwrite.")


def _write(directory: Path, tokens: Sequence[str], rules: Rules) -> list[Path]:
    files = TokenizerFiles(Vocabulary(tokens), rules)
    files.added = {files.vocabulary.ids[token.content]: token for token in files.special.values()}
    return write_files(directory, files)
