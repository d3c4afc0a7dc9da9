"""The time of a run, over all processes that worked on it one after the other, and its budget."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from bertkit.errors import Setting, UsageError, received

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class Clock:
    """Measures the time of a run.

    >>> now = iter([0.0, 4.0, 4.0])
    >>> clock = Clock(budget=10, now=lambda: next(now))
    >>> clock.reserve = 2.0
    >>> clock.seconds(), clock.share()
    (4.0, 0.5)

    Args:
        budget: the seconds that the run may take; None: no limit.
        now: returns seconds.
    """

    def __init__(self, budget: float | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.budget, self._now = budget, now
        self.reserve = 0.0  # seconds for what follows the last step
        self._began = now()

    def seconds(self) -> float:
        """Return the time so far."""
        return self._now() - self._began

    def set(self, seconds: float) -> None:
        """Continue from a time."""
        self._began = self._now() - seconds

    def share(self) -> float:
        """Return the share of the budget for training that is spent; without a budget 0."""
        if self.budget is None:
            return 0.0
        return min(self.seconds() / max(self.budget - self.reserve, 1e-9), 1.0)


def seconds_of(text: str | float) -> float:
    """Return a duration in seconds.

    >>> seconds_of("3h"), seconds_of("1h30min"), seconds_of("90 s"), seconds_of(45)
    (10800.0, 5400.0, 90.0, 45.0)
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(text).lower())
    joined = "".join(number + unit for number, unit in parts)
    known = all(unit in _UNITS or (not unit and len(parts) == 1) for _, unit in parts) and joined == re.sub(
        r"\s", "", str(text).lower()
    )
    seconds = sum(float(number) * _UNITS.get(unit or "s", 0) for number, unit in parts)
    if not known or not seconds:
        raise UsageError(
            received("time_budget", text), " is not a duration: type for example ", Setting("time_budget", "3h"), "."
        )
    return float(seconds)
