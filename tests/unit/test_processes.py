"""Work in other processes: order, exceptions, killed processes, and errors from one process to another."""

from __future__ import annotations

import os
import pickle
import signal

import pytest

from bertkit.errors import DataError, HubError, MissingExtraError, Setting, UsageError
from bertkit.processes import ordered


def plain(item: int) -> int:
    return item


def squared(number: int) -> tuple[int, int, str]:
    """Return a number's square, the process and its setting of threads; raise an error for 3, and end the process for 4."""
    if number == 3:
        raise UsageError("3 is invalid: type ", Setting("number", 2), ".")
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number, os.getpid(), os.environ["OMP_NUM_THREADS"]


def test_results_are_in_order() -> None:
    numbers = list(range(5, 25))
    found = list(ordered(iter(numbers), squared, plain, 2))
    assert [item for item, _ in found] == numbers
    assert [square for _, (square, _, _) in found] == [number * number for number in numbers]
    assert {threads for _, (_, _, threads) in found} == {"1"}
    assert os.getpid() not in {process for _, (_, process, _) in found}


def test_an_error_has_its_parts_after_the_results_before_it() -> None:
    found = []
    with pytest.raises(UsageError) as raised:
        found.extend(ordered([1, 2, 3], squared, plain, 1))
    assert [item for item, _ in found] == [1, 2]
    assert raised.value.worded(lambda setting: f"--{setting.name} {setting.value}") == "3 is invalid: type --number 2."


def test_a_killed_process() -> None:
    with pytest.raises(DataError, match="A worker process was killed, probably because memory ran out"):
        list(ordered([4], squared, plain, 1))


def test_errors_can_be_pickled() -> None:
    for error in (MissingExtraError("torch", None, Setting("engine", "torch")), HubError("a ", 5), DataError("x")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and again.parts == error.parts and str(again) == str(error)
