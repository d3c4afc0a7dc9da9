"""Prepare a corpus for pretraining: files of text -> shards."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.data.shards import Shards
from bertkit.data.shards.documents import read_documents
from bertkit.data.shards.encoding import EncodeDocuments, Tokens
from bertkit.data.shards.layout import INDEX, LOCK, PARTIAL, TOKENIZER, Index, Special
from bertkit.data.shards.write import SHARD, Document, locked, start, write_shards
from bertkit.data.texts import Files, check_field, names_of, size_of
from bertkit.engines.processor import cores
from bertkit.errors import Setting, UsageError, received
from bertkit.logging import is_progress_bar_enabled
from bertkit.text.tokenizer import BertTokenizer, BertTokenizerFast


class SplitIntoTokens:
    """Splits texts with a tokenizer. Special tokens in a text, such as "[MASK]", are split like other text."""

    def __init__(self, tokenizer: BertTokenizer | BertTokenizerFast) -> None:
        self.tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of some texts."""
        engine = self.tokenizer.encoder.plain_engine
        if self.tokenizer.encoder.files.foreign is None:
            ids, ends = engine.encode(texts)
            return Tokens(ids, ends, self._may_start[ids])
        (ids, ends), _, _, words = engine.locate(texts)  # pieces without a prefix: slower, but right for any tokenizer
        changes = np.diff(words, prepend=-1) != 0
        changes[np.concatenate([[0], ends[:-1]])[np.diff(ends, prepend=0) > 0]] = True
        return Tokens(ids, ends, changes)

    @cached_property
    def _may_start(self) -> NDArray[np.bool_]:
        """Whether each token of the vocabulary is the first of a word [V]."""
        vocabulary = self.tokenizer.get_vocab()
        table = np.ones(max(vocabulary.values()) + 1, bool)
        prefix = self.tokenizer.wordpieces_prefix
        table[[index for token, index in vocabulary.items() if token.startswith(prefix)]] = False
        return table


def prepare(
    files: Files,
    tokenizer: BertTokenizer | BertTokenizerFast,
    out: str | os.PathLike[str],
    *,
    field: str = "text",
    sentence_per_line: bool = False,
    processes: int | None = None,
    shard_tokens: int = SHARD,
    overwrite: bool = False,
    progress: bool = False,
) -> Shards:
    """Write the texts of files as shards of tokens, for pretraining. Returns the shards.

    In a plain file, empty lines separate documents; in JSON Lines and Parquet, each record is a document. Files in gzip or xz are
    decompressed. Memory does not depend on the size of the files. The shards do not depend on the number of processes. If the
    call is interrupted, even by `kill -9`, the same call continues after the last whole shard.

    Args:
        files: the file, or files; "-" is standard input with plain text.
        tokenizer: the tokenizer of the model to pretrain.
        out: the folder of the shards. It also gets a copy of the tokenizer.
        field: the key of the text in JSON Lines, or the column in Parquet.
        sentence_per_line: whether each line is one sentence. By default, lines are split into sentences.
        processes: the number of processes, up to 256; None: one for each core, and at most 8, as each takes some 90 MB. A script
            that starts processes needs `if __name__ == "__main__":`.
        shard_tokens: a shard ends with the documents that reach this number of tokens. Memory has room for one shard.
        overwrite: whether to replace shards in the folder.
        progress: whether to show a progress bar in bytes of the input.
    """
    _check_number("processes", processes, 1, 256, 2)
    _check_number("shard_tokens", shard_tokens, 1_000, 2**26, SHARD)
    names = names_of(files)
    size = sum(map(size_of, names))
    check_field(names, field)
    folder = Path(out)
    _check_folder(folder)
    special = special_of(tokenizer)
    settings = {
        "tokenizer": _digest(tokenizer),
        "sentence_per_line": sentence_per_line,
        "field": field,
        "shard_tokens": shard_tokens,
    }
    with locked(folder), _Bar(size if "-" not in names else None, progress) as bar:
        index = start(folder, Index(special, settings), overwrite)
        if not index.shards:
            _save_tokenizer(tokenizer, folder / TOKENIZER)
        write_shards(
            folder,
            _documents(names, field),
            EncodeDocuments(SplitIntoTokens(tokenizer), special.dtype, sentence_per_line),
            index,
            processes=processes or min(cores(), 8),
            shard_tokens=shard_tokens,
            on_position=bar.update,
        )
    return Shards(folder)


