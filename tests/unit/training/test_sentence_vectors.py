"""Vectors of a teacher for pretraining: the cache, targets beside a plain loop, and the loss beside padded batches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pretraining_cases
import pytest
import torch
import training_cases

from bertkit import pipeline
from bertkit.data.batches import Batch, Row, pack
from bertkit.data.pretraining import FullSentences, SentencePairs
from bertkit.data.shards import Shards
from bertkit.data.shards.read import Span
from bertkit.errors import DataError, UsageError
from bertkit.training.pretraining import sentence_vectors
from bertkit.training.pretraining.sentence_distance import SentenceDistance, distance
from bertkit.training.pretraining.sentence_vectors import VECTORS, SentenceVectors, compute_vectors

WIDTH = pretraining_cases.TEACHER_WIDTH


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return corpora.shards(tmp_path_factory.mktemp("corpus"), corpora.documents(24), shard_tokens=1000)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretraining_cases.write_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture
def folder(tmp_path: Path, shards: Shards, teacher: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vectors of all sentences, computed in windows of 32."""
    monkeypatch.setattr(sentence_vectors, "WINDOW", 32)
    compute_vectors(shards, teacher, tmp_path / "vectors", device="cpu")
    return tmp_path / "vectors"


def stored(folder: Path) -> np.ndarray:
    return np.fromfile(folder / "vectors.bin", "<f2").reshape(-1, WIDTH).astype(np.float32)


def test_vectors_are_those_of_each_sentence_alone(folder: Path, shards: Shards, teacher: Path) -> None:
    assert len(shards.files) > 2 and shards.sentences > 100
    embed = pipeline("feature-extraction", teacher, engine="numpy", pooling="mean", normalize=True, on_long="truncate")
    decode = corpora.tokenizer().decode
    texts = [decode(ids) for number in range(len(shards)) for ids in shards[number]]
    assert len(stored(folder)) == len(texts) == shards.sentences
    for text, vector in zip(texts, stored(folder), strict=True):
        np.testing.assert_allclose(vector, embed(text), atol=1e-3)


