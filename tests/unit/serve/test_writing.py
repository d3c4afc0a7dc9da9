"""The tasks that write on a server: their answers are those of pipelines, their length is bounded, and unwanted texts end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from threading import Event
from typing import Any

import pipeline_models
import pytest
import serving
import writing_cases
from starlette.testclient import TestClient

from bertkit import pipeline
from bertkit.pipelines.calls import options_of
from bertkit.serve import Settings
from bertkit.serve.aws_lambda import Function
from bertkit.serve.queue import Queue
from bertkit.serve.waiting import Outcome
from bertkit.tensors import Array

TEXTS = ["Anna moved to Paris.", "The soup was cold.", "The film"]
PLAIN = {"max_new_tokens": 6, "do_sample": False}


def places() -> dict[str, str]:
    return {"decoder": str(pipeline_models.folder("decoder")), "pair": str(writing_cases.pair_folder())}


def expected(task: str, inputs: Any, **options: Any) -> Any:
    name = "decoder" if task == "text-generation" else "pair"
    return pipeline(task, places()[name], engine="torch").each(inputs, **options)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving.client(models=places(), engine="torch", max_new_tokens=9) as found:
        yield found


@pytest.mark.parametrize("task", writing_cases.TASKS)
def test_own_route(task: str, client: TestClient) -> None:
    """A batch of prompts of different lengths."""
    model = "decoder" if task == "text-generation" else "pair"
    body = {"inputs": [*TEXTS, 3], "options": PLAIN, "model": model}
    found = client.post(f"/v1/tasks/{task}", json=body)
    assert found.status_code == 200, found.text
    *results, wrong = found.json()["results"]
    assert [one["answer"] for one in results] == expected(task, TEXTS, **PLAIN)
    assert "takes a text" in wrong["error"]
    sampled = {"max_new_tokens": 6, "do_sample": True, "seed": 1}
    alone = client.post(f"/v1/tasks/{task}", json={"inputs": TEXTS[0], "options": sampled, "model": model}).json()
    assert alone["results"][0]["answer"] == expected(task, TEXTS[:1], **sampled)[0]


def test_the_models(client: TestClient) -> None:
    tasks = {one["id"]: one["tasks"] for one in client.get("/v1/models").json()["data"]}
    assert tasks["pair"] == ["summarization", "text2text-generation"]
    assert {"sentence-scoring", "feature-extraction", "text-generation"} <= set(tasks["decoder"])
    scored = client.post("/v1/tasks/sentence-scoring", json={"inputs": TEXTS[0]})
    assert scored.status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    body = paths["/v1/tasks/summarization"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    options = body["properties"]["options"]["properties"]
    assert options["num_beams"] == {"type": "integer"}
    assert options["max_new_tokens"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert "settings" not in options and "return_tensors" not in options
    with serving.client(models={"pair": places()["pair"]}, engine="torch") as other:
        assert other.get("/info").status_code == 422
        assert other.post("/embed", json={"inputs": "a"}).status_code == 422
        assert other.post("/invocations", json={"inputs": "a"}).status_code == 200


def test_the_main_task_of_a_decoder() -> None:
    """--task text-generation keeps the other tasks of the model."""
    with serving.client(models={"a": places()["decoder"]}, engine="torch", task="text-generation") as client:
        found = client.post("/", json={"inputs": "The film", "parameters": PLAIN})
        assert found.json() == expected("text-generation", ["The film"], **PLAIN)[0]
        assert client.post("/v1/tasks/feature-extraction", json={"inputs": "The film"}).status_code == 200


def test_hugging_face_and_sagemaker(client: TestClient) -> None:
    one = expected("summarization", TEXTS[:1], **PLAIN)[0]
    hub = client.post("/models/pair", json={"inputs": TEXTS[0], "parameters": {"generate_parameters": PLAIN}})
    assert hub.json() == one
    path = "/models/decoder/pipeline/text-generation"
    new = client.post(
        path, json={"inputs": TEXTS[0], "parameters": {**PLAIN, "return_full_text": False}, "stream": False}
    )
    whole = expected("text-generation", TEXTS[:1], **PLAIN)[0][0]["generated_text"]
    assert new.json() == [{"generated_text": whole.removeprefix(TEXTS[0])}]
    stream = client.post(path, json={"inputs": TEXTS[0], "stream": True})
    assert stream.status_code == 422 and "stream" in stream.json()["error"]
    header = {"x-amzn-sagemaker-target-model": "pair"}
    both = client.post("/invocations", json={"inputs": TEXTS[:2], "parameters": PLAIN}, headers=header)
    assert both.json() == [answer[0] for answer in expected("summarization", TEXTS[:2], **PLAIN)]


def test_lambda() -> None:
    function = Function(Settings(models={"pair": places()["pair"]}, engine="torch"))
    found = function.answer({"inputs": TEXTS[0], "parameters": PLAIN})
    assert found == expected("summarization", TEXTS[:1], **PLAIN)[0]
    function.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 10}, "accepts 9"),
        ({"max_length": 10}, "accepts 9"),
        ({"num_beams": 33}, "accepts 32"),
        ({"num_beams": 2, "num_return_sequences": 40}, "num_return_sequences"),
        ({"max_new_tokens": "a"}, "max_new_tokens"),
        ({"min_tokens": 3}, "no option"),
        ({"return_tensors": True}, "return_tensors"),
    ],
)
def test_limits(options: dict[str, Any], message: str, client: TestClient) -> None:
    found = client.post("/v1/tasks/summarization", json={"inputs": TEXTS[0], "options": options, "model": "pair"})
    assert found.status_code == 422
    assert message in found.json()["error"]["message"]


def test_the_usual_length_is_bounded(client: TestClient) -> None:
    found = client.post("/v1/tasks/text2text-generation", json={"inputs": TEXTS, "model": "pair"}).json()
    assert [one["answer"] for one in found["results"]] == expected("text2text-generation", TEXTS, max_new_tokens=9)


def test_a_text_that_nobody_waits_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is cancelled, as after its timeout, stops at the next word. Later requests are answered."""
    pipe = pipeline("text2text-generation", places()["pair"], engine="torch")
    options = options_of(pipe.task, {"max_new_tokens": 20, "min_new_tokens": 20, "do_sample": False})
    written: list[Array] = []
    run = pipe.engine.run

    def noted(*given: Any) -> dict[str, Array]:
        written.append(run(*given)["sequences"])
        return {"sequences": written[-1]}

    monkeypatch.setattr(pipe.engine, "run", noted)
    first: Future[Outcome] = Future()
    submitted = Event()
    queue = Queue(on_batch=lambda examples, tokens: submitted.wait(60) and first.cancel())  # before the batch runs
    first = queue.submit(pipe, TEXTS[:1], options)
    submitted.set()
    with pytest.raises(CancelledError):
        first.result(60)
    assert queue.submit(pipe, TEXTS[:1], options).result(60).answers[0].value
    queue.close()
    assert [texts.shape[2] for texts in written] == [2, 21]  # with the word that texts begin with


def test_batches_count_the_new_words() -> None:
    """Each text of a batch counts with its own tokens and all words that it may get."""
    pipe = pipeline("summarization", places()["pair"], engine="torch")
    batches: list[tuple[int, int]] = []
    queue = Queue(on_batch=lambda examples, tokens: batches.append((examples, tokens)))
    options = options_of(pipe.task, {"max_new_tokens": 5, "num_beams": 3})
    found = queue.submit(pipe, TEXTS[:1], options).result(60)
    queue.close()
    assert batches == [(1, found.tokens + 15)]
    assert json.dumps(found.answers[0].value)
