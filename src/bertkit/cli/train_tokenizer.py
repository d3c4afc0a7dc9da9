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

_ACCENTS_KEPT = (
    "accents are kept, as stripping them would split letters of these texts (한 -> ᄒ ᅡ ᆫ, が -> か). "
    "To strip them anyway, add --strip-accents."
)


def train_tokenizer(
    files: Annotated[
        list[str], "text files: .txt (one text per line), .jsonl, .parquet, also with .gz or .xz; - for stdin"
    ],
    *,
    out: Annotated[str, "directory to write the tokenizer to; it is created if necessary"],
    vocab_size: Annotated[int, "number of tokens in the vocabulary"] = 30522,
    cased: Annotated[bool, "distinguish upper and lower case"] = False,
    strip_accents: Annotated[
        bool | None, "remove accents from letters (default: unless --cased, or the texts are Korean, Japanese or Indic)"
    ] = None,
    min_frequency: Annotated[int, "minimum number of times that a token occurs in the texts"] = 2,
    limit_alphabet: Annotated[
        int | None, "maximum number of different characters; words with others become [UNK] (default: 1000 or more)"
    ] = None,
    field: Annotated[str, "field of the text in .jsonl and .parquet"] = "text",
    unused: Annotated[int, "number of tokens [unused0], [unused1], ... to reserve for later use"] = 0,
    overwrite: Annotated[bool, "replace an existing vocabulary"] = False,
) -> None:
    """Train a WordPiece vocabulary on text files, and write a tokenizer.

    The files are read once, as a stream, with bounded memory. The same texts give the same vocabulary on every machine.
    """
    _check(Path(out), overwrite)
    progress = sys.stderr.isatty()
    given = Rules(lowercase=not cased, strip_accents=strip_accents)
    rules, _ = rules_for(_first_texts(files, field), given)
    with closing(read_texts(files, field=field, progress=progress)) as read:
        rules, texts = rules_for(read, rules)  # a second time, as _first_texts skips streams
        if rules != given:
            _print_message(_ACCENTS_KEPT)
        tokens = train_vocabulary(
            texts,
            vocab_size,
            rules=rules,
            min_frequency=min_frequency,
            unused=unused,
            limit_alphabet=limit_alphabet,
            progress=progress,
        )
    if len(tokens) < vocab_size:
        _print_message(f"the texts give only {len(tokens):,} tokens, not the {vocab_size:,} of --vocab-size.")
    for path in _write(Path(out), tokens, rules):
        print(path)


def _first_texts(files: Sequence[str], field: str) -> Iterator[str]:
    """The first texts of each file, as the files may be in different languages. Streams and pipes can be read only once."""
    for name in files:
        if name != "-" and Path(name).is_file():
            with closing(read_texts([name], field=field)) as texts:
                yield from islice(texts, 1 + 1000 // len(files))


def _print_message(sentence: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"bertkit: {sentence}", file=sys.stderr)  # does not overwrite a progress bar


def _check(directory: Path, overwrite: bool) -> None:
    """Raises an error before the work if the tokenizer could not be written after it."""
    check_folder(directory)
    if (directory / "vocab.txt").exists() and not overwrite:
        raise UsageError(f"{directory} already has a vocab.txt: choose another directory, or type --overwrite.")


def _write(directory: Path, tokens: Sequence[str], rules: Rules) -> list[Path]:
    files = TokenizerFiles(Vocabulary(tokens), rules)
    files.added = {files.vocabulary.ids[token.content]: token for token in files.special.values()}
    return write_files(directory, files)