def by_loop(span: Span, shards: Shards, vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the target of a text, token by token."""
    total = np.zeros(WIDTH)
    before = sum(file.entry.sentences for file in shards.files[: span.shard])
    ends = shards.files[span.shard].sentence_ends.tolist()
    for token in range(span.start, span.end):
        sentence = before + sum(end <= token for end in ends)
        total += vectors[sentence] if sentence < len(vectors) else 0
    found = total @ directions
    return found / np.linalg.norm(found) if found.any() else found


@pytest.mark.parametrize("kind", [SentencePairs, FullSentences])
def test_targets_are_means_over_the_tokens_of_a_text(kind: Any, folder: Path, shards: Shards) -> None:
    spans: list[list[Span]] = []
    vectors = SentenceVectors(folder, shards, width=8)

    def of_spans(own: Any) -> Any:
        spans.append(own)
        return vectors.targets(own)

    rows = list(kind(shards, max_length=40, seed=3, of_spans=of_spans).epoch(0))
    directions = np.load(folder / "directions.npy")[:, :8]
    several = 0
    for row, own in zip(rows, spans, strict=True):
        ids = row.input_ids.copy()
        ids[row.positions] = row.targets["labels"].values
        tokens = np.concatenate([shards.text(span).ids for span in own])
        assert ids[~np.isin(ids, [2, 3])].tolist() == tokens.tolist()
        expected = [by_loop(span, shards, stored(folder), directions) for span in own]
        np.testing.assert_allclose(row.targets[VECTORS].values, expected, atol=1e-5)
        several += any(np.diff(np.searchsorted(shards.files[s.shard].sentence_ends, s[1:])) > 1 for s in own)
    assert several > 10 and len(rows) > 20
    plain = kind(shards, max_length=40, seed=3).epoch(0)
    for row, without in zip(rows, plain, strict=True):
        assert VECTORS not in without.targets and np.array_equal(row.input_ids, without.input_ids)


def test_directions_keep_the_cosines(folder: Path, shards: Shards) -> None:
    """With as many directions as numbers, cosines are those of the teacher; with fewer, they are close to them."""
    vectors = stored(folder)[:50]
    spans = [Span(0, shards.files[0].sentence_start(n), shards.files[0].sentence_start(n + 1)) for n in range(10)]
    whole = SentenceVectors(folder, shards, width=64).targets(spans)[VECTORS].values
    assert whole.shape == (10, WIDTH)
    unit = vectors[:10] / np.linalg.norm(vectors[:10], axis=1, keepdims=True)
    np.testing.assert_allclose(whole @ whole.T, unit @ unit.T, atol=1e-5)
    sizes = np.square(stored(folder) @ np.load(folder / "directions.npy")).mean(0)
    assert (np.diff(sizes) <= 1e-6).all()


def test_first_documents_and_then_all(folder: Path, shards: Shards, teacher: Path, tmp_path: Path) -> None:
    """The bits are the same, and texts without vectors have no target."""
    part = tmp_path / "part"
    compute_vectors(shards, teacher, part, documents=2, device="cpu")
    known = len(stored(part))
    assert known % 32 == 0 and len(shards[0]) + len(shards[1]) <= known < shards.sentences
    last = shards.files[-1]
    spans = [Span(0, 0, 5), Span(len(shards.files) - 1, 0, last.sentence_start(1))]
    target = SentenceVectors(part, shards, width=8).targets(spans)[VECTORS].values
    assert target[0].any() and not target[1].any()
    (part / "directions.npy").unlink()
    compute_vectors(shards, teacher, part, device="cpu")
    assert (part / "vectors.bin").read_bytes() == (folder / "vectors.bin").read_bytes()
    before = (part / "vectors.bin").stat().st_mtime_ns
    with sentence_vectors._locked(part):
        compute_vectors(shards, teacher, part, documents=1, device="cpu")  # nothing is left to do
        (part / "directions.npy").unlink()
        with pytest.raises(UsageError, match="Another process is computing the vectors"):
            compute_vectors(shards, teacher, part, documents=1, device="cpu")
    compute_vectors(shards, teacher, part, documents=1, device="cpu")
    assert (part / "directions.npy").read_bytes() == (folder / "directions.npy").read_bytes()
    assert len(SentenceVectors(part, shards, 8, documents=2).vectors) == known
    assert len(SentenceVectors(part, shards, 8).vectors) == shards.sentences
    assert (part / "vectors.bin").stat().st_mtime_ns == before


KILLED = """
import sys
from bertkit.data.shards import Shards
from bertkit.training.pretraining import sentence_vectors
sentence_vectors.WINDOW = 32
sentence_vectors.compute_vectors(Shards(sys.argv[1]), sys.argv[2], sys.argv[3], device="cpu")
"""


def test_killed_computations_continue(folder: Path, shards: Shards, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    words = [sys.executable, "-c", KILLED, str(shards.folder), str(teacher), str(out)]
    process = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not (out / "index.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "index.json").exists()
    with open(out / "vectors.bin", "ab") as file:
        file.write(b"half a window")
    compute_vectors(shards, teacher, out, device="cpu")
    for name in ("vectors.bin", "index.json"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()


def test_other_vectors_are_refused(folder: Path, shards: Shards, teacher: Path, tmp_path: Path) -> None:
    other = corpora.shards(tmp_path, corpora.documents(3, seed=9))
    with pytest.raises(UsageError, match="of other shards"):
        compute_vectors(other, teacher, folder, device="cpu")
    with pytest.raises(UsageError, match="of other shards"):
        SentenceVectors(folder, other, width=8)
    with pytest.raises(UsageError, match="of another teacher: remove it"):
        compute_vectors(shards, pretraining_cases.write_teacher(tmp_path / "teacher", seed=1), folder, device="cpu")
    with pytest.raises(UsageError, match="documents"):
        compute_vectors(shards, teacher, folder, documents=0, device="cpu")
    with open(folder / "vectors.bin", "r+b") as file:
        file.truncate(100)
    for call in (lambda: SentenceVectors(folder, shards, 8), lambda: compute_vectors(shards, teacher, folder)):
        with pytest.raises(DataError, match="no valid sentence vectors"):
            call()
    with pytest.raises(DataError, match="has no sentence vectors"):
        SentenceVectors(tmp_path, shards, width=8)


def padded_loss(model: Any, rows: list[Row]) -> torch.Tensor:
    """Return the mean distance, row by row and text by text."""
    found = []
    width = max(len(row) for row in rows)
    ids = torch.tensor([row.input_ids.tolist() + [0] * (width - len(row)) for row in rows])
    types = torch.tensor([row.token_type_ids.tolist() + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    states = model(ids, token_type_ids=types, attention_mask=mask).last_hidden_state
    for number, row in enumerate(rows):
        for text, target in enumerate(row.targets[VECTORS].values):
            own = states[number, : len(row)][torch.from_numpy(row.token_type_ids) == text].mean(0)[: len(target)]
            if target.any():
                found.append(1 - own @ torch.from_numpy(target) / own.norm())
    return torch.stack(found).mean()


@pytest.mark.parametrize("kind", [SentencePairs, FullSentences])
def test_loss_and_gradients_are_those_of_padded_rows(kind: Any, folder: Path, shards: Shards, tmp_path: Path) -> None:
    size = len(corpora.tokenizer())
    model = training_cases.model("Model", vocab_size=size, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    vectors = SentenceVectors(folder, shards, width=model.config.hidden_size)
    vectors.vectors = vectors.vectors[:64]  # later sentences have no vectors
    rows = list(kind(shards, max_length=24, seed=1, of_spans=vectors.targets).epoch(0))[:16]
    batch, part = pack(rows), SentenceDistance()
    assert 0 < part.weight(batch) < batch.targets[VECTORS].values[..., 0].size

    def loss(batch: Batch) -> torch.Tensor:
        ids, types = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.token_type_ids)
        states = model(ids, token_type_ids=types, lengths=batch.lengths.tolist()).last_hidden_state
        return distance(states, batch)

    gradients = []
    for value in (loss(batch), padded_loss(model, rows)):
        model.zero_grad()
        value.backward()
        gradients.append([None if p.grad is None else p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(loss(batch), padded_loss(model, rows), atol=1e-6, rtol=0)
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    pieces = [pack(rows[at : at + 5]) for at in range(0, len(rows), 5)]
    total = sum(part.weight(piece) * loss(piece) for piece in pieces) / sum(map(part.weight, pieces))
    torch.testing.assert_close(total, loss(batch), atol=1e-6, rtol=0)


def test_rows_without_vectors_have_no_loss(shards: Shards) -> None:
    row = SentencePairs(shards, max_length=16).epoch(0)[0]
    row = replace(
        row, targets={VECTORS: replace(row.targets["labels"], values=np.zeros((2, 4), np.float32), grain="row")}
    )
    states = torch.randn(len(row), 8, requires_grad=True)
    batch, part = pack([row]), SentenceDistance()
    loss = distance(states, batch)
    loss.backward()
    assert part.weight(batch) == 0 and loss == 0 and not states.grad.any()


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"(16, 16)", b"((((((((")),
        lambda file: file.write_bytes(file.read_bytes().replace(b"(16, 16), ", b"(999,9999)")),
        lambda file: np.save(file, np.zeros((16, 15), np.float32)),
        lambda file: np.save(file, np.zeros((16, 16), np.int32)),
        lambda file: np.save(file, np.full((16, 16), np.nan, np.float32)),
        lambda file: np.save(file, np.array([{}]), allow_pickle=True),
        lambda file: file.write_bytes(b"PK\x03\x04" + bytes(100)),
    ],
)
def test_damaged_directions(damage: Any, folder: Path, shards: Shards) -> None:
    damage(folder / "directions.npy")
    with pytest.raises(DataError, match="no valid sentence vectors: remove it"):
        SentenceVectors(folder, shards, width=8)


def test_vectors_that_are_not_numbers(folder: Path, shards: Shards) -> None:
    """A loss of nan would be taken for a learning rate that is too large."""
    data = np.fromfile(folder / "vectors.bin", "<f2")
    data[3] = np.nan
    data.tofile(folder / "vectors.bin")
    with pytest.raises(DataError, match="no valid sentence vectors"):
        SentenceVectors(folder, shards, width=8).targets([Span(0, 0, 5)])


def test_a_folder_of_something_else_is_not_to_be_removed(shards: Shards, teacher: Path) -> None:
    for call in (
        lambda: SentenceVectors(shards.folder, shards, width=8),
        lambda: compute_vectors(shards, teacher, shards.folder, device="cpu"),
    ):
        with pytest.raises(DataError, match=r"not of sentence vectors: choose another folder\.$"):
            call()


def test_a_file_in_the_place_of_the_folder(shards: Shards, teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is not a folder: choose another one for the vectors"):
        compute_vectors(shards, teacher, tmp_path / "file", device="cpu")
