"""The routes of each family, with tiny models: answers are those of pipelines, and every status is provoked."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import httpx
import numpy as np
import pipeline_models
import pytest
import serving

from bertkit.errors import UsageError
from bertkit.serve import Settings, app
from bertkit.serve.application import app_of
from bertkit.serve.server import Server

TEXTS = ["Anna moved to Paris.", "The soup was cold."]


def close_to(value: Any) -> Any:
    """The value, whose numbers are compared within 1e-5, or 1e-6 of a large perplexity."""
    if isinstance(value, dict):
        return {name: close_to(one) for name, one in value.items()}
    if isinstance(value, list):
        return [close_to(one) for one in value]
    return pytest.approx(value, rel=1e-6, abs=1e-5) if isinstance(value, float) else value


@pytest.mark.parametrize(
    ("name", "task", "inputs", "options"),
    [
        ("two", "text-classification", TEXTS, {"top_k": 2}),
        ("two", "sentiment-analysis", [{"text": "a", "text_pair": "b"}], {}),
        ("names", "ner", TEXTS, {"aggregation_strategy": "simple"}),
        ("masked", "fill-mask", ["The [MASK] was cold."], {"top_k": 3}),
        ("answers", "question-answering", [{"question": "Who?", "context": TEXTS[0]}], {"top_k": 2}),
        ("follows", "zero-shot-classification", TEXTS, {"candidate_labels": ["food", "law"]}),
        ("choices", "multiple-choice", [{"text": "It rains.", "choices": TEXTS}], {}),
        ("order", "next-sentence-prediction", [{"text": TEXTS[0], "text_pair": TEXTS[1]}], {}),
        ("plain", "feature-extraction", TEXTS, {"pooling": "mean"}),
        ("plain", "similarity", [{"source_sentence": TEXTS[0], "sentences": TEXTS}], {}),
        ("masked", "sentence-scoring", TEXTS, {}),
    ],
)
def test_own_route(name: str, task: str, inputs: list[Any], options: dict[str, Any]) -> None:
    with serving.client(name) as client:
        found = client.post(f"/v1/tasks/{task}", json={"inputs": inputs, "options": options})
        one = client.post(f"/v1/tasks/{task}", json={"inputs": inputs[0], "options": options})
    expected = pipeline_models.ours(task, name).each(inputs, **options)
    assert found.status_code == one.status_code == 200
    results = found.json()["results"]
    assert [result["answer"] for result in results] == close_to(json.loads(json.dumps(expected)))
    assert one.json()["results"][0]["answer"] == close_to(json.loads(json.dumps(expected[0])))
    assert all(set(result) == {"answer", "tokens", "windows", "truncated"} for result in results)
    assert found.headers["x-compute-tokens"] == str(sum(result["tokens"] for result in results))


def test_an_invalid_input_among_others() -> None:
    with serving.client("two") as client:
        found = client.post("/v1/tasks/text-classification", json={"inputs": ["a", 3]})
        one = client.post("/v1/tasks/text-classification", json={"inputs": 3})
    assert found.status_code == 200
    assert found.json()["results"][0]["answer"]["label"] in ("BAD", "GOOD")
    assert "takes a text" in found.json()["results"][1]["error"]
    assert one.status_code == 422
    assert one.json()["error"]["kind"] == "Validation"


def test_several_models() -> None:
    with serving.client("two", "names") as client:
        assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["two", "names"]
        found = client.post("/v1/tasks/ner", json={"inputs": TEXTS, "model": "names"})
        assert found.json()["model"] == "names"
        wrong = client.post("/v1/tasks/ner", json={"inputs": TEXTS})
        unknown = client.post("/v1/tasks/ner", json={"inputs": TEXTS, "model": "three"})
        assert client.get("/v1/models").json()["data"][0]["tasks"][0] == "text-classification"
    assert (wrong.status_code, unknown.status_code) == (422, 404)
    assert "text-classification" in wrong.json()["error"]["message"]
    assert "two, names" in unknown.json()["error"]["message"]


def test_an_engine_that_cannot_write() -> None:
    with serving.client("decoder") as client:
        assert "text-generation" not in client.get("/v1/models").json()["data"][0]["tasks"]
        assert client.post("/v1/tasks/sentence-scoring", json={"inputs": TEXTS}).status_code == 200
        assert client.post("/v1/tasks/text-generation", json={"inputs": TEXTS}).status_code == 422


def test_the_openapi_document() -> None:
    with serving.client("two") as client:
        found = client.get("/openapi.json").json()
    body = found["paths"]["/v1/tasks/text-classification"]["post"]["requestBody"]["content"]["application/json"]
    options = body["schema"]["properties"]["options"]["properties"]
    assert options["on_long"] == {"enum": ["truncate", "window", "error"], "default": "truncate"}
    assert options["function_to_apply"]["anyOf"][0] == {"enum": ["sigmoid", "softmax", "none"]}
    assert "details" not in options


# Routes of text-embeddings-inference


def test_tei_vectors() -> None:
    pipe = pipeline_models.ours("feature-extraction", "plain")
    vectors = [pipe.each([text], pooling="mean", normalize=False)[0] for text in TEXTS]
    lengths = [np.linalg.norm(vector) for vector in vectors]
    with serving.client("plain") as client:
        unit = client.post("/embed", json={"inputs": TEXTS}).json()
        raw = client.post("/embed", json={"inputs": TEXTS[0], "normalize": False}).json()
        short = client.post("/embed", json={"inputs": TEXTS[0], "dimensions": 4}).json()
        tokens = client.post("/embed_all", json={"inputs": TEXTS[0], "truncate": True}).json()
        near = client.post("/similarity", json={"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS}}).json()
    assert unit == close_to([list(np.array(v) / n) for v, n in zip(vectors, lengths, strict=True)])
    assert raw == close_to([list(vectors[0])])
    assert np.linalg.norm(short[0]) == pytest.approx(1, abs=1e-5) and len(short[0]) == 4
    assert np.mean(tokens[0], axis=0) == pytest.approx(np.array(raw[0]), abs=1e-5)
    assert near[0] == pytest.approx(1, abs=1e-5)


def test_tei_predict_and_rerank() -> None:
    pipe = pipeline_models.ours("text-classification", "two")
    with serving.client("two") as client:
        one = client.post("/predict", json={"inputs": TEXTS[0]}).json()
        pair = client.post("/predict", json={"inputs": TEXTS}).json()
        batch = client.post("/predict", json={"inputs": [[TEXTS[0]], TEXTS]}).json()
        raw = client.post("/predict", json={"inputs": TEXTS[0], "raw_scores": True}).json()
        wrong = client.post("/rerank", json={"query": "a", "texts": TEXTS})
    assert one == close_to([{"score": x["score"], "label": x["label"]} for x in pipe.each(TEXTS[:1], top_k=None)[0]])
    assert batch == close_to([one, pair])
    assert pair != one
    assert sum(x["score"] for x in one) == pytest.approx(1)
    assert sum(x["score"] for x in raw) != pytest.approx(1)
    assert (wrong.status_code, wrong.json()["error_type"]) == (424, "Backend")
    pipe = pipeline_models.ours("text-classification", "stars")
    with serving.client("stars") as client:
        found = client.post("/rerank", json={"query": "a film", "texts": TEXTS, "return_text": True}).json()
        info = client.get("/info").json()
    expected = pipe.each([{"text": "a film", "text_pair": text} for text in TEXTS], function_to_apply="sigmoid")
    best = sorted(range(2), key=lambda index: -expected[index]["score"])
    assert found == close_to([{"index": i, "score": expected[i]["score"], "text": TEXTS[i]} for i in best])
    assert "reranker" in info["model_type"]


def test_tei_tokens() -> None:
    tokenizer = pipeline_models.tokenizer()
    with serving.client("two") as client:
        found = client.post("/tokenize", json={"inputs": TEXTS[0]}).json()[0]
        bare = client.post("/tokenize", json={"inputs": TEXTS, "add_special_tokens": False}).json()
        text = client.post("/decode", json={"ids": [token["id"] for token in found]}).json()
        wrong = client.post("/decode", json={"ids": [10**9]})
    assert [token["id"] for token in found] == tokenizer(TEXTS[0])["input_ids"]
    assert found[0] == {"id": tokenizer.cls_token_id, "text": "[CLS]", "special": True, "start": None, "stop": None}
    assert found[1]["text"] == TEXTS[0][found[1]["start"] : found[1]["stop"]]
    assert len(bare) == 2 and not any(token["special"] for token in bare[0])
    assert text == [tokenizer.decode(tokenizer(TEXTS[0])["input_ids"], skip_special_tokens=True)]
    assert wrong.status_code == 422


def test_texts_that_are_too_long() -> None:
    long = "a " * 100
    with serving.client("plain", auto_truncate=False) as client:
        assert client.post("/embed", json={"inputs": long}).status_code == 422
        assert client.post("/embed", json={"inputs": long, "truncate": True}).status_code == 200
        assert client.post("/v1/embeddings", json={"input": long}).status_code == 422
    with serving.client("plain", auto_truncate=True, max_input_length=200) as client:
        assert client.post("/embed", json={"inputs": long}).status_code == 200
        assert client.post("/embed", json={"inputs": long, "truncate": False}).status_code == 422
        found = client.post("/embed", json={"inputs": "a " * 300})
    assert found.status_code == 422
    assert "200" in found.json()["error"]


# The other families


def test_openai_embeddings() -> None:
    with serving.client("plain") as client:
        numbers = client.post("/v1/embeddings", json={"input": TEXTS, "model": "plain"}).json()
        encoded = client.post(
            "/embeddings", json={"input": TEXTS[0], "encoding_format": "base64", "dimensions": 4}
        ).json()
        vectors = client.post("/embed", json={"inputs": TEXTS}).json()
        wrong = client.post("/v1/embeddings", json={"input": TEXTS, "model": "ada"})
        ids = client.post("/v1/embeddings", json={"input": [1, 2]})
    assert [one["embedding"] for one in numbers["data"]] == close_to(vectors)
    assert numbers["usage"]["prompt_tokens"] == numbers["usage"]["total_tokens"] > 4
    short = np.frombuffer(base64.b64decode(encoded["data"][0]["embedding"]), "<f4")
    first = np.array(vectors[0][:4])
    assert short == pytest.approx(first / np.linalg.norm(first), abs=1e-5)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "model_not_found")
    assert (ids.status_code, ids.json()["error"]["type"]) == (422, "invalid_request_error")


def test_hugging_face_and_sagemaker() -> None:
    pipe = pipeline_models.ours("text-classification", "two")
    with serving.client("two") as client:
        api = client.post("/", json={"inputs": TEXTS[0], "parameters": {"top_k": 1}}).json()
        every = client.post("/models/two", json={"inputs": TEXTS[0]}).json()
        toolkit = client.post("/invocations", json={"inputs": TEXTS}).json()
        one = client.post("/invocations", json={"inputs": TEXTS[0], "parameters": {"function_to_apply": "NONE"}}).json()
        table = client.post("/invocations", content="inputs\na\nb\n", headers={"content-type": "text/csv"}).json()
        wrong = client.post("/invocations", json={"inputs": TEXTS, "parameters": {"top": 1}})
    assert api == [close_to(pipe.each([TEXTS[0]], top_k=1)[0])]
    assert len(every[0]) == 2
    assert toolkit == close_to(pipe(TEXTS))
    assert one == close_to(pipe(TEXTS[0], function_to_apply="none"))
    assert table == close_to(pipe(["a", "b"]))
    assert wrong.status_code == 422
    assert set(wrong.json()) == {"code", "type", "message"}
    with serving.client("answers") as client:
        inputs = {"question": "Who moved?", "context": TEXTS[0]}
        found = client.post("/invocations", json={"inputs": inputs}).json()
        rows = client.post(
            "/invocations", content="question,context\nWho?,Anna came.\n", headers={"content-type": "text/csv"}
        )
    assert found == close_to(pipeline_models.ours("question-answering", "answers")(inputs))
    assert rows.status_code == 200


# Refusals


def test_every_refusal_of_a_body() -> None:
    """The status of a request with a certain body, with the path of each family."""
    json_type = {"content-type": "application/json"}
    cases: list[tuple[int, Any, dict[str, str]]] = [
        (400, b"{", json_type),
        (400, b"\xff\xfe", json_type),
        (400, b"[" * 100_000, json_type),
        (400, b'{"inputs": "\\ud800"}', json_type),
        (400, b'{"inputs": ' + b"9" * 5000 + b"}", json_type),
        (400, b"[1]", json_type),
        (413, b"a" * 200_001, json_type),
        (415, b"a=b", {"content-type": "application/x-www-form-urlencoded"}),
        (415, b"{}", {}),
        (415, b"{}", {**json_type, "content-encoding": "gzip"}),
        (415, b"{}", {**json_type, "transfer-encoding": "gzip, chunked"}),
        (422, b"{}", json_type),
        (422, b'{"inputs": null, "input": null}', json_type),
        (422, b'{"inputs": "a", "unknown": 1}', json_type),
    ]
    paths = ["/v1/tasks/feature-extraction", "/embed", "/v1/embeddings", "/", "/invocations", "/tokenize"]
    with serving.client("plain", payload_limit=200_000) as client:
        for path in paths:
            for status, body, headers in cases:
                found = client.post(path, content=body, headers=headers)
                assert found.status_code == status, (path, body[:20], found.text)
                assert found.headers["x-request-id"]
                assert isinstance(found.json(), dict)
        for path, wrong in (
            ("/embed", {"truncate": 1}), ("/embed", {"normalize": 0}), ("/", {"parameters": []}), ("/", {"parameters": ""}),
            ("/similarity", {"parameters": []}), ("/v1/tasks/feature-extraction", {"options": []}),
        ):  # fmt: skip
            assert client.post(path, json={"inputs": "a", **wrong}).status_code == 422, (path, wrong)
        many = client.post("/embed", json={"inputs": ["a"] * 33})
        empty = client.post("/embed", json={"inputs": []})
        assert client.get("/nowhere").status_code == 404
        assert client.get("/embed").status_code == 405
        assert client.get("/embed").headers["allow"] == "POST"
    assert (many.status_code, empty.status_code) == (422, 400)
    assert empty.json()["error_type"] == "Empty"


def test_a_body_without_a_length_is_bounded() -> None:
    with serving.client("plain", payload_limit=1000) as client:
        found = client.post("/embed", content=(b"a" * 100 for _ in range(10**6)), headers={"content-type": "a"})
    assert found.status_code == 413


def test_the_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "bertkit.serve"), serving.client("two", api_key="secret-key") as client:
        assert client.post("/predict", json={"inputs": "a"}).status_code == 401
        for key in ("Bearer secret-ke", "Basic secret-key", "Bearer ключ", "Bearer"):
            found = client.get("/info", headers=[(b"authorization", key.encode())])
            assert found.status_code == 401
            assert found.headers["www-authenticate"] == "Bearer"
        assert client.get("/info", headers={"authorization": "Bearer secret-key"}).status_code == 200
        assert [client.get(path).status_code for path in ("/health", "/ping", "/live")] == [200] * 3
        assert client.get("/metrics").status_code == 401
    assert "secret-key" not in caplog.text + repr([vars(record) for record in caplog.records])
    assert "secret-key" not in repr(serving.settings("two", api_key="secret-key"))


def test_other_origins_are_not_allowed() -> None:
    origin = {"origin": "https://example.org"}
    with serving.client("two") as client:
        assert "access-control-allow-origin" not in client.get("/info", headers=origin).headers
    with serving.client("two", cors_allow_origin=("https://example.org",)) as client:
        assert client.get("/info", headers=origin).headers["access-control-allow-origin"] == "https://example.org"
        other = client.get("/info", headers={"origin": "https://other.org"})
        assert "access-control-allow-origin" not in other.headers


def test_request_ids() -> None:
    with serving.client("two") as client:
        assert client.get("/info", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
        made = client.get("/info", headers={"x-request-id": "a b"}).headers["x-request-id"]
    assert len(made) == 32


def test_while_loading_overloaded_late_and_stopping() -> None:
    """503 before the models are there, 429 with a full queue, 504 after the timeout, 503 after the end."""

    async def main() -> None:
        server = Server(serving.settings("two", max_concurrent_requests=1, timeout=0.3))
        transport = httpx.ASGITransport(app_of(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            loading = await client.post("/predict", json={"inputs": "a"})
            hub = await client.post("/", json={"inputs": "a"})
            assert [loading.status_code, hub.status_code] == [503, 503]
            assert (await client.get("/health")).status_code == 503
            assert (await client.get("/live")).status_code == 200
            assert "estimated_time" in hub.json()
            assert loading.headers["retry-after"]
            async with server.running():
                while not server.ready:
                    await asyncio.sleep(0.01)
                slow = Slow(server.models["two"].main.engine)
                server.models["two"].main.engine = slow
                first = asyncio.create_task(client.post("/predict", json={"inputs": "a"}))
                while server.queue.waiting + slow.runs == 0:
                    await asyncio.sleep(0.005)
                began = time.monotonic()
                full = await client.post("/predict", content=b"not JSON")  # refused before it is read
                assert time.monotonic() - began < 0.25
                late = await first
            stopping = await client.post("/predict", json={"inputs": "a"})
            assert (await client.get("/health")).status_code == 503
        assert (full.status_code, full.json()["error_type"]) == (429, "Overloaded")
        assert full.headers["retry-after"] == "1"
        assert (late.status_code, late.json()["error_type"]) == (504, "Timeout")
        assert stopping.status_code == 503

    asyncio.run(main())


class Slow:
    """An engine that takes longer than the timeout."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.config, self.head, self.limits = engine, engine.config, engine.head, engine.limits
        self.device, self.precision, self.runs = engine.device, engine.precision, 0

    def run(self, batch: Any, ask: Any) -> Any:
        self.runs += 1
        time.sleep(0.6)
        return self.engine.run(batch, ask)


