"""The vectors of a teacher for the sentences of shards, computed once and kept on disk, as targets of pretraining.

    vectors/
        vectors.bin       float16 [n, D], little-endian: the first n sentences of the shards, in their order
        directions.npy    float32 [D, D], orthonormal: the directions of these vectors, the most important first
        index.json        n, D, and hashes of the shards and of the teacher; written after each window of sentences

The target of a text is the mean of the vectors of its sentences, weighted by their tokens in the text. It has as many numbers as
the student's states: the vector in the first directions. The student's own mean of states can so be compared with it without a
trained projection, and the mean is the vector that `bertkit embed` returns for the student.

S texts of a row   D width of the teacher   W width of a target
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit import hub
from bertkit.checkpoint.identity import identity
from bertkit.data.batches import Target
from bertkit.data.shards import Shards
from bertkit.data.shards.layout import TOKENIZER
from bertkit.data.shards.read import Span
from bertkit.errors import DataError, Setting, UsageError, received
from bertkit.hub.disk import lock, open_own, whole_file
from bertkit.logging import is_progress_bar_enabled
from bertkit.pipelines import Pipeline, pipeline
from bertkit.tasks.embedding import weights_place
from bertkit.tasks.embedding.recipe import unit
from bertkit.tasks.feature_extraction import FeatureOptions
from bertkit.text.tokenizer import BertTokenizerFast

VECTORS = "sentence_vectors"
"""The name of the target: [S, W] for each row, zeros for a text without vectors."""

WINDOW = 2**12
"""Sentences that are sorted by length, computed and written together."""

_SAMPLE = 2**14  # vectors that the directions are computed from
_FORMAT = "bertkit-vectors-1"
_INDEX, _DATA, _DIRECTIONS = "index.json", "vectors.bin", "directions.npy"
_LARGEST_INDEX = 2**16  # bytes
_TYPE = np.dtype("<f2")


@dataclass(frozen=True)
class _Index:
    """The contents of index.json."""

    shards: str  # hash
    teacher: str  # hash
    width: int = 0  # D; 0: unknown before the first window
    sentences: int = 0  # n
    format: str = _FORMAT

    @classmethod
    def read(cls, folder: Path) -> _Index | None:
        """Read the index of a folder; None if there is none. Raises DataError if it is invalid, or the vectors are missing."""
        path = folder / _INDEX
        if not path.is_file():
            return None
        values = hub.parse_object(hub.read_text(path, _LARGEST_INDEX, DataError), str(path), DataError)
        if values.get("format") != _FORMAT:
            raise DataError(f"{folder} has an index.json that is not of sentence vectors: choose another folder.")
        try:
            index = cls(**values)
            valid = all(type(size) is int and size > 0 for size in (index.width, index.sentences))
            bytes_needed = index.width * index.sentences * _TYPE.itemsize
            valid = valid and (folder / _DATA).stat().st_size >= bytes_needed
        except (OSError, TypeError):
            valid = False
        if not valid:
            raise _damaged(folder)
        return index

    def write(self, folder: Path) -> None:
        with whole_file(folder / _INDEX) as file:
            file.write(json.dumps(asdict(self), indent=1).encode() + b"\n")


class SentenceVectors:
    """The targets of texts, from the folder that `compute_vectors` wrote.

    Args:
        folder: the folder.
        shards: the shards whose sentences the vectors are of.
        width: the width of the student's states. Targets are not wider than the teacher's vectors.
        documents: the same number as for `compute_vectors`: vectors of later documents are not used; None: all that there are.
    """

    def __init__(
        self, folder: str | os.PathLike[str], shards: Shards, width: int, documents: int | None = None
    ) -> None:
        place = self._folder = Path(folder)
        index = _Index.read(place)
        if index is None:
            raise DataError(f"{place} has no sentence vectors.")
        if index.shards != shards.digest:
            raise UsageError(f"The vectors in {place} are of other shards than {shards.folder}: choose another folder.")
        self.shards = shards
        vectors = np.memmap(place / _DATA, _TYPE, "r", shape=(index.sentences, index.width))
        self.vectors: NDArray[Any] = vectors[: _until(shards, documents)]
        self._directions = np.ascontiguousarray(_read_directions(place, index.width)[:, :width])  # [D, W]
        sizes = [file.entry.sentences for file in shards.files]
        self._firsts = (np.cumsum(sizes) - sizes).tolist()  # the number of sentences before each shard

    def targets(self, spans: Sequence[Span]) -> Mapping[str, Target]:
        """Return the target of each text of a row, [S, W]. It has the length 1, or 0 if no sentence of the text has a vector."""
        means = np.stack([self._mean(span) for span in spans])
        if not np.isfinite(means).all():
            raise _damaged(self._folder)
        return {VECTORS: Target(unit(means @ self._directions), "row")}

    def _mean(self, span: Span) -> NDArray[np.float32]:
        """Return the sum of the vectors of a text's sentences, each times the number of its tokens in the text [D]."""
        ends = self.shards.files[span.shard].sentence_ends
        first = int(np.searchsorted(ends, np.uint32(span.start), "right"))
        last = int(np.searchsorted(ends, np.uint32(span.end), "left"))  # the last sentence with tokens in the text
        edges = np.concatenate([[span.start], ends[first:last], [span.end]])
        base = self._firsts[span.shard]
        vectors = np.asarray(self.vectors[base + first : base + last + 1], np.float32)  # fewer at the end of the file
        total: NDArray[np.float32] = np.diff(edges)[: len(vectors)].astype(np.float32) @ vectors
        return total


