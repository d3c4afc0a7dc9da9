"""Add words of a domain to a model: a row of the embedding for each, and a tokenizer that knows them.

V vocabulary   H width
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertkit import hub
from bertkit.checkpoint import load_checkpoint
from bertkit.checkpoint.files import Tensors
from bertkit.checkpoint.load import config_of
from bertkit.checkpoint.save import save_checkpoint
from bertkit.config import BertConfig
from bertkit.data.texts import Files, read_texts
from bertkit.errors import Setting, UsageError, received
from bertkit.parameters import UNTIED, expand
from bertkit.tasks.embedding import weights_place, write_recipe
from bertkit.tensors import Array
from bertkit.text.files import check_folder, write_files
from bertkit.text.tokenizer import BertTokenizer, BertTokenizerFast
from bertkit.text.training.words import check_plain, useful_words, with_words

_MULTIPLE = 8


def add_words(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    words: Iterable[str] | None = None,
    texts: Files = (),
    count: int | None = None,
    min_frequency: int | None = None,
    field: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> list[str]:
    """Write a model whose vocabulary has further words, and return these words.

    The words replace `[unused0]`, `[unused1]`, ... in the vocabulary, and where these do not suffice the embedding grows, to a
    multiple of 8 if its size is one now. The row of a word, and its bias in the prediction of words, are the mean of those of its
    pieces. The model then needs training on texts with the words. Shards of tokens must be prepared with the new tokenizer.

    Args:
        model: the folder or Hub id of a model with a tokenizer. It is not changed.
        out: the folder to write to.
        words: the words. Those that the vocabulary has are left out.
        texts: without `words`: a file of text or several, to find the words that would save the most tokens.
        count: the number of words to find in the texts.
        min_frequency: how often a word must occur in the texts; None: 10 times.
        field: the key of the text in JSON Lines, or the column in Parquet; None: "text".
        overwrite: whether to replace a model in the folder.
        progress: whether to show a progress bar while texts are read.
    """
    search = {"count": count, "min_frequency": min_frequency, "field": field}
    _check(words, texts, search, Path(out), overwrite)
    if Path(model).exists() and Path(model).resolve() == Path(out).resolve():
        raise UsageError(
            f"{model} is the model itself, which is not changed: type another folder for ",
            Setting("out", "with-words"),
            ".",
        )
    given = hub.locate(model)
    place = weights_place(given)
    tokenizer = BertTokenizerFast.from_pretrained(place)
    check_plain(tokenizer.encoder.files)
    if words is None:
        assert count is not None
        files, engine = tokenizer.encoder.files, tokenizer.encoder.plain_engine
        with closing(read_texts(texts, field=field or "text", progress=progress)) as read:
            words = useful_words(read, files, engine, count, 10 if min_frequency is None else min_frequency)
    files, ids = with_words(tokenizer.encoder.files, words)
    if not ids:
        raise UsageError("The tokenizer splits none of the words into pieces, so that there is nothing to add.")
    config = config_of(place)
    tensors, report = load_checkpoint(place, config=config)
    if report.fresh:
        raise UsageError(
            f"{model} has no {', '.join(report.fresh)}, which Bert{report.head} needs: choose another model."
        )
    changed = copy.copy(config)
    changed.vocab_size = _size(config.vocab_size, max(ids.values()) + 1)
    grown = _with_rows(tensors, config, report.head, _pieces(tokenizer, ids), changed.vocab_size)
    save_checkpoint(out, grown, changed, report.head)
    write_files(out, files, own=["fast"])
    write_recipe(given, Path(out))
    return list(ids)


def _check(
    words: Iterable[str] | None, texts: Files, search: Mapping[str, object], folder: Path, overwrite: bool
) -> None:
    """Raise UsageError for arguments that contradict each other, and for a folder with a model."""
    example = Setting("words", "words.txt", '["enzyme", "rubisco"]')
    if (words is None) == (not texts):
        raise UsageError(
            "Either words or texts are needed: type ", example, ", or pass files of text with ", Setting("count", 1000), ".",
        )  # fmt: skip
    if isinstance(words, str):
        raise UsageError(received("words", words), " is a string, but a list of words is needed: type ", example, ".")
    for name, value in search.items():
        if words is not None and value is not None:
            raise UsageError(received(name, value), " is only for texts: leave it out.")
        if words is None and isinstance(value, int) and value < 1:
            raise UsageError(received(name, value), " is below 1: type for example ", Setting(name, 1000), ".")
    if words is None and search["count"] is None:
        raise UsageError(
            "Texts need count, the number of words to find: type for example ", Setting("count", 1000), "."
        )
    check_folder(folder)
    if (folder / "config.json").exists() and not overwrite:
        raise UsageError(
            f"{folder} already has a model: choose another folder, or type ", Setting("overwrite", True), "."
        )


def _size(old: int, needed: int) -> int:
    """Return the number of rows of the embedding.

    >>> _size(30522, 30500), _size(30522, 30530), _size(8000, 8001)
    (30522, 30530, 8008)
    """
    if needed <= old:
        return old
    return -(-needed // _MULTIPLE) * _MULTIPLE if old % _MULTIPLE == 0 else needed


def _pieces(tokenizer: BertTokenizer | BertTokenizerFast, ids: Mapping[str, int]) -> dict[int, NDArray[np.int32]]:
    """Return the ids of the pieces that a tokenizer splits each word into, by the word's id."""
    found, ends = tokenizer.encoder.plain_engine.encode(list(ids))
    return dict(zip(ids.values(), np.split(found, ends[:-1]), strict=True))


def _with_rows(
    tensors: Tensors, config: BertConfig, head: str, pieces: Mapping[int, NDArray[np.int32]], size: int
) -> Tensors:
    """Return tensors with rows for new words, each the mean of the rows of its pieces, and with `size` rows of the vocabulary."""
    found = dict(tensors)
    for name, parameter in expand(config, head).items():
        if name in tensors and (parameter.row is UNTIED or parameter.row.shape.startswith("V")):
            found[name] = _grown(tensors[name], pieces, size)
    return found


def _grown(old: Array, pieces: Mapping[int, NDArray[np.int32]], size: int) -> Array:
    """[V] or [V, H] -> [size, ...]. Rows of no word are zeros, and their bias is the lowest, so that they are not predicted."""
    rest = np.full((size - len(old), *old.shape[1:]), old.min() if old.ndim == 1 else 0, old.dtype)
    new = np.concatenate([old, rest])
    for row, own in pieces.items():
        new[row] = old[own].astype(np.float32).mean(0).astype(old.dtype)
    return new