def test_an_error_of_the_model() -> None:
    class Broken(Slow):
        def run(self, batch: Any, ask: Any) -> Any:
            raise RuntimeError("secret contents")

    with serving.client("two") as client:
        server = client.app.state.server  # type: ignore[attr-defined]
        server.models["two"].main.engine = Broken(server.models["two"].main.engine)
        tei = client.post("/predict", json={"inputs": "a"})
        own = client.post("/v1/tasks/text-classification", json={"inputs": "a"})
        listed = client.post("/v1/tasks/text-classification", json={"inputs": ["a"]})
    assert (tei.status_code, own.status_code, listed.status_code) == (424, 500, 200)
    assert "secret" not in tei.text + own.text + listed.text


def test_metrics() -> None:
    with serving.client("plain") as client:
        client.post("/embed", json={"inputs": TEXTS})
        client.post("/embed", json={"inputs": "a"})
        client.post("/embed", json={"inputs": 3})
        lines = client.get("/metrics").text.splitlines()
    assert 'te_request_count{method="batch"} 1.0' in lines
    assert 'te_request_success{method="single"} 1.0' in lines
    assert 'te_request_failure{err="Validation"} 1.0' in lines
    assert "te_embed_count 3.0" in lines
    assert "te_request_inference_duration_count 2.0" in lines
    assert "te_batch_next_size_sum 3.0" in lines
    assert "te_queue_size 0.0" in lines


