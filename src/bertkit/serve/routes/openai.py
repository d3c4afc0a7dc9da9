"""OpenAI's route for embeddings."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from bertkit.serve.http import Call, Family, inputs_of, only
from bertkit.serve.refusals import Refusal, invalid
from bertkit.serve.routes.endpoint import Endpoint
from bertkit.serve.routes.tei import cut_options, dimensions_of, shortened
from bertkit.serve.server import first_error


def _error(refusal: Refusal) -> dict[str, Any]:
    kind = "invalid_request_error" if refusal.status < 500 and refusal.status != 429 else "server_error"
    kind = "rate_limit_error" if refusal.status == 429 else kind
    code = "model_not_found" if refusal.status == 404 else refusal.kind.lower()
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": code}}


OPENAI = Family("openai", _error)


async def embeddings(call: Call) -> dict[str, Any]:
    """A vector for each text, as numbers or as base64 of float32 in little-endian order."""
    body = call.json()
    only(
        body, ("input", "model", "encoding_format", "dimensions", "user")
    )  # `user` names the user of a client: no effect
    texts = inputs_of(body, "input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise invalid('"input" must be a text or a list of texts. Ids of tokens are not accepted.')
    form = body.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise invalid('"encoding_format" must be "float" or "base64".')
    model = call.server.models.named(body.get("model"))
    options = {"pooling": "auto", "normalize": "auto", **cut_options(call, {})}
    outcome = first_error(await call.answers(model.pipe("feature-extraction"), texts, options))
    vectors = [shortened(one.value, dimensions_of(body, len(one.value)), True) for one in outcome.answers]
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if form == "base64" else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": outcome.tokens, "total_tokens": outcome.tokens}
    return {"object": "list", "data": data, "model": model.name, "usage": usage}


def _base64(vector: list[float]) -> str:
    return base64.b64encode(np.array(vector, "<f4").tobytes()).decode()


ENDPOINTS = [
    Endpoint("POST", "/v1/embeddings", embeddings, OPENAI),
    Endpoint("POST", "/embeddings", embeddings, OPENAI),
]
