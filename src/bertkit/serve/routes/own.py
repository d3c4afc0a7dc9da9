"""bertkit's own routes: every task of every model, with the options of its pipeline."""

from __future__ import annotations

from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from bertkit.errors import BertkitError
from bertkit.pipelines.run import Answer
from bertkit.serve.http import Call, Family, inputs_of, object_of, only
from bertkit.serve.openapi import document
from bertkit.serve.page import page
from bertkit.serve.refusals import invalid, refusal_of
from bertkit.serve.routes.endpoint import Endpoint

OWN = Family("bertkit", lambda refusal: {"error": {"kind": refusal.kind, "message": refusal.message}})


async def answer_task(call: Call) -> dict[str, Any]:
    """Answer one input or a list of inputs: `{"inputs": ..., "options": {...}, "model": ...}`."""
    body = call.json()
    only(body, ("inputs", "options", "model"))
    inputs, options = inputs_of(body), object_of(body, "options")
    if "details" in options:
        raise invalid('"details" has no effect here, as each result has its details: leave it out.')
    model = call.server.models.named(body.get("model"))
    pipe = model.pipe(call.path["task"])
    outcome = await call.answers(pipe, inputs if isinstance(inputs, list) else [inputs], options)
    results = [_result(answer) for answer in outcome.answers]
    if not isinstance(inputs, list) and isinstance(outcome.answers[0].value, Exception):
        raise outcome.answers[0].value
    return {"model": model.name, "task": pipe.task, "results": results}


def _result(answer: Answer) -> dict[str, Any]:
    """The answer to an input, or its error, and how its text was read."""
    value, reading = answer
    if isinstance(value, Exception):
        return {"error": str(value) if isinstance(value, BertkitError) else refusal_of(value).message}
    shown: dict[str, Any] = {"answer": value}
    if reading is not None:
        shown |= {"tokens": reading.n_tokens, "windows": reading.windows, "truncated": reading.truncated}
    return shown


async def list_models(call: Call) -> dict[str, Any]:
    """The models with their tasks, and OpenAI's list of models in the same object."""
    call.server.models.named(None)
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "bertkit", "tasks": list(model.pipes)}
        for name, model in call.server.models.items()
    ]
    return {"object": "list", "data": data}


async def describe(call: Call) -> dict[str, Any]:
    """The OpenAPI document of the own routes."""
    return document(call.server.models)


async def home(call: Call) -> Response:
    """A page on which people try the models. It needs no key, as it asks for one if the other routes do."""
    text, headers = page()
    return HTMLResponse(text, headers=headers)


async def is_alive(call: Call) -> Response:
    """200 while the process answers, also while it loads or stops."""
    return Response(status_code=200)


async def is_ready(call: Call) -> Response:
    """200 while requests are answered, else 503."""
    if call.server.ready:
        return Response(status_code=200)
    return JSONResponse({"error": "unhealthy", "error_type": "unhealthy"}, 503, {"retry-after": "5"})


async def metrics(call: Call) -> Response:
    """The metrics for Prometheus."""
    text = call.server.metrics.text(call.server.queue.waiting)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


ENDPOINTS = [
    Endpoint("POST", "/v1/tasks/{task}", answer_task, OWN),
    Endpoint("GET", "/v1/models", list_models, OWN),
    Endpoint("GET", "/openapi.json", describe, OWN),
    Endpoint("GET", "/", home, OWN, key=False),
    Endpoint("GET", "/metrics", metrics, OWN),
    Endpoint("GET", "/live", is_alive, OWN, key=False),
    Endpoint("GET", "/health", is_ready, OWN, key=False),
    Endpoint("GET", "/ping", is_ready, OWN, key=False),
]
