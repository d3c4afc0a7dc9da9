"""Work in other processes, with results in order and only a few items in memory."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar, cast

from bertkit.errors import BertkitError, DataError, Setting, UsageError
from bertkit.read_ahead import read_ahead

Item = TypeVar("Item")
Argument = TypeVar("Argument")
Result = TypeVar("Result")


def ordered(
    items: Iterable[Item], work: Callable[[Argument], Result], argument: Callable[[Item], Argument], processes: int
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with the result of `work(argument(item))`, in order. Other processes compute the results.

    Each process has one thread, and a copy of `work`. At most 2 items for each process are in memory, and one more. They are read
    in a thread, so that a result is yielded while the next item is awaited.

    Args:
        items: the items, which are read in this process.
        work: a picklable function.
        argument: the part of an item that `work` needs.
        processes: the number of processes.
    """
    context = _Context()
    started = context.Value("i", 0)
    pool = ProcessPoolExecutor(processes, context, _start, (started, pickle.dumps(work)))

    def submitted() -> Iterator[tuple[Item, Future[Result]]]:
        for item in items:
            yield item, cast("Future[Result]", pool.submit(_run, argument(item)))

    try:
        with closing(read_ahead(submitted(), 2 * processes)) as waiting:
            for item, future in waiting:
                yield item, future.result()
    except BrokenProcessPool as error:
        pool.shutdown()  # exit codes are known after it
        raise _reason(context.processes, started.value) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _reason(processes: list[SpawnProcess], started: int) -> BertkitError:
    """The error for processes that ended. The pool ends those that did not end by themselves with SIGTERM."""
    codes = [process.exitcode for process in processes if process.exitcode]
    code = next((code for code in codes if code != -signal.SIGTERM), -signal.SIGTERM)
    if code == -getattr(signal, "SIGKILL", 9):  # Windows has no signals
        return DataError(
            "A worker process was killed, probably because memory ran out. Run the same job with fewer processes."
        )
    if code < 0:
        return DataError(f"A worker process was ended by {signal.Signals(-code).name}. Run the same job again.")
    if started:
        return DataError(f"A worker process ended with exit code {code}. Its last messages say why.")
    return UsageError(
        "No worker process could start. Each one imports the script that started it: start the work in a file, under "
        '`if __name__ == "__main__":`, or leave processes out; for prepare, type ',
        Setting("processes", 1),
        ".",
    )


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""The variables from which libraries read their number of threads, when they are imported."""

_ENVIRONMENT = threading.Lock()


class _Process(SpawnProcess):
    """A process whose libraries have one thread each. They read the environment when they are imported."""

    def start(self) -> None:
        """Start the process with the environment of one thread, before the main script is imported in it."""
        with _ENVIRONMENT:
            before = {name: os.environ.get(name) for name in THREADS}
            os.environ.update(dict.fromkeys(THREADS, "1"))
            try:
                super().start()
            finally:
                for name, value in before.items():
                    if value is None:
                        del os.environ[name]
                    else:
                        os.environ[name] = value


class _Context(SpawnContext):
    """Makes the processes of a pool, and keeps them, for their exit codes."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[SpawnProcess] = []

    def Process(self, *arguments: Any, **named: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        """The pool calls it as the class of processes."""
        self.processes.append(_Process(*arguments, **named))
        return self.processes[-1]


_WORK: list[Callable[[Any], Any]] = []
"""The function of this worker process."""

_NUMBER = [0]


def number_of_process() -> int:
    """The number of this worker process. The first one is number 0."""
    return _NUMBER[0]


def _start(started: Any, work: bytes) -> None:
    """Start a worker process: count it, and unpickle `work`. An error is raised by the first item."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with started.get_lock():
        _NUMBER[0] = started.value
        started.value += 1
    try:
        _WORK[:] = [pickle.loads(work)]
    except Exception as error:
        _WORK[:] = [_Failed(error)]


class _Failed:
    """A function that could not be unpickled."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, argument: object) -> None:
        """Raise the error."""
        raise self.error


def _end_with_parent() -> None:
    """End this process when the main process ends, even if that was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _run(argument: Any) -> Any:
    return _WORK[0](argument)
