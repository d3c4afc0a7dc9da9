"""Answering connections goes before computing, and does not look through objects that stay."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time

import pipeline_models
import pytest
import serving

from bertkit.serve.precedence import yield_the_processor
from bertkit.serve.queue import Queue
from bertkit.serve.server import Server


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_threads_that_compute_have_a_lower_priority() -> None:
    queue = Queue()
    computing = queue._computer
    until = time.monotonic() + serving.LONGEST
    while nice(computing) == nice(threading.current_thread()) and time.monotonic() < until:
        time.sleep(0.001)
    assert nice(computing) > nice(threading.current_thread())
    queue.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_threads_that_they_start_too() -> None:
    found: list[int] = []

    def outer() -> None:
        yield_the_processor()
        inner = threading.Thread(target=lambda: found.append(nice(threading.current_thread())))
        inner.start()
        inner.join()

    thread = threading.Thread(target=outer)
    thread.start()
    thread.join()
    assert found[0] > nice(threading.current_thread())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_a_sandbox_without_priorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that computes goes on."""

    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    queue = Queue()
    answers = queue.submit(pipeline_models.ours("text-classification", "two"), ["a"]).result(serving.LONGEST)
    assert len(answers.answers) == 1
    queue.close()


def nice(thread: threading.Thread) -> int:
    assert thread.native_id
    return os.getpriority(os.PRIO_PROCESS, thread.native_id)


def test_objects_of_the_models_are_frozen() -> None:
    """Garbage collections of a running server do not look through them."""

    async def main() -> None:
        server = Server(serving.settings("two"))
        async with server.running():
            while not gc.get_freeze_count():
                await asyncio.sleep(0.01)
            assert server.ready

    gc.unfreeze()
    asyncio.run(asyncio.wait_for(main(), serving.LONGEST))
    assert not gc.get_freeze_count()  # a program that goes on can free the models
