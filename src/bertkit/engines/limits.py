"""The limits of a control group of Linux, as containers have them: memory, and time on the processor.

A group may have a limit, and so may each group around it. The smallest one counts. In a container, the group's path is often
that of the host, which does not exist here; then the limits are those in the root.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_ENDLESS = 2**60  # bytes; version 1 writes a number near 2**63 if there is no limit


def memory_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """The most bytes of memory that this process may use; None without a limit."""
    limits = [
        int(text)
        for folder in _folders("memory", root, own)
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _text(folder / name)).isdecimal()
    ]
    return min((limit for limit in limits if limit < _ENDLESS), default=None)


def processor_limit(root: Path = ROOT, own: Path = OWN) -> float | None:
    """The number of processors whose whole time this process may use, such as 1.5; None without a limit."""
    limits = []
    for folder in _folders("cpu", root, own):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if not period:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):  # "max" or -1: no limit
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def _folders(controller: str, root: Path, own: Path) -> Iterator[Path]:
    """The folders of the groups of this process, from its own one to the root."""
    for line in _text(own).splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        bases = [root] if not names else [root / names, root / controller] if controller in names.split(",") else []
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for base in bases:
            for count in range(len(parts), -1, -1):
                yield base.joinpath(*parts[:count])


def _text(path: Path) -> str:
    """The text of a small file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