def compute_vectors(
    shards: Shards,
    teacher: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    documents: int | None = None,
    device: object = None,
    progress: bool = False,
) -> None:
    """Compute the vectors of the sentences of shards, in float16, into a folder.

    If the folder has some of them already, from a call that was interrupted (even by `kill -9`) or had fewer documents, only the
    others are computed. Memory does not depend on the size of the shards. Texts are those of the student's tokens, so that their
    spaces and letters are those of its tokenizer. Longer sentences than the teacher takes are truncated.

    Args:
        shards: the sentences.
        teacher: a folder or Hub id of a sentence encoder. Its own files say how a vector is pooled.
        folder: the folder of the vectors.
        documents: only the sentences of the first documents, and a few after them; None: all.
        device: the device of the teacher; None: a GPU if possible.
        progress: whether to show a progress bar in tokens.
    """
    wanted = _until(shards, documents)
    out = Path(folder)
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"{out} is not a folder: choose another one for the vectors.")
    encoder = _open(teacher, device)
    key = _Index(shards.digest, _digest(encoder, hub.locate(teacher)))
    if _continued(out, key).sentences >= wanted and (out / _DIRECTIONS).exists():
        return  # without a lock, as another process may be computing later vectors
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        index = _continued(out, key)
        with open_own(out / _DATA, create=True) as file:
            for vectors in _windows(shards, encoder, index.sentences, wanted, progress):
                file.seek(index.sentences * index.width * _TYPE.itemsize)
                file.truncate()
                file.write(vectors.data)
                os.fsync(file.fileno())
                index = replace(index, width=vectors.shape[1], sentences=index.sentences + len(vectors))
                index.write(out)
                if index.sentences >= _SAMPLE:
                    _write_directions(out, index)
        _write_directions(out, index)


