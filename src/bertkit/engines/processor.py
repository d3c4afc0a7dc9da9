"""The CPU of the machine: its features, and how much of it this process may use."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from bertkit.engines.limits import processor_limit

CPU_INFO = Path("/proc/cpuinfo")


def multiplies_bf16(cpu_info: Path = CPU_INFO, cap: str | None = None) -> bool:
    """Whether the CPU multiplies bfloat16 at least twice as fast as float32: with AMX, or AMD's with AVX512-BF16.

    Intel's AVX512-BF16 is slower than float32. The cap limits the instructions that are used (default: ONEDNN_MAX_CPU_ISA).
    """
    try:
        words = set(cpu_info.read_text(encoding="utf-8", errors="replace").split())
    except OSError:  # not Linux
        return False
    cap = cap or os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    cap = cap.upper()
    any_cap = cap in ("DEFAULT", "ALL")
    if "amx_bf16" in words and (any_cap or "AMX" in cap):
        return True
    return {"AuthenticAMD", "avx512_bf16"} <= words and (any_cap or re.search("BF16|FP16|AMX|AVX10", cap) is not None)


def reachable_cores() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores(limit: float | None = None) -> int:
    """The number of cores that this process can keep busy.

    Args:
        limit: the number of cores whose time it may use, such as 1.5, which is rounded up; None: that of its container, if any.
    """
    limit = processor_limit() if limit is None else limit
    own = reachable_cores()
    return own if limit is None else max(1, math.ceil(min(own, limit)))


_WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""The variables of GNU's and LLVM's libraries for threads that say how long a thread waits before it sleeps."""


def thread_variables() -> dict[str, str]:
    """The environment variables for the threads of PyTorch, which reads them when it is imported.

    Threads then soon sleep while they wait for each other. By default, they keep their cores busy: if another process has work
    for one of the cores, a small batch takes many times as long. If a container limits the time on the processor, there are as
    many threads as it allows; by default there is one for each core of the machine. What the user has set is not changed.
    """
    found = {} if {"OMP_WAIT_POLICY", *_WAITING} & os.environ.keys() else dict(_WAITING)
    able = cores()
    if able < reachable_cores() and "OMP_NUM_THREADS" not in os.environ:
        found["OMP_NUM_THREADS"] = str(able)
    return found


def threads() -> int:
    """The number of threads for products: OMP_NUM_THREADS, or as many as there are cores that this process can keep busy."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(wanted)) if re.fullmatch("[0-9]{1,4}", wanted) else cores()
