"""The OpenAPI document of the own routes, derived from the options of the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bertkit.search.settings import GenerationConfig
from bertkit.serve.models import Model
from bertkit.tasks import task_class
from bertkit.tasks.writing import SETTINGS

_TYPES: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    NoneType: {"type": "null"},
}
_HIDDEN = ("details", "return_tensors", "settings")
"""Options of pipelines that have no meaning in a request, or other names there."""


def document(models: Mapping[str, Model]) -> dict[str, Any]:
    """The document for the tasks of these models."""
    from bertkit import __version__

    tasks = dict.fromkeys(task for model in models.values() for task in model.pipes)
    paths: dict[str, Any] = {f"/v1/tasks/{task}": {"post": _operation(task, list(models))} for task in tasks}
    return {
        "openapi": "3.1.0",
        "info": {"title": "bertkit", "version": __version__},
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(task: str, models: list[str]) -> dict[str, Any]:
    job = task_class(task)
    body = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "inputs": {"description": f"One input, which is {job.takes}, or a list of inputs."},
            "options": _options(job.options_type, SETTINGS if job.writes else ()),
            "model": {"enum": models},
        },
    }
    refused = {"description": "refused", "content": {"application/json": {"schema": _ERROR}}}
    answered = {"description": "a result for each input", "content": {"application/json": {"schema": _RESULTS}}}
    codes = ("400", "401", "404", "413", "415", "422", "429", "500", "503", "504")
    return {
        "summary": task,
        "operationId": task.replace("-", "_"),
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": answered, **dict.fromkeys(codes, refused)},
        "security": [{"key": []}, {}],
    }


_TEXT = {"type": "string"}
_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "object", "properties": {"kind": _TEXT, "message": _TEXT}}},
}
_RESULT = {
    "answer": {},
    "error": _TEXT,
    "tokens": {"type": "integer"},
    "windows": {"type": "integer"},
    "truncated": {"type": "boolean"},
}
_RESULTS = {
    "type": "object",
    "properties": {
        "model": _TEXT,
        "task": _TEXT,
        "results": {"type": "array", "items": {"type": "object", "properties": _RESULT}},
    },
}


def _options(kind: Any, settings: Sequence[str] = ()) -> dict[str, Any]:
    """The schema of the options of a task, with settings of `generate`.

    >>> from bertkit.tasks.question_answering import QuestionAnsweringOptions
    >>> _options(QuestionAnsweringOptions)["properties"]["top_k"]
    {'type': 'integer', 'default': 1}
    """
    hints = get_type_hints(kind)
    properties = {}
    for one in fields(kind):
        if one.name not in _HIDDEN:
            default = {} if one.default is MISSING else {"default": one.default}
            properties[one.name] = schema_of(hints[one.name]) | default
    of_generate = get_type_hints(GenerationConfig)
    properties |= {name: schema_of(of_generate[name]) for name in settings}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def schema_of(hint: Any) -> dict[str, Any]:
    """The schema of a type.

    >>> schema_of(int | None)
    {'anyOf': [{'type': 'integer'}, {'type': 'null'}]}
    """
    if hint in _TYPES:
        return dict(_TYPES[hint])
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return {"enum": list(inner)}
    if (inner and get_origin(hint) in (list, tuple)) or str(get_origin(hint)).endswith("abc.Sequence'>"):
        return {"type": "array", "items": schema_of(inner[0])}
    if (inner and type(None) in inner) or str(get_origin(hint)).endswith(("Union", "UnionType'>")):
        return {"anyOf": [schema_of(one) for one in inner]}
    return {}