def _until(shards: Shards, documents: int | None) -> int:
    """Return the number of sentences of the first documents, and of those after them in the same window."""
    if documents is None or documents >= len(shards):
        return shards.sentences
    if documents < 1:
        raise UsageError(
            received("documents", documents), " is below 1: type for example ", Setting("documents", 1000), "."
        )
    shard, own = shards.find(documents - 1)
    count = sum(file.entry.sentences for file in shards.files[:shard]) + shards.files[shard].document(own)[1]
    return min(-(-count // WINDOW) * WINDOW, shards.sentences)


def _open(teacher: str | os.PathLike[str], device: object) -> Pipeline:
    return pipeline("feature-extraction", teacher, engine="torch", device=device)


def _digest(encoder: Pipeline, place: hub.Place) -> str:
    """Return a hash of all that determines the teacher's vectors: its files, and how it pools."""
    inner = weights_place(place)
    found = hashlib.sha256()
    for name in sorted(identity(inner)):
        with open(inner.get(name), "rb") as file:
            found.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    recipe = encoder.task_object.recipe  # type: ignore[attr-defined]
    found.update(recipe.digest().encode())
    return found.hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open_own(folder / ".lock", create=True) as held:
        if not lock(held, folder):
            raise UsageError(
                f"Another process is computing the vectors in {folder}: wait for it, or choose another folder."
            )
        yield


def _continued(folder: Path, key: _Index) -> _Index:
    """Return the index of the vectors in a folder, or `key` if there are none. Raises UsageError if they are not of this key."""
    index = _Index.read(folder)
    if index is None:
        return key
    for what in ("shards", "teacher"):
        if getattr(index, what) != getattr(key, what):
            other = "of other shards" if what == "shards" else "of another teacher"
            raise UsageError(
                f"{folder} has sentence vectors {other}: remove it to compute them again, or choose another folder."
            )
    return index


def _windows(shards: Shards, encoder: Pipeline, done: int, end: int, progress: bool) -> Iterator[NDArray[np.float16]]:
    """Yield the vectors of the sentences from `done` to `end`, some thousands at a time [n, D].

    A window has the same sentences in each run, and so the same batches and the same bits.
    """
    from tqdm import tqdm

    tokenizer = BertTokenizerFast.from_pretrained(shards.folder / TOKENIZER)
    run = encoder.run(FeatureOptions(pooling="auto", normalize=True, on_long="truncate", return_tensors="np"))
    bar = tqdm(
        total=_tokens(shards, end), initial=_tokens(shards, done), desc="Sentence vectors", unit=" tokens", unit_scale=True,
        smoothing=0, disable=not (progress and is_progress_bar_enabled()),
    )  # fmt: skip
    with bar:
        for start in range(done, end, WINDOW):
            sentences = _sentences(shards, start, min(WINDOW, end - start))
            order = sorted(range(len(sentences)), key=lambda number: -len(sentences[number]))
            texts = tokenizer.batch_decode([sentences[number] for number in order])
            found: list[Any] = []
            for _, answers in run.chunks(texts):
                computed = order[len(found) : len(found) + len(answers)]
                found += [answer.value for answer in answers]
                bar.update(sum(len(sentences[number]) for number in computed))
            vectors = np.empty((len(found), len(found[0])), _TYPE)
            vectors[order] = np.stack(found)
            yield vectors


def _tokens(shards: Shards, sentences: int) -> int:
    """Return the number of tokens of the first sentences."""
    total = 0
    for file in shards.files:
        total += file.sentence_start(min(sentences, file.entry.sentences))
        sentences = max(sentences - file.entry.sentences, 0)
    return total


def _sentences(shards: Shards, start: int, count: int) -> list[NDArray[np.int64]]:
    """Return the tokens of `count` sentences of the shards, from number `start`."""
    found: list[NDArray[np.int64]] = []
    for file in shards.files:
        first = max(start, 0)
        numbers = range(first, min(start + count, file.entry.sentences))
        found += [file.text(file.sentence_start(number), file.sentence_start(number + 1)).ids for number in numbers]
        start -= file.entry.sentences
    return found


def _write_directions(folder: Path, index: _Index) -> None:
    """Write the directions in which the first vectors have the largest mean square, in decreasing order, as columns.

    Existing ones are kept, as a student may have learnt with them.
    """
    if (folder / _DIRECTIONS).exists():
        return
    vectors = np.memmap(folder / _DATA, _TYPE, "r", shape=(index.sentences, index.width))
    sample = np.asarray(vectors[:_SAMPLE], np.float64)
    _, directions = np.linalg.eigh(sample.T @ sample)  # in increasing order
    with whole_file(folder / _DIRECTIONS) as file:
        np.save(file, np.ascontiguousarray(directions[:, ::-1], np.float32))


def _read_directions(folder: Path, width: int) -> NDArray[np.float32]:
    """Return the directions of vectors of a width [D, D]. Raise DataError if the file is damaged."""
    try:
        found = np.lib.format.open_memmap(folder / _DIRECTIONS, mode="r")
    except Exception as error:  # NumPy raises errors of many kinds for a damaged header
        raise _damaged(folder) from error
    if found.shape != (width, width) or found.dtype != np.float32 or not np.isfinite(found).all():
        raise _damaged(folder)
    return found


def _damaged(folder: Path) -> DataError:
    return DataError(f"{folder} has no valid sentence vectors: remove it, and they are computed again.")
