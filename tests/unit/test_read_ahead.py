"""Work beside the main thread: order, exceptions, how far it reads ahead, and its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from bertkit.read_ahead import read_ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "bertkit-read-ahead"]


def ended() -> bool:
    """Whether the threads end within a few seconds."""
    until = time.monotonic() + 10
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    return not threads()


def test_one_item_is_read_ahead_in_another_thread() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            assert threading.current_thread() is not threading.main_thread()
            read.append(number)
            yield number

    for number in read_ahead(items()):
        assert len(read) <= number + 2
        if number == 5:
            until = time.monotonic() + 10
            while len(read) < 7 and time.monotonic() < until:  # also while the caller works
                time.sleep(0.001)
            assert read == list(range(7))
    assert read == list(range(100)) and ended()


def test_several_items_are_read_ahead() -> None:
    read: list[int] = []
    stream = read_ahead((read.append(number) or number for number in range(100)), 3)  # type: ignore[func-returns-value]
    assert next(stream) == 0
    until = time.monotonic() + 10
    while len(read) < 4 and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.05)
    assert read == [0, 1, 2, 3]
    assert list(stream) == list(range(1, 100)) and ended()


def test_an_exception_is_raised_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("3")

    found = []
    with pytest.raises(KeyError, match="3"):
        found.extend(read_ahead(items()))  # extend keeps the items before the exception
    assert found == [1, 2] and ended()


def test_the_thread_ends_with_its_reader() -> None:
    stream = read_ahead(iter(range(10**9)))
    assert next(stream) == 0
    stream.close()
    assert ended()
