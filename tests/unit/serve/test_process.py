"""`bertkit serve` as a process: real clients on loopback, workers, signals, sockets, hostile clients."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_models
import pytest
import serving

from bertkit.engines.processor import cores
from bertkit.serve.process import _threads_of

TEXT = "Anna moved to Paris."
LONGEST = 60.0  # seconds for a start on a busy machine


class Served:
    """A running `bertkit serve`."""

    def __init__(self, process: subprocess.Popen[str], where: str) -> None:
        self.process, self.where = process, where
        self.port = int(where.rpartition(":")[2]) if where.startswith("http") else 0

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.where + path, timeout=LONGEST) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except ConnectionError:  # a worker was killed
            return 0

    def post(self, path: str, body: Any, timeout: float = 30) -> Any:
        request = urllib.request.Request(
            self.where + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.load(response)

    def wait(self) -> None:
        """Wait until the server is ready."""
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            assert self.process.poll() is None
            if self.get("/health") == 200:
                return
            time.sleep(0.05)
        raise AssertionError("not ready")

    def sends(self, data: bytes, close: bool = False) -> bytes:
        """What the server answers to raw bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=40) as connection:
            connection.sendall(data)
            if close:
                connection.shutdown(socket.SHUT_WR)
            return serving.until_closed(connection)


@contextmanager
def served(*names: str, options: tuple[str, ...] = (), environment: dict[str, str] | None = None) -> Iterator[Served]:
    models = [word for name in names for word in ("--model", f"{name}={pipeline_models.folder(name)}")]
    command = [sys.executable, "-m", "bertkit", "serve", "--port", "0", "--engine", "numpy", *models, *options]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}, start_new_session=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "listening on" in line, line + process.stderr.read()
        yield Served(process, line.split()[-1])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served("two", "plain", "names", "answers", "masked", "follows", options=("--timeout", "2")) as found:
        found.wait()
        yield found


def test_openai(server: Served) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server.where}/v1", api_key="none", max_retries=0)
    found = client.embeddings.create(model="plain", input=[TEXT, "a"])  # asks for base64
    numbers = client.embeddings.create(model="plain", input=TEXT, encoding_format="float")
    expected = pipeline_models.ours("feature-extraction", "plain").each([TEXT], pooling="mean", normalize=True)[0]
    assert found.data[0].embedding == pytest.approx(list(expected), abs=1e-5)
    assert numbers.data[0].embedding == pytest.approx(list(expected), abs=1e-5)
    assert found.usage.prompt_tokens > 4
    with pytest.raises(openai.NotFoundError, match="two, plain"):
        client.embeddings.create(model="ada", input=TEXT)
    with pytest.raises(openai.UnprocessableEntityError):
        client.embeddings.create(model="plain", input="a " * 100)
    assert "plain" in [model.id for model in client.models.list()]


def test_inference_client(server: Served) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def client(name: str) -> Any:
        return hub.InferenceClient(model=f"{server.where}/models/{name}", token="none")

    labels = client("two").text_classification(TEXT)
    expected = pipeline_models.ours("text-classification", "two")(TEXT, top_k=None)
    assert [one.label for one in labels] == [one["label"] for one in expected]
    assert [one.score for one in labels] == pytest.approx([one["score"] for one in expected], abs=1e-5)
    names = client("names").token_classification(TEXT)
    assert len(names) == len(pipeline_models.ours("ner", "names")(TEXT, aggregation_strategy="simple"))
    answer = client("answers").question_answering(question="Who moved?", context=TEXT)
    assert answer.answer == TEXT[answer.start : answer.end]
    assert len(client("masked").fill_mask("The [MASK] was cold.", top_k=3)) == 3
    follows = client("follows").zero_shot_classification(TEXT, ["food", "law"])
    assert {one.label for one in follows} == {"food", "law"}
    vectors = client("plain").feature_extraction(TEXT)
    assert np.array(vectors) == pytest.approx(
        np.array(pipeline_models.ours("feature-extraction", "plain")(TEXT)), abs=1e-5
    )
    assert client("plain").sentence_similarity(TEXT, [TEXT, "a"])[0] == pytest.approx(1, abs=1e-5)
    with pytest.raises(hub.errors.HfHubHTTPError, match="404"):
        client("none").fill_mask("[MASK]")


def test_curl(server: Served) -> None:
    """The lines of docs/serving.md are of this form."""
    command = ["curl", "-s", f"{server.where}/predict", "-H", "Content-Type: application/json", "-d"]
    found = subprocess.run([*command, json.dumps({"inputs": TEXT})], capture_output=True, check=True)
    assert {one["label"] for one in json.loads(found.stdout)} == {"BAD", "GOOD"}
    code = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}"]
    assert subprocess.run([*code, f"{server.where}/health"], capture_output=True).stdout == b"200"
    form = subprocess.run([*code, f"{server.where}/predict", "-d", "{}"], capture_output=True)
    assert form.stdout == b"415"


