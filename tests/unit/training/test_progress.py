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
from collections.abc import Iterator

import pytest

from bertkit.logging import disable_progress_bar, enable_progress_bar
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
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with os.fdopen(slave, "w") as file:
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
    parts = []
    with contextlib.suppress(OSError):  # the other end is closed
        while data := os.read(master, 2**16):
            parts.append(data)
    os.close(master)
    seen = b"".join(parts).decode()
    assert "bertkit: A sentence.\r\n" in seen
    assert "3/3" in seen and "512 tokens/s" in seen and "evaluating" in seen
    assert seen.count("\n") == 2  # after the sentence and after the last state of the line
