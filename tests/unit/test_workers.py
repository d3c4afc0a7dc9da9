"""Work in other processes: order, exceptions, killed processes, and errors from one process to another."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertkit.errors import DataError, HubError, MissingExtraError, Setting, UsageError
from bertkit.workers import number_of_process, ordered


def plain(item: int) -> int:
    return item


def squared(number: int) -> tuple[int, int, str]:
    """Return a number's square, the process and its setting of threads; raise an error for 3, and end the process for 4."""
    if number == 3:
        raise UsageError("3 is invalid: type ", Setting("number", 2), ".")
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number, os.getpid(), os.environ["OMP_NUM_THREADS"]


def numbered(item: int) -> int:
    """Return the number of the process, after the other process has also got an item."""
    time.sleep(1)
    return number_of_process()


def ended_by(number: int) -> None:
    """End the process with a signal."""
    os.kill(os.getpid(), number)
    time.sleep(60)


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


def test_processes_are_numbered() -> None:
    assert {number for _, number in ordered(list(range(8)), numbered, plain, 2)} == {0, 1}


def test_a_killed_process() -> None:
    with pytest.raises(DataError, match="A worker process was killed, probably because memory ran out"):
        list(ordered([4], squared, plain, 1))


def test_errors_can_be_pickled() -> None:
    for error in (MissingExtraError("torch", None, Setting("engine", "torch")), HubError("a ", 5), DataError("x")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and again.parts == error.parts and str(again) == str(error)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM])
def test_a_process_that_another_signal_ended(number: signal.Signals) -> None:
    with pytest.raises(DataError, match=f"A worker process was ended by {number.name}"):
        list(ordered([int(number)], ended_by, plain, 2))


def test_a_process_that_ended_by_itself() -> None:
    with pytest.raises(DataError, match="A worker process ended with exit code 7"):
        list(ordered([7], os._exit, plain, 1))


class Unknown:
    """Work that can be pickled, but not unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return importlib.import_module, ("no_such_module",)

    def __call__(self, item: int) -> int:
        return item


def test_an_error_while_a_process_starts_is_raised_as_itself() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"):
        list(ordered([1, 2], Unknown(), plain, 1))
    with pytest.raises((pickle.PicklingError, AttributeError), match="local object"):
        list(ordered([1], lambda item: item, plain, 1))


SCRIPT = """
import os, threading
{first}
from bertkit.errors import UsageError
from bertkit.workers import number_of_process, ordered

def threads(item):
    return len(os.listdir("/proc/self/task")) - threading.active_count(), os.environ["OPENBLAS_NUM_THREADS"]

def plain(item):
    return item

{guard}
try:
    print(*[result for _, result in ordered([1], threads, plain, 1)], os.environ.get("OPENBLAS_NUM_THREADS"))
except UsageError as error:
    print(error)
"""


def output_of(script: str, path: Path | None) -> str:
    """The output of a script in a file, or without one on standard input."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    if path is not None:
        path.write_text(script)
    words = [sys.executable, "-" if path is None else str(path)]
    return subprocess.run(words, input=script, env=environment, capture_output=True, text=True).stdout


def test_libraries_that_the_main_script_imports_have_one_thread(tmp_path: Path) -> None:
    """OpenBLAS starts its threads when NumPy is imported, which a script does before the work is known."""
    guard = 'if __name__ != "__main__":\n    ordered = lambda *arguments: ()\n'
    script = SCRIPT.format(first="import numpy", guard=guard)
    threads = output_of(script, tmp_path / "script.py").splitlines()[-1]
    assert threads == "(0, '1') None"


@pytest.mark.parametrize("name", ["script.py", None])
def test_a_script_without_a_guard(name: str | None, tmp_path: Path) -> None:
    """It would start processes without end, if Python did not refuse that."""
    said = output_of(SCRIPT.format(first="", guard=""), name and tmp_path / name)
    assert 'start the work in a file, under `if __name__ == "__main__":`, or leave processes out' in said
    assert "for prepare, type processes=1." in said


def test_a_result_does_not_wait_for_the_next_item() -> None:
    given = []

    def items() -> Iterator[int]:
        yield 1
        until = time.monotonic() + 60
        while not given and time.monotonic() < until:
            time.sleep(0.01)
        yield 2

    for item, _ in ordered(items(), squared, plain, 1):
        given.append((item, time.monotonic()))
    assert [item for item, _ in given] == [1, 2] and given[1][1] - given[0][1] < 50
