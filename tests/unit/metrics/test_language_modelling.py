"""Loss, perplexity and accuracy compared with PyTorch, for any floating-point dtype, with little memory."""

from __future__ import annotations

import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertkit import metrics
from bertkit.errors import UsageError


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(2, 40), st.sampled_from(["<f4", "<f8", "<f2"]))
def test_torch(seed: int, tokens: int, words: int, dtype: str) -> None:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 20, (2, tokens, words)).astype(dtype)
    references = generator.integers(0, words, (2, tokens))
    references[generator.random((2, tokens)) < 0.5] = -100
    references[0, 0] = 1
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits).double().reshape(-1, words), torch.tensor(references).reshape(-1)
    ).item()
    scores = metrics.LanguageModelling()
    for row in range(2):
        scores.update(logits[row], references[row])
    found = scores.compute()
    counted = references != -100
    assert found["loss"] == pytest.approx(expected, rel=1e-9)
    assert found["perplexity"] == pytest.approx(math.exp(expected), rel=1e-9)
    assert found["accuracy"] == (logits.argmax(-1) == references)[counted].mean()
    assert found["tokens"] == counted.sum()
    assert metrics.perplexity(metrics.log_likelihoods(logits, references)) == pytest.approx(found["perplexity"])


def test_many_rows_at_once() -> None:
    """More rows than are converted to double precision at once."""
    logits = np.random.default_rng(0).normal(size=(1000, 7)).astype(np.float32)
    references = np.arange(1000) % 7
    expected = torch.log_softmax(torch.tensor(logits).double(), -1).numpy()[np.arange(1000), references]
    assert metrics.log_likelihoods(logits, references) == pytest.approx(expected, abs=1e-12)


def test_a_stream_keeps_no_logits() -> None:
    logits = np.zeros((64, 5000), np.float32)
    scores = metrics.LanguageModelling()
    scores.update(logits, np.zeros(64, int))
    tracemalloc.start()
    for _ in range(20):
        scores.update(logits, np.zeros(64, int))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 20_000
    assert scores.compute()["perplexity"] == pytest.approx(5000)


def test_bfloat16_and_tensors() -> None:
    logits = np.array([[1, 2], [3, 1]], ml_dtypes.bfloat16)
    expected = metrics.log_likelihoods([[1.0, 2.0], [3.0, 1.0]], [0, 1])
    assert metrics.log_likelihoods(logits, [0, 1]) == pytest.approx(expected)
    assert metrics.log_likelihoods(torch.tensor([[1.0, 2], [3, 1]]), torch.tensor([0, 1])) == pytest.approx(expected)
    with pytest.raises(UsageError, match=r"tensor.detach\(\).float\(\)"):
        metrics.log_likelihoods(torch.zeros(1, 2, requires_grad=True), [0])
    with pytest.raises(UsageError, match=r"tensor.detach\(\).float\(\)"):
        metrics.log_likelihoods(torch.zeros(1, 2, dtype=torch.bfloat16), [0])


def test_pseudo_perplexity() -> None:
    """Tokens masked one by one, in two sentences. Without logits there is no accuracy."""
    scores = metrics.LanguageModelling()
    scores.add(np.log([0.5, 0.25]))
    scores.add(np.log([0.5]))
    assert scores.compute() == pytest.approx({"loss": math.log(16) / 3, "perplexity": 16 ** (1 / 3), "tokens": 3})
    assert metrics.perplexity(np.log([0.5, 0.25, 0.5])) == pytest.approx(16 ** (1 / 3))


def test_edges() -> None:
    assert math.isnan(metrics.perplexity([])) and math.isnan(metrics.LanguageModelling().compute()["loss"])
    assert metrics.perplexity([-1e6]) == math.inf
    assert metrics.log_likelihoods([[0.0, -math.inf]], [1]).tolist() == [-math.inf]
    assert metrics.log_likelihoods([[0.0, 1.0]], [-100]).tolist() == metrics.log_likelihoods([], []).tolist() == []
    assert np.isnan(metrics.log_likelihoods([[math.nan, 1.0]], [1])).all()


@pytest.mark.parametrize(
    ("logits", "references", "match"),
    [
        ([[0.0, 1.0]], [2], "ids from 0 to 1"),
        ([[0.0, 1.0]], [-1], "Use -100 for tokens to ignore"),
        ([[0.0, 1.0]], [0, 1], "Pass a row of logits for each"),
        ([[0.0, 1.0]], [0.5], "references are ids"),
        ([["a", "b"]], [0], "must be numbers"),
    ],
)
def test_invalid_arguments(logits: object, references: object, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        metrics.LanguageModelling().update(logits, references)  # type: ignore[arg-type]
