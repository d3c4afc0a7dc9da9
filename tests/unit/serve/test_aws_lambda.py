"""Lambda: events of each kind, and the loop against a runtime API on this machine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pipeline_models
import pytest
import serving

from bertkit.errors import UsageError
from bertkit.serve.aws_lambda import Function
from bertkit.serve.settings import Settings

TEXT = "Anna moved to Paris."


def of_url(path: str, body: str, **given: Any) -> dict[str, Any]:
    """An event of a function URL."""
    context = {"http": {"method": "POST", "path": path}}
    headers = {"Content-Type": "application/json"}
    return {"version": "2.0", "rawPath": path, "requestContext": context, "headers": headers, "body": body, **given}


def test_events() -> None:
    function = Function(serving.settings("two"))
    expected = pipeline_models.ours("text-classification", "two")(TEXT)
    direct = function.answer({"inputs": TEXT})
    assert direct[0]["label"] == expected[0]["label"]
    assert direct[0]["score"] == pytest.approx(expected[0]["score"], abs=1e-5)
    body = json.dumps({"inputs": TEXT})
    encoded = base64.b64encode(body.encode()).decode()
    events = [
        of_url("/invocations", body),
        of_url("/invocations", encoded, isBase64Encoded=True),
        {"httpMethod": "POST", "path": "/invocations", "headers": {"content-type": "application/json"}, "body": body},
    ]
    for event in events:
        found = function.answer(event)
        assert found["statusCode"] == 200
        assert json.loads(found["body"]) == direct
        assert found["headers"]["content-type"] == "application/json"
    assert function.answer(of_url("/predict", body))["statusCode"] == 200
    assert function.answer(of_url("/pre%64ict", body))["statusCode"] == 200  # servers decode paths
    assert function.answer(of_url("/nowhere", body))["statusCode"] == 404
    assert function.answer(of_url("/predict", "%%%", isBase64Encoded=True))["statusCode"] == 400
    assert function.answer({"httpMethod": "GET", "path": "/ping", "headers": None, "body": None})["statusCode"] == 200
    for wrong in ({}, "text", {"inputs": 3}, [1]):
        with pytest.raises(UsageError, match="Validation"):
            function.answer(wrong)
    function.close()


def test_the_key_of_events() -> None:
    function = Function(serving.settings("two", api_key="k"))
    event = of_url("/predict", json.dumps({"inputs": TEXT}))
    assert function.answer(event)["statusCode"] == 401
    event["headers"]["Authorization"] = "Bearer k"
    assert function.answer(event)["statusCode"] == 200
    function.close()


def test_settings_of_the_environment() -> None:
    given = {"BERTKIT_MODEL": "a,b=c", "BERTKIT_AUTO_TRUNCATE": "true", "BERTKIT_CORS_ALLOW_ORIGIN": "https://a"}
    found = Settings.of_environment(given)
    assert found.models == {"a": "a", "b": "c"}
    assert found.auto_truncate
    assert found.cors_allow_origin == ("https://a",)
    with pytest.raises(UsageError, match="BERTKIT_TIMEOUT"):
        Settings.of_environment({"BERTKIT_MODEL": "a", "BERTKIT_TIMEOUT": "soon"})


def start(api: serving.RuntimeApi, model: Path | str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "BERTKIT_MODEL": str(model),
        "BERTKIT_ENGINE": "numpy",
    }
    command = [sys.executable, "-m", "bertkit.serve.aws_lambda"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def test_the_loop_of_an_image() -> None:
    api = serving.RuntimeApi()
    process = start(api, pipeline_models.folder("two"))
    try:
        api.events.put({"inputs": TEXT})
        path, found = api.answers.get(timeout=60)
        assert path == "/2018-06-01/runtime/invocation/id-1/response"
        assert found[0]["label"] in ("BAD", "GOOD")
        api.events.put({"inputs": 3})
        path, found = api.answers.get(timeout=60)
        assert path.endswith("/invocation/id-1/error")
        assert found["errorType"] == "UsageError"
    finally:
        process.kill()
        process.wait()
        api.close()


def test_a_model_that_cannot_be_opened(tmp_path: Path) -> None:
    api = serving.RuntimeApi()
    process = start(api, tmp_path / "missing")
    path, found = api.answers.get(timeout=60)
    assert path == "/2018-06-01/runtime/init/error"
    assert found["errorType"] == "HubError"
    assert process.wait(30) != 0
    api.close()