def _check_number(name: str, count: int | None, least: int, most: int, example: int) -> None:
    """Raise UsageError for a number that is out of its range."""
    if count is not None and not least <= count <= most:
        raise UsageError(
            received(name, count), f" is invalid: it must be between {least:,} and {most:,}. Type for example ",
            Setting(name, example), ".",
        )  # fmt: skip


def _check_folder(folder: Path) -> None:
    """Raise UsageError for a folder with a tokenizer that no earlier call wrote, as the copy would replace it."""
    copy = folder / TOKENIZER
    is_own = any((folder / name).exists() for name in (LOCK, INDEX, PARTIAL)) or copy.is_symlink()
    if os.path.lexists(copy) and not is_own:
        raise UsageError(
            f"{copy} is not from bertkit prepare, which writes a copy of the tokenizer there: choose another folder for ",
            Setting("out", "my-shards"), ".",
        )  # fmt: skip


def _save_tokenizer(tokenizer: BertTokenizer | BertTokenizerFast, folder: Path) -> None:
    """Write a copy of the tokenizer, in the place of that of an earlier run."""
    if folder.is_symlink():  # its target is not ours
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer.save_pretrained(folder)


def special_of(tokenizer: BertTokenizer | BertTokenizerFast) -> Special:
    """Return the special tokens of a tokenizer. Raises UsageError if one that pretraining needs is missing."""
    ids = {}
    for name in ("cls", "sep", "mask"):
        ids[name] = getattr(tokenizer, f"{name}_token_id")
        if ids[name] is None:
            raise UsageError(f'The tokenizer has no {name}_token: type tokenizer.{name}_token = "[{name.upper()}]".')
    never = tuple(sorted(set(tokenizer.all_special_ids)))
    special = Special(ids["cls"], ids["sep"], ids["mask"], never, max(tokenizer.get_vocab().values()) + 1)
    if not special.is_valid():
        raise UsageError("The tokenizer has only special tokens: make one with bertkit train-tokenizer.")
    return special


def _documents(names: Sequence[str], field: str) -> Iterator[Document]:
    """Yield the documents of all files, each with the number of bytes read so far."""
    position = 0

    def count(size: int) -> None:
        nonlocal position
        position += size

    for name in names:
        for text in read_documents(name, field, count):
            yield text, position


def _digest(tokenizer: BertTokenizer | BertTokenizerFast) -> str:
    """Return a checksum of all that determines the tokens of a text."""
    files = tokenizer.encoder.files
    rules = [vars(files.rules), files.do_basic_tokenize, files.never_split, files.prefix, files.max_chars, files.unk]
    tokens = [sorted(tokenizer.get_vocab().items()), files.foreign]
    described = json.dumps([rules, tokens], sort_keys=True, default=str)
    return hashlib.sha256(described.encode("utf-8", "surrogatepass")).hexdigest()


class _Bar:
    """A progress bar. Its estimate is the mean rate of this run, without what an earlier run has done."""

    def __init__(self, total: int | None, enabled: bool) -> None:
        self._total, self._disabled = total, not (enabled and is_progress_bar_enabled())
        self._position = 0
        self._bar: Any = None

    def update(self, position: int, resumed: bool) -> None:
        """Show the number of bytes that are done."""
        if self._bar is None:
            from tqdm import tqdm

            done = position if resumed else 0
            self._bar = tqdm(
                total=self._total, desc="Preparing", unit="B", unit_scale=True, initial=done, smoothing=0,
                disable=self._disabled,
            )  # fmt: skip
            self._position = done
        self._bar.update(position - self._position)
        self._position = position

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
