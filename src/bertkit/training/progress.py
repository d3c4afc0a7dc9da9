"""The progress of a training run on stderr: a line that is redrawn in a terminal, and a new line at intervals in a pipe."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from bertkit.logging import is_progress_bar_enabled
from bertkit.memory import resident_memory
from bertkit.training.clock import Clock

if TYPE_CHECKING:
    from tqdm import tqdm

_WINDOW = 50
"""The number of last steps whose mean is the speed."""

_LAYOUT = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} {postfix}"


class Progress:
    """Shows step, loss, learning rate, tokens per second, the time left and memory.

    The time left is the mean time of the last steps for each remaining step, and the mean time of the evaluations so far for
    each remaining evaluation. Before the first evaluation its time is unknown, and the line says "over".

    >>> progress = Progress(2, file=sys.stdout)
    >>> for step in (1, 2):
    ...     progress.step(step, loss=0.5, lr=1e-5, tokens=512)  # doctest: +ELLIPSIS
    step 1/2 (50%), loss 0.5000, lr 1.0e-05, ... tokens/s, ...
    step 2/2 (100%), loss 0.5000, lr 1.0e-05, ... tokens/s...
    >>> progress.close()

    Args:
        total_steps: the number of steps of the whole run; None: as many as the time allows.
        evaluations: the number of evaluations that remain.
        first_step: the number of steps that were done before, if the run is resumed.
        interval: seconds between two lines, if stderr is not a terminal.
        memory: returns the bytes in use, for example `torch.cuda.memory_allocated`.
        file: stderr, unless another file is passed.
        clock: returns seconds.
        flops_limit: the operations per second that the device can do; None: unknown.
        timer: the time of the run and its budget; None: no budget.
    """

    def __init__(
        self,
        total_steps: int | None,
        *,
        evaluations: int = 0,
        first_step: int = 0,
        interval: float = 30.0,
        memory: Callable[[], int] = resident_memory,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
        flops_limit: float | None = None,
        timer: Clock | None = None,
    ) -> None:
        self._total, self._done, self._evaluations = total_steps, first_step, evaluations
        self._interval, self._memory, self._clock = interval, memory, clock
        self._limit, self._timer = flops_limit, timer
        self._file = sys.stderr if file is None else file
        self._recent: deque[tuple[float, int, int, float]] = deque(maxlen=_WINDOW)  # seconds, steps, tokens, operations
        self._evaluated: list[float] = []  # the seconds of each evaluation
        self._last = clock()  # the end of the last step or evaluation
        self._printed: float | None = None  # the time of the last line
        self._bar = self._open_bar()

    def _open_bar(self) -> tqdm[Any] | None:
        if not (is_progress_bar_enabled() and self._file.isatty()):
            return None
        from tqdm import tqdm

        options: dict[str, Any] = {"bar_format": _LAYOUT, "dynamic_ncols": True, "file": self._file}
        if self._timer is not None:  # the bar counts seconds
            return tqdm(total=int(self._timer.budget or 0), initial=int(self._timer.seconds()), unit="s", **options)
        return tqdm(total=self._total, initial=self._done, **options)

    def step(self, step: int, loss: float, lr: float, tokens: int, flops: float = 0.0) -> None:
        """Show a finished step.

        Args:
            step: the number of finished steps of the whole run.
            loss: the loss of the step.
            lr: its learning rate.
            tokens: the number of tokens since the last call.
            flops: the number of operations since the last call; 0: unknown.
        """
        now = self._clock()
        self._recent.append((now - self._last, step - self._done, tokens, flops))
        self._last, self._done = now, step
        if not is_progress_bar_enabled():
            return
        text = ", ".join([f"loss {loss:.4f}", f"lr {lr:.1e}", *self._rates()])
        if self._bar is not None:
            self._bar.set_postfix_str(text if self._timer is None else f"step {step:,}, {text}", refresh=False)
            self._bar.update((step if self._timer is None else int(self._timer.seconds())) - self._bar.n)
        elif self._printed is None or now - self._printed >= self._interval or step == self._total:
            self._printed = now
            print(f"{self._place(step)}, {text}", file=self._file, flush=True)

    def _place(self, step: int) -> str:
        """Return the place in the run in words."""
        if self._timer is not None and self._timer.budget:
            return f"step {step:,} ({100 * self._timer.seconds() / self._timer.budget:.0f}% of the time)"
        total = self._total or 0
        return f"step {step:,}/{total:,} ({100 * step // max(total, 1)}%)"

    def _rates(self) -> list[str]:
        """Return speed, time left and memory in words."""
        seconds = sum(one for one, _, _, _ in self._recent)
        words = [f"{sum(tokens for _, _, tokens, _ in self._recent) / seconds:,.0f} tokens/s"] if seconds > 0 else []
        speed = sum(flops for _, _, _, flops in self._recent) / seconds if seconds > 0 else 0.0
        if speed and self._limit:
            words.append(f"{speed / 1e9:,.0f} of {self._limit / 1e9:,.0f} GFLOP/s ({speed / self._limit:.0%})")
        left = self.seconds_left()
        if left:
            unknown = self._evaluations > 0 and not self._evaluated
            words.append(f"{'over ' if unknown else ''}{duration(left)} left")
        memory = self._memory()
        return [*words, f"{memory / 1e9:.1f} GB"] if memory else words

    def seconds_left(self) -> float:
        """Return the expected time of the remaining steps and evaluations."""
        if self._timer is not None and self._timer.budget:
            left = max(self._timer.budget - self._timer.seconds(), 0.0)
            return left if self._total is None else min(left, self._seconds_of_steps())
        return self._seconds_of_steps()

    def _seconds_of_steps(self) -> float:
        steps = sum(count for _, count, _, _ in self._recent)
        mean = sum(one for one, _, _, _ in self._recent) / steps if steps else 0.0
        training = ((self._total or 0) - self._done) * mean
        evaluation = sum(self._evaluated) / len(self._evaluated) if self._evaluated else 0.0
        return max(training, 0.0) + max(self._evaluations, 0) * evaluation

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Measure an evaluation, so that its time counts neither as training nor as unknown.

        >>> progress = Progress(2, evaluations=1)
        >>> with progress.evaluating():
        ...     pass
        """
        start = self._clock()
        if self._bar is not None:
            self._bar.set_postfix_str("evaluating")
        yield
        self._last = self._clock()
        self._evaluated.append(self._last - start)
        self._evaluations -= 1

    def notes(self, sentences: Iterable[str]) -> None:
        """Print sentences above the line."""
        for sentence in sentences:
            self.note(sentence)

    def note(self, sentence: str) -> None:
        """Print a sentence above the line. It is printed also if progress bars are disabled."""
        text = f"bertkit: {sentence}"
        if self._bar is None:
            print(text, file=self._file, flush=True)
        else:
            self._bar.write(text, file=self._file)

    def close(self) -> None:
        """Leave the last line in the terminal. Further calls do nothing."""
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """Return a duration in words, rounded to two units.

    >>> duration(42), duration(200), duration(7_300)
    ('42 s', '3 min 20 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"
