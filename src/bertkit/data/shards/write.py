"""Write documents as shards. A run that was killed continues after its last whole shard.

The files depend only on the documents and the settings, not on the number of processes or on interruptions: a shard ends after
the first chunk of documents that fills it, and chunks are cut by the number of characters.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from bertkit.data.shards.encoding import Chunk, Encoded, EncodeDocuments, encode_chunks
from bertkit.data.shards.layout import INDEX, LOCK, PARTIAL, Index, Shard, shard_name
from bertkit.errors import DataError, Setting, UsageError
from bertkit.hub.disk import lock, open_own, remove_unfinished, whole_file

CHUNK = 2**20  # characters that a process encodes at a time
SHARD = 2**24  # tokens, about 40 MB

Document = tuple[str, int]
"""A document, and the bytes of the input that were read after it."""


class ShardWriter:
    """Writes encoded documents into shards, and records each whole shard in partial.json."""

    def __init__(self, folder: Path, index: Index, shard_tokens: int) -> None:
        self._folder, self._index, self._limit = folder, index, shard_tokens
        self._parts: list[Encoded] = []
        self._documents, self._crc = index.documents, index.crc

    def add(self, chunk: Chunk, encoded: Encoded) -> None:
        """Add documents."""
        self._parts.append(encoded)
        self._documents += len(chunk.documents)
        self._crc = chunk.crc
        if sum(len(part.ids) for part in self._parts) >= self._limit:
            self._write_shard()

    def finish(self) -> Index:
        """Write the last shard, and the index."""
        if any(len(part.ids) for part in self._parts):
            self._write_shard()
        if not self._index.shards:
            raise DataError("The files have no text, so no shards can be written.")
        self._write_index()
        os.replace(self._folder / PARTIAL, self._folder / INDEX)
        return self._index

    def _write_index(self) -> None:
        remove_unfinished(self._folder / PARTIAL)
        self._index.documents, self._index.crc = self._documents, self._crc
        self._index.write(self._folder / PARTIAL)

    def _write_shard(self) -> None:
        name = shard_name(len(self._index.shards))
        path = self._folder / name
        remove_unfinished(path)
        documents, sentences = (np.concatenate([part[column] for part in self._parts]) for column in (0, 1))
        ids = [part.ids for part in self._parts]
        words = np.packbits(np.concatenate([part.word_starts for part in self._parts]))
        arrays = [np.cumsum(documents).astype("<u4"), np.cumsum(sentences).astype("<u4"), *ids, words]
        digest = hashlib.sha256()
        with whole_file(path) as file:
            for array in arrays:
                digest.update(array.data)
                file.write(array.data)
        tokens = sum(map(len, ids))
        self._index.shards.append(Shard(name, len(documents), len(sentences), tokens, digest.hexdigest()))
        self._write_index()
        self._parts = []


def write_shards(
    folder: Path,
    documents: Iterable[Document],
    encode: EncodeDocuments,
    index: Index,
    *,
    processes: int = 1,
    shard_tokens: int = SHARD,
    on_position: Callable[[int, bool], object] = lambda position, resumed: None,
) -> Index:
    """Write documents as shards into a folder, and return their index.

    Args:
        folder: a `locked` folder for which `start` returned the index.
        documents: all documents, also those that an earlier run has written.
        encode: the function that splits documents into tokens.
        index: the index that `start` returned.
        processes: the number of processes that split documents into tokens.
        shard_tokens: a shard ends with the documents that reach this number of tokens.
        on_position: called with the bytes of the input that are done, and whether an earlier run did them.
    """
    source = iter(documents)
    _skip(source, index, lambda position: on_position(position, True))
    writer = ShardWriter(folder, index, shard_tokens)
    for chunk, encoded in encode_chunks(_chunks(source, index.crc, min(CHUNK, shard_tokens)), encode, processes):
        writer.add(chunk, encoded)
        on_position(chunk.position, False)
    return writer.finish()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a folder, and lock it until the end of the block. Raises UsageError if another process has locked it."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: choose another one.")
    folder.mkdir(parents=True, exist_ok=True)
    with open_own(folder / LOCK, create=True) as held:
        if not lock(held, folder):
            raise UsageError(f"Another process is writing shards into {folder}: wait for it, or choose another folder.")
        yield


def start(folder: Path, index: Index, overwrite: bool = False) -> Index:
    """Return the index to continue with: `index`, or that of an interrupted run with the same settings.

    Raises UsageError if the folder has shards that would be lost.
    """
    if overwrite:
        for path in (folder / INDEX, folder / PARTIAL, *folder.glob("shard-*.bin")):
            path.unlink(missing_ok=True)
    if (folder / INDEX).exists():
        raise UsageError(
            f"{folder} already has shards: choose another folder, or type ", Setting("overwrite", True), "."
        )
    if not (folder / PARTIAL).exists():
        return index
    earlier = Index.read(folder / PARTIAL)
    if (earlier.special, earlier.settings) != (index.special, index.settings):
        changed = [name for name, value in index.settings.items() if earlier.settings.get(name) != value]
        raise UsageError(
            f"{folder} has shards of an interrupted run with other settings ({', '.join(changed) or 'special tokens'}): repeat "
            "its command to continue it, or type ", Setting("overwrite", True), ".",
        )  # fmt: skip
    return earlier


def _skip(documents: Iterator[Document], index: Index, on_position: Callable[[int], object]) -> None:
    """Read the documents that an earlier run has written. Raises DataError if they have changed."""
    crc = position = count = 0
    for count, (text, position) in enumerate(islice(documents, index.documents), start=1):  # noqa: B007
        crc = _crc(text, crc)
    if (count, crc) != (index.documents, index.crc):
        raise DataError(
            f"The first {index.documents:,} documents differ from those that the interrupted run read: pass the same files in "
            "the same order, or type ", Setting("overwrite", True), ".",
        )  # fmt: skip
    on_position(position)


def _chunks(documents: Iterable[Document], crc: int, most: int) -> Iterator[Chunk]:
    """Group neighbouring documents to chunks of about `most` characters."""
    some: list[str] = []
    size = position = 0
    for text, position in documents:
        some.append(text)
        size += len(text)
        crc = _crc(text, crc)
        if size >= most:
            yield Chunk(some, crc, position)
            some, size = [], 0
    if some:
        yield Chunk(some, crc, position)


def _crc(text: str, before: int) -> int:
    """Return the CRC-32 of documents with one more. A zero byte ends each, so that the ends of documents count too."""
    return zlib.crc32(text.encode() + b"\0", before)
