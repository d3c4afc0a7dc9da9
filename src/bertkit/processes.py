"""Work in other processes, with results in order and only a few items in memory."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar, cast

from bertkit.errors import DataError

Item = TypeVar("Item")
Argument = TypeVar("Argument")
Result = TypeVar("Result")


def ordered(
    items: Iterable[Item], work: Callable[[Argument], Result], argument: Callable[[Item], Argument], processes: int
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with the result of `work(argument(item))`, in order. Other processes compute the results.

    Each process has one thread, and a copy of `work`. At most 2 items for each process are in memory, and one more.

    Args:
        items: the items, which are read in this process.
        work: a picklable function.
        argument: the part of an item that `work` needs.
        processes: the number of processes.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start, (pickle.dumps(work),))
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            waiting.append((item, cast("Future[Result]", pool.submit(_run, argument(item)))))
            while len(waiting) > 2 * processes or (waiting and waiting[0][1].done()):
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "A worker process was killed, probably because memory ran out. Run the same job with fewer processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_WORK: list[Callable[[Any], Any]] = []
"""The function of this worker process."""


def _start(work: bytes) -> None:
    """Start a worker process. `work` is unpickled after its number of threads is set, as that imports NumPy."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if torch := sys.modules.get("torch"):  # a script that imports it itself
        torch.set_num_threads(1)
    _WORK[:] = [pickle.loads(work)]


def _end_with_parent() -> None:
    """End this process when the main process ends, even if that was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _run(argument: Any) -> Any:
    return _WORK[0](argument)
