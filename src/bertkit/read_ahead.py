"""Reading in a thread beside the main one."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from queue import SimpleQueue
from typing import TypeVar, cast

Item = TypeVar("Item")

_END = object()


def read_ahead(items: Iterable[Item], most: int = 1) -> Generator[Item, None, None]:
    """Yield items. While the caller works on one, a thread computes the next, at most `most` of them.

    An exception is raised after the items before it. The thread is a daemon: if it waits for input, the process can end.

    >>> list(read_ahead(number * number for number in range(4)))
    [0, 1, 4, 9]
    """
    found: SimpleQueue[tuple[Item | object, BaseException | None]] = SimpleQueue()
    taken, stopped = threading.Semaphore(most - 1), threading.Event()

    def read() -> None:
        try:
            for item in items:
                found.put((item, None))
                taken.acquire()
                if stopped.is_set():
                    return
            found.put((_END, None))
        except BaseException as error:
            found.put((_END, error))

    threading.Thread(target=read, name="bertkit-read-ahead", daemon=True).start()
    try:
        while True:
            item, error = found.get()
            if error is not None:
                raise error
            if item is _END:
                return
            taken.release()
            yield cast(Item, item)
    finally:
        stopped.set()
        taken.release()
