"""Free parts of memory go back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import torch
from bertkit.memory import Heap, resident_memory

def megabytes():
    return resident_memory() // 10**6

heap = Heap()
heap.check()
before = megabytes()
large = torch.ones(7_000_000)
del large  # glibc takes arrays of up to 28 MB from its heap from now on
arrays = [torch.ones(50_000) for _ in range(2_000)]  # 400 MB
kept = arrays[::20]
del arrays
full = megabytes()
heap.check()
print(full - before, megabytes() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc keeps free memory in a way that can be returned"
)
def test_free_memory_is_returned() -> None:
    """Of 400 MB, 20 are used."""
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout.split()
    full, after = map(int, found)
    assert full > 300 and after < 100, found
