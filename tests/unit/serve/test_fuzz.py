"""Hundreds of malformed requests to every route: each is refused or answered, and none is an error of the server."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
import serving

PATHS = {
    "/v1/tasks/text-classification": "inputs",
    "/v1/tasks/feature-extraction": "inputs",
    "/v1/tasks/zero-shot-classification": "inputs",
    "/v1/tasks/sentence-similarity": "inputs",
    "/embed": "inputs",
    "/embed_all": "inputs",
    "/predict": "inputs",
    "/rerank": "query",
    "/similarity": "inputs",
    "/tokenize": "inputs",
    "/decode": "ids",
    "/v1/embeddings": "input",
    "/": "inputs",
    "/models/follows": "inputs",
    "/pipeline/sentence-similarity": "inputs",
    "/invocations": "inputs",
}
NAMES = [
    "inputs", "input", "parameters", "options", "model", "query", "texts", "ids", "truncate", "normalize", "dimensions",
    "raw_scores", "encoding_format", "prompt_name", "top_k", "candidate_labels", "max_length", "overlap", "on_long",
    "function_to_apply", "pooling", "layers", "threshold", "merge", "hypothesis_template", "multi_label", "truncation",
    "tokenize_kwargs", "text_pair", "source_sentence", "sentences", "text", "details", "return_tensors", "prompt",
    "similarity_fn_name", "combine", "add_special_tokens", "return_all_scores", "question", "user",
]  # fmt: skip
PLAIN = [
    None, True, False, 0, -1, 1, 3, 10**30, 1.5, -0.0, float("inf"), "", "a", "a b c", "[MASK]", "auto", "mean", "none", "cls",
    "\u0000", "\U0001f600" * 9, "\u0301" * 50, "../../etc/passwd", "http://127.0.0.1/", "{}", "{0.__class__}", "a" * 3000,
]  # fmt: skip


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if depth > 2 or kind < 0.6:
        return rng.choice(PLAIN)
    if kind < 0.8:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(NAMES): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def body(rng: random.Random, needed: str) -> bytes:
    found = {needed: rng.choice(["a text", ["a", "b"], value(rng)])}
    for name in ("options", "parameters"):
        if rng.random() < 0.4:
            found[name] = {rng.choice(NAMES): value(rng) for _ in range(rng.randrange(3))}
    found |= {rng.choice(NAMES): value(rng) for _ in range(rng.randrange(2))}
    text = json.dumps(found).encode()
    if rng.random() < 0.15:  # damaged bytes
        position = rng.randrange(len(text))
        text = text[:position] + bytes([rng.randrange(256)]) + text[position + rng.randrange(3) :]
    return text


def test_malformed_requests(caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(int(os.environ.get("BERTKIT_FUZZ_SEED", "0")))
    statuses: dict[int, int] = {}
    with serving.client("follows", timeout=60) as client:
        for number in range(int(os.environ.get("BERTKIT_FUZZ_ROUNDS", "480"))):
            path, needed = list(PATHS.items())[number % len(PATHS)]
            sent = body(rng, needed)
            found = client.post(path, content=sent, headers={"content-type": "application/json"})
            assert found.status_code in (200, 400, 404, 413, 415, 422, 424), (path, sent, found.text)
            assert found.status_code != 424 or path == "/rerank"
            assert json.loads(found.content) is not None
            statuses[found.status_code] = statuses.get(found.status_code, 0) + 1
        assert client.post("/predict", json={"inputs": "a"}).status_code == 200
        assert client.app.state.server.queue.waiting == 0  # type: ignore[attr-defined]
        assert client.app.state.server.queue._requests == 0  # type: ignore[attr-defined]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert statuses[200] > 20
    assert statuses[422] > 100