def test_invalid_settings() -> None:
    for given in ({"models": {}}, {"models": {"a": "a"}, "timeout": 0}, {"models": {"a": "a"}, "api_key": ""}):
        with pytest.raises(UsageError):
            Settings(**given)  # type: ignore[arg-type]
    assert app(serving.settings("two")).state.server.ready is False


def test_a_client_that_leaves() -> None:
    """Its inputs leave the queue, and the engine does not compute them."""

    async def main() -> None:
        server = Server(serving.settings("two"))
        async with server.running():
            while not server.ready:
                await asyncio.sleep(0.01)
            slow = Slow(server.models["two"].main.engine)
            server.models["two"].pipes["text-classification"].engine = slow
            first = asyncio.create_task(post(server, stays=True))
            while slow.runs == 0:
                await asyncio.sleep(0.005)
            assert await post(server, stays=False) == 499
            while server.queue.waiting:
                await asyncio.sleep(0.005)
            assert await first == 200
        assert slow.runs == 1

    asyncio.run(main())


async def post(server: Server, stays: bool) -> int:
    """The status of a request whose client stays, or leaves as soon as it has sent it."""
    messages = [{"type": "http.request", "body": b'{"inputs": "a"}'}, *([] if stays else [{"type": "http.disconnect"}])]
    sent: list[Any] = []
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/predict", "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await app_of(server)(scope, receive, send)
    return int(sent[0]["status"])
