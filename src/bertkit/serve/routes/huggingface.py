"""Hugging Face's payload, `{"inputs": ..., "parameters": {...}}`, in two dialects.

`POST /` and `/models/...` answer as the inference API, which `huggingface_hub.InferenceClient` reads. `POST /invocations` of
SageMaker answers as the pipelines of transformers do: `pipe(inputs, **parameters)`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from bertkit.pipelines import Pipeline
from bertkit.pipelines.calls import calls_of, pop_options
from bertkit.serve.http import Call, Family, inputs_of, object_of, only
from bertkit.serve.models import Model
from bertkit.serve.refusals import Refusal, invalid
from bertkit.serve.routes.endpoint import Endpoint
from bertkit.serve.server import first_error


def _hub_error(refusal: Refusal) -> dict[str, Any]:
    body = {"error": refusal.message, "error_type": refusal.kind}
    return body | {"estimated_time": 5.0} if refusal.status == 503 else body


HUB = Family("huggingface", _hub_error)
SAGEMAKER = Family(
    "sagemaker", lambda refusal: {"code": refusal.status, "type": refusal.kind, "message": refusal.message}
)


async def inference(call: Call) -> Any:
    """Answer as the inference API."""
    body = call.json()
    only(
        body, ("inputs", "parameters", "options", "stream")
    )  # `options` has wait_for_model and use_cache, without effect
    if body.get("stream"):
        raise invalid('"stream" must be false: a text is sent when it is complete.')
    inputs, given = inputs_of(body), _parameters(body)
    model = call.server.models.named(call.path.get("model"))
    pipe = _pipe(model, call.path.get("task"), inputs, given)
    if pipe.task == "token-classification":
        given.setdefault("aggregation_strategy", "simple")
    if pipe.task == "text-classification":
        given.setdefault("top_k", None)
    found = await _pipeline(call, pipe, inputs, given)
    if pipe.task == "text-classification" and isinstance(inputs, (str, dict)):
        return [found]
    if pipe.task == "zero-shot-classification" and isinstance(inputs, str):
        return [{"label": label, "score": score} for label, score in zip(found["labels"], found["scores"], strict=True)]
    return found


async def invocations(call: Call) -> Any:
    """Answer as the pipelines of transformers. A table has a row for each input."""
    if call.request.headers.get("content-type", "").startswith("text/csv"):
        inputs, given = _table(call.content), {}
    else:
        body = call.json()
        only(body, ("inputs", "parameters"))
        inputs, given = inputs_of(body), _parameters(body)
    model = call.server.models.named(call.request.headers.get("x-amzn-sagemaker-target-model"))
    return await _pipeline(call, _pipe(model, None, inputs, given), inputs, given)


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a request, without those that are null, and with `truncate` by its name in pipelines."""
    given = object_of(body, "parameters")
    found = {name: value for name, value in given.items() if value is not None or name == "top_k"}
    found |= pop_options("generate_parameters", found)
    if "truncate" in found:
        found["on_long"] = "truncate" if found.pop("truncate") else "error"
    if found.pop("truncation_direction", "right") not in ("right", "Right"):
        raise invalid('"truncation_direction" must be "right": texts are cut off at their end.')
    return found


def _pipe(model: Model, task: str | None, inputs: Any, given: Mapping[str, Any]) -> Pipeline:
    """The pipeline for a request. Without a task, its inputs and parameters show the task if it is not the main one."""
    if task is None and isinstance(inputs, dict) and "source_sentence" in inputs:
        task = "sentence-similarity"
    if task is None and "candidate_labels" in given:
        task = "zero-shot-classification"
    return model.pipe(task)


async def _pipeline(call: Call, pipe: Pipeline, inputs: Any, given: dict[str, Any]) -> Any:
    """The result of a call of a pipeline."""
    calls = calls_of(pipe.task)
    examples, one = calls.read((inputs,), given)
    if not one and not isinstance(examples, list):
        raise invalid(f'"inputs" must be {type(pipe.task_object).takes}, or a list of these.')
    outcome = first_error(await call.answers(pipe, [examples] if one else examples, given))
    found = [answer.shown(bool(given.get("details"))) for answer in outcome.answers]
    return calls.finish(examples, found[0] if one else found, given)


def _table(content: bytes) -> list[Any]:
    """The inputs in a CSV table: its column `inputs`, or an object for each row."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refusal(400, "Validation", f"The body is not a CSV table in UTF-8: {error}.") from error
    if any(None in row or None in row.values() for row in rows):
        raise Refusal(400, "Validation", "The rows of the CSV table have different numbers of columns.")
    return [row.get("inputs", row) for row in rows]


ENDPOINTS = [
    Endpoint("POST", "/", inference, HUB),
    Endpoint("POST", "/pipeline/{task}", inference, HUB),
    Endpoint("POST", "/models/{model:path}/pipeline/{task}", inference, HUB),
    Endpoint("POST", "/models/{model:path}", inference, HUB),
    Endpoint("POST", "/invocations", invocations, SAGEMAKER),
]
