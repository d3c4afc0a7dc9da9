"""The CPU of the machine: its features, and how much of it this process may use."""

from __future__ import annotations

import os
import re
from pathlib import Path

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


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""The variables of GNU's and LLVM's libraries for threads that say how long a thread waits before it sleeps."""


def sleeping_threads() -> dict[str, str]:
    """The environment variables with which threads of PyTorch soon sleep while they wait for each other.

    By default, they keep their cores busy. If another process has work for one of the cores, a small batch takes many times as
    long. PyTorch reads these variables when it is imported. Empty if the user has set one of them.
    """
    own = {"OMP_WAIT_POLICY", *_WAITING} & os.environ.keys()
    return {} if own else dict(_WAITING)


def threads() -> int:
    """The number of threads for products: one for each core, or OMP_NUM_THREADS."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(wanted)) if re.fullmatch("[0-9]{1,4}", wanted) else cores()
