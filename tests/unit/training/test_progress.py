"""The progress line, in a terminal and in a pipe, with a clock that the test moves."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Callable, Iterator
from typing import TextIO

import pytest

from bertkit.logging import disable_progress_bar, enable_progress_bar
from bertkit.training import clock as budget
from bertkit.training.progress import Progress


class Clock:
    """Returns seconds that the test adds to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_pipe_gets_a_line_at_intervals(clock: Clock) -> None:
    file = io.StringIO()
    progress = Progress(100, interval=30, file=file, clock=clock, memory=lambda: 1_500_000_000)
    for step in range(1, 101):
        clock.now += 2
        progress.step(step, loss=1 / step, lr=2e-5, tokens=4096)
    progress.close()
    lines = file.getvalue().splitlines()
    assert [int(re.match(r"step (\d+)/100 ", line).group(1)) for line in lines] == [1, 16, 31, 46, 61, 76, 91, 100]  # type: ignore[union-attr]
    assert lines[1] == "step 16/100 (16%), loss 0.0625, lr 2.0e-05, 2,048 tokens/s, 2 min 48 s left, 1.5 GB"
    assert lines[-1] == "step 100/100 (100%), loss 0.0100, lr 2.0e-05, 2,048 tokens/s, 1.5 GB"


def test_the_time_left_counts_evaluations(clock: Clock) -> None:
    file = io.StringIO()
    progress = Progress(30, evaluations=3, interval=0, file=file, clock=clock, memory=lambda: 0)
    for step in range(1, 31):
        clock.now += 1
        progress.step(step, loss=1.0, lr=1e-5, tokens=100)
        if step % 10 == 0:
            with progress.evaluating():
                clock.now += 20
    lines = file.getvalue().splitlines()
    assert lines[8].endswith("100 tokens/s, over 21 s left")  # no evaluation was measured
    assert lines[10].endswith("100 tokens/s, 59 s left")  # 19 steps and two evaluations of 20 s
    assert lines[29].endswith("100 tokens/s, 20 s left")  # the last evaluation
    assert progress.seconds_left() == 0


def test_operations_beside_the_limit(clock: Clock) -> None:
    file = io.StringIO()
    progress = Progress(2, interval=0, file=file, clock=clock, memory=lambda: 0, flops_limit=40e9)
    clock.now += 2
    progress.step(1, loss=1.0, lr=1e-5, tokens=100, flops=48e9)
    assert file.getvalue() == "step 1/2 (50%), loss 1.0000, lr 1.0e-05, 50 tokens/s, 24 of 40 GFLOP/s (60%), 2 s left\n"


def test_a_run_with_a_time_budget_shows_its_time(clock: Clock) -> None:
    file = io.StringIO()
    timer = budget.Clock(100, now=clock)
    progress = Progress(None, interval=0, file=file, clock=clock, memory=lambda: 0, timer=timer)
    clock.now += 25
    progress.step(5, loss=1.0, lr=1e-5, tokens=100)
    assert file.getvalue() == "step 5 (25% of the time), loss 1.0000, lr 1.0e-05, 4 tokens/s, 1 min 15 s left\n"
    progress = Progress(20, interval=0, file=file, clock=clock, memory=lambda: 0, timer=timer)
    clock.now += 2
    progress.step(1, loss=1.0, lr=1e-5, tokens=100)
    assert progress.seconds_left() == 38  # 19 steps of 2 s


def test_a_resumed_run_counts_only_its_own_steps(clock: Clock) -> None:
    progress = Progress(100, first_step=90, file=io.StringIO(), clock=clock)
    clock.now = 3
    progress.step(93, loss=1.0, lr=1e-5, tokens=10)
    assert progress.seconds_left() == pytest.approx(7)


@pytest.fixture
def no_bars() -> Iterator[None]:
    disable_progress_bar()
    yield
    enable_progress_bar()


@pytest.mark.usefixtures("no_bars")
def test_progress_bars_can_be_disabled() -> None:
    file = io.StringIO()
    progress = Progress(2, file=file)
    progress.step(1, loss=1.0, lr=1e-5, tokens=10)
    progress.note("28 labels: multi-label.")
    progress.close()
    assert file.getvalue() == "bertkit: 28 labels: multi-label.\n"


def test_a_terminal_gets_one_line_that_is_redrawn(clock: Clock) -> None:
    def show(file: TextIO) -> None:
        progress = Progress(3, evaluations=1, file=file, clock=clock, memory=lambda: 0)
        for step in (1, 2, 3):
            clock.now += 1
            progress.step(step, loss=0.25, lr=1e-5, tokens=512)
            if step == 1:
                progress.note("A sentence.")
        with progress.evaluating():
            clock.now += 5
        progress.close()
        progress.close()

    seen = in_a_terminal(show)
    assert "bertkit: A sentence.\r\n" in seen
    assert "3/3" in seen and "512 tokens/s" in seen and "evaluating" in seen
    assert seen.count("\n") == 2  # after the sentence and after the last state of the line


def test_the_bar_of_a_time_budget_counts_seconds(clock: Clock) -> None:
    def show(file: TextIO) -> None:
        progress = Progress(None, file=file, clock=clock, memory=lambda: 0, timer=budget.Clock(100, now=clock))
        clock.now += 25
        progress.step(5, loss=1.0, lr=1e-5, tokens=100)
        progress.close()

    seen = in_a_terminal(show)
    assert "25/100 , step 5, loss 1.0000" in seen and "1 min 15 s left" in seen


def in_a_terminal(show: Callable[[TextIO], None]) -> str:
    """Return what a terminal gets."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with os.fdopen(slave, "w") as file:
        show(file)
    parts = []
    with contextlib.suppress(OSError):  # the other end is closed
        while data := os.read(master, 2**16):
            parts.append(data)
    os.close(master)
    return b"".join(parts).decode()
