"""The metrics of a server for Prometheus, by the names of text-embeddings-inference where they mean the same."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from bertkit.serve.waiting import Outcome

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = tuple(float(2**power) for power in range(15))

FAMILIES = {"/embed": "te_embed", "/embed_all": "te_embed", "/predict": "te_predict", "/rerank": "te_rerank"}
"""Routes that are also counted by themselves."""


class Metrics:
    """The metrics of one server. With several worker processes, `text` has those of all."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._count = self._counter("te_request_count", "requests for answers", "method")
        self._success = self._counter("te_request_success", "requests that were answered", "method")
        self._failure = self._counter("te_request_failure", "requests that were refused, by kind", "err")
        steps = ("duration", "tokenization_duration", "queue_duration", "inference_duration")
        self._seconds = {step: self._histogram(f"te_request_{step}", "seconds", _SECONDS) for step in steps}
        self._length = self._histogram("te_request_input_length", "tokens of a request", _SIZES)
        self._batch_size = self._histogram("te_batch_next_size", "examples of a batch", _SIZES)
        self._batch_tokens = self._histogram("te_batch_next_tokens", "tokens of a batch", _SIZES)
        self._waiting = Gauge(
            "te_queue_size", "examples that wait", registry=self._registry, multiprocess_mode="livesum"
        )
        names = dict.fromkeys(FAMILIES.values())
        self._of_routes = {name: self._counter(f"{name}_count", f"requests to {name[3:]}") for name in names}
        self._of_routes_success = {name: self._counter(f"{name}_success", "answered requests") for name in names}

    def _counter(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge that only grows: a Counter of prometheus_client would add `_total` to the name."""
        return Gauge(name, text, labels, registry=self._registry, multiprocess_mode="sum")

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, registry=self._registry, buckets=buckets)

    def batch(self, examples: int, tokens: int) -> None:
        """Count a batch."""
        self._batch_size.observe(examples)
        self._batch_tokens.observe(tokens)

    def request(self, route: str, seconds: float, outcomes: list[Outcome], failure: str | None) -> None:
        """Count a request that is complete. `failure` is the kind of its refusal."""
        method = "batch" if any(len(one.answers) > 1 for one in outcomes) else "single"
        own = FAMILIES.get(route)
        self._count.labels(method).inc()
        if own:
            self._of_routes[own].inc()
        if failure is not None:
            self._failure.labels(failure).inc()
            return
        self._success.labels(method).inc()
        if own:
            self._of_routes_success[own].inc()
        self._seconds["duration"].observe(seconds)
        for one in outcomes:
            self._seconds["tokenization_duration"].observe(one.encoding)
            self._seconds["queue_duration"].observe(one.waiting)
            self._seconds["inference_duration"].observe(one.computing)
            self._length.observe(one.tokens)

    def text(self, waiting: int) -> bytes:
        """The metrics in the format of Prometheus."""
        self._waiting.set(waiting)
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def forget_dead_processes() -> None:
    """Remove the waiting examples of workers that were killed. A worker calls it when it starts in place of one."""
    for path in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_livesum_*.db"):
        number = path.stem.rpartition("_")[2]
        if not Path("/proc", number).exists():
            mark_process_dead(number)  # type: ignore[no-untyped-call]
