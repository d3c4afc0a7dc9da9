"""Threads that answer connections go before threads that compute."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

_LATER = 5
"""What computing adds to its nice value: connections then get three quarters of a core that both want."""


def yield_the_processor() -> None:
    """Give this thread, and the threads that it starts, a lower priority than the rest of the process, on Linux."""
    if sys.platform == "linux":  # elsewhere, a priority is that of the whole process
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # some sandboxes do not allow it
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _LATER)
