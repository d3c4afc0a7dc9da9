"""A call of each task with the tiny models of pipeline_cases, to compare the answers of two engines."""

from __future__ import annotations

from typing import Any

import pytest
from pipeline_cases import SENTENCES

MASKED = ["The [MASK] was cold.", "A heavy [MASK] closed the [MASK] for three days and cut off the island."]
PAIRS = [{"text": a, "text_pair": b} for a, b in zip(SENTENCES[:3], SENTENCES[3:6], strict=True)]
CALLS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "fill-mask": ("masked", MASKED, {}),
    "text-classification": ("tags", PAIRS, {"top_k": None}),
    "token-classification": ("names", SENTENCES[:4], {"aggregation_strategy": "simple"}),
    "question-answering": (
        "answers",
        [{"question": "Who moved?", "context": " ".join(SENTENCES[:12])}, {"question": "What?", "context": "A storm."}],
        {"top_k": 3, "handle_impossible_answer": True},
    ),
    "zero-shot-classification": ("follows", SENTENCES[:2], {"candidate_labels": ["travel", "food", "law"]}),
    "multiple-choice": (
        "choices",
        [
            {"text": "Rain is", "choices": ["expected.", "a dog.", "the soup."]},
            {"text": "It", "choices": ["is", "was"]},
        ],
        {},
    ),
    "next-sentence-prediction": ("order", PAIRS, {"top_k": None}),
    "feature-extraction": ("plain", SENTENCES[:3], {"pooling": "mean", "layers": [-1, 1], "normalize": True}),
    "sentence-similarity": ("plain", {"source_sentence": SENTENCES[0], "sentences": SENTENCES[1:4]}, {}),
    "sentence-embedding": ("plain", {"text": SENTENCES[0], "text_pair": SENTENCES[1]}, {"vectors": True}),
    "sentence-scoring": ("masked", SENTENCES[:2], {"tokens": True}),
    "pretraining": ("joint", {"text": MASKED[0], "text_pair": "The waiter was [MASK]."}, {}),
}


def assert_close(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        found, wanted = list(found.values()), list(wanted.values())
    if isinstance(wanted, list):
        for one, other in zip(found, wanted, strict=True):
            assert_close(one, other)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, abs=1e-5, rel=1e-5)
    else:
        assert found == wanted