def test_hostile_clients(server: Served) -> None:
    """Each gets a stated answer, and the server answers others meanwhile."""
    head = b"POST /embed HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
    assert server.sends(head + b"Content-Length: 1000000000\r\n\r\n{").startswith(b"HTTP/1.1 413")
    assert server.sends(b"\x00\xff\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert server.sends(head + b"Content-Length: 12\r\nContent-Length: 13\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert server.sends(b"GET /" + b"a" * 200_000).startswith(b"HTTP/1.1 400")
    slow = server.sends(head + b"Content-Length: 100\r\n\r\n{")  # the rest of the body never arrives
    assert slow.startswith(b"HTTP/1.1 408")
    whole = head + b'Content-Length: 15\r\n\r\n{"inputs": "a"}'
    half = server.sends(whole, close=True)  # cancelled, unless it is answered before the server sees the end
    assert half == b"" or half.startswith(b"HTTP/1.1 200")
    assert server.sends(whole[:-3], close=True) == b""
    assert server.post("/predict", {"inputs": TEXT})


def test_a_text_of_100_000_tokens(server: Served) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.post("/v1/tasks/ner", {"inputs": "a " * 100_000, "model": "names"})
    assert caught.value.code == 422
    assert "100,002 tokens" in json.load(caught.value)["error"]["message"]


def test_sigterm_answers_what_arrived() -> None:
    """SIGTERM: requests that run are answered, the port is closed, and the exit code is 0."""
    with served("two", "masked", options=("--max-client-batch-size", "300")) as server:
        server.wait()
        body = json.dumps({"inputs": ["the film was a film " * 8] * 20, "model": "masked"}).encode()
        head = f"POST /v1/tasks/sentence-scoring HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(head.encode() + body)
            time.sleep(0.3)
            server.process.terminate()
            found = b""
            while part := connection.recv(65536):
                found += part
        assert found.startswith(b"HTTP/1.1 200")
        assert found.count(b"perplexity") == 20
        assert server.process.wait(30) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)
        lines = [json.loads(line) for line in server.process.stderr.read().splitlines()]  # type: ignore[union-attr]
    request = next(line for line in lines if line.get("path") == "/v1/tasks/sentence-scoring")
    assert (request["status"], request["examples"]) == (200, 20)
    assert len(request["request_id"]) == 32


def test_sigterm_ends_what_does_not_arrive() -> None:
    """A request whose body is not complete when --drain is over gets a refusal of its family."""
    with served("two", options=("--drain", "1")) as server:
        server.wait()
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
            time.sleep(0.3)
            server.process.terminate()
            found = serving.until_closed(connection)
        assert found.startswith(b"HTTP/1.1 503")
        assert json.loads(found.partition(b"\r\n\r\n")[2])["error_type"] == "Unhealthy"
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.process.stderr.read()  # type: ignore[union-attr]


def test_a_killed_worker_is_replaced() -> None:
    with served("two", options=("--workers", "2")) as server:
        server.wait()
        children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
        before = workers(children)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        until = time.monotonic() + LONGEST
        while len(set(workers(children)) - {before[0]}) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        server.wait()
        for _ in range(5):
            assert server.post("/predict", {"inputs": TEXT})
        with urllib.request.urlopen(f"{server.where}/metrics") as response:
            lines = response.read().decode().splitlines()
        assert 'te_request_success{method="single"} 5.0' in lines
        server.process.terminate()
        assert server.process.wait(40) == 0


def test_a_worker_that_is_killed_while_it_is_asked() -> None:
    """The supervisor, which asks whether the worker is alive, does not wait for the answer."""
    with served("two", options=("--workers", "2")) as server:
        server.wait()
        children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
        before = workers(children)
        os.kill(before[0], signal.SIGSTOP)
        time.sleep(2)  # the supervisor asks twice a second
        os.kill(before[0], signal.SIGKILL)
        until = time.monotonic() + LONGEST / 2
        while len(set(workers(children)) - {before[0]}) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(cores()))  # as the command sets it in a container with a limit
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7777")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert _threads_of(cores()) == {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    assert set(_threads_of(10_000).values()) == {"1"}


def workers(path: str) -> list[int]:
    """The worker processes, without the resource tracker of Python."""
    found = []
    for number in Path(path).read_text().split():
        try:
            command = Path("/proc", number, "cmdline").read_bytes()
        except OSError:
            continue
        if b"spawn_main" in command:
            found.append(int(number))
    return found


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with served("two", options=("--uds", str(path))) as server:
        assert server.where == str(path)
        assert path.stat().st_mode & 0o777 == 0o660
        found = b""
        until = time.monotonic() + LONGEST
        while not found.startswith(b"HTTP/1.1 200"):
            assert time.monotonic() < until
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                found = connection.recv(65536)
        second = [sys.executable, "-m", "bertkit", "serve", "--model", "DIR", "--uds", str(path)]
        other = subprocess.run(second, capture_output=True, text=True)
        assert other.returncode == 2
        assert "Another server" in other.stderr
        server.process.terminate()
        assert server.process.wait(30) == 0
    assert not path.exists()


def test_settings_by_environment_and_a_missing_model(tmp_path: Path) -> None:
    environment = {"HF_MODEL_ID": str(tmp_path / "missing"), "BERTKIT_API_KEY": "secret-key"}
    with served(environment=environment) as server:
        assert server.process.wait(LONGEST) == 2
        text = server.process.stderr.read()  # type: ignore[union-attr]
    assert "missing" in text
    assert "secret-key" not in text
