"""The memory of this process, and what to do when parts of it are free but not returned to the system."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_GROWTH = 1.2


def resident_memory() -> int:
    """Return the memory of this process in bytes, or 0 if the system does not report it.

    >>> resident_memory() >= 0
    True
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return _peak_memory()
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak_memory() -> int:
    """Return the largest memory so far, for systems without /proc."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Heap:
    """Keeps the memory of steps whose arrays have many different sizes from growing.

    The C library of Linux keeps freed arrays for later ones. Between arrays that live longer, these parts of memory become too
    small for the next ones: a process can then have twice the memory that it uses.
    """

    def __init__(self) -> None:
        self._before = 0  # bytes at the first check after memory was returned

    def check(self) -> None:
        """Return free memory to the system, if this process has grown by a fifth since the check after the last return."""
        now = resident_memory()
        if not self._before:
            self._before = now
        elif now > self._before * _GROWTH:
            self._before = 0
            _trim()


def _trim() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
        if trim is not None:
            trim(0)
