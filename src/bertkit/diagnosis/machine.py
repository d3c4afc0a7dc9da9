"""The machine: its processor and what that multiplies, its memory, and the threads that bertkit uses."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bertkit.diagnosis.findings import Finding, fine, note, wrong
from bertkit.engines.limits import memory_limit, processor_limit
from bertkit.engines.processor import CPU_INFO, cores, multiplies_bf16, reachable_cores, threads

_FEATURES = {
    "AVX2": "avx2",
    "AVX-512": "avx512f",
    "VNNI": "avx512_vnni|avx_vnni",
    "AVX512-BF16": "avx512_bf16",
    "AMX-BF16": "amx_bf16",
    "AMX-INT8": "amx_int8",
    "NEON": "asimd|advsimd",
    "SVE": "sve",
    "BF16": "bf16",
    "I8MM": "i8mm",
}
"""Features that matter for products of matrices -> their names in /proc/cpuinfo, or in sysctl of macOS."""

_PRODUCTS = {"bf16": ("AMX-BF16", "AVX512-BF16", "BF16"), "int8": ("VNNI", "AMX-INT8", "I8MM")}
"""Precision -> the features of which one has instructions that multiply numbers of this type."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_LEAST_MEMORY, _LITTLE_MEMORY = 500_000_000, 1_500_000_000  # PyTorch and a BERT-base need 0.9 GB


def gigabytes(count: float) -> str:
    """A number of bytes, such as 16.8 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def processor(cpu_info: Path = CPU_INFO) -> Iterator[Finding]:
    """The processor, its instructions, and the precision that `--precision auto` chooses on it."""
    name, words = _described(cpu_info)
    features = [feature for feature, spelt in _FEATURES.items() if words & set(spelt.split("|"))]
    native = ["fp32", *(kind for kind, able in _PRODUCTS.items() if set(able) & set(features))]
    values = {"model": name, "machine": platform.machine(), "features": features, "multiplies": native}
    known = ", ".join(features) or "of unknown instructions"
    yield fine(
        "processor",
        f"{name} ({platform.machine()}): {known}. It multiplies {', '.join(native)} natively.",
        **values,
    )
    bf16 = multiplies_bf16(cpu_info)
    yield fine("precision", f"--precision auto computes in {'bf16' if bf16 else 'fp32'} on this processor.")
    caps = [cap for cap in _CAPS if os.environ.get(cap)]
    if caps and not bf16 and multiplies_bf16(cpu_info, cap="DEFAULT"):
        text = f"{caps[0]} forbids the instructions that multiply bf16 at least twice as fast as fp32."
        yield note("precision", text, f"unset {caps[0]}")
    if words and platform.machine() in ("x86_64", "AMD64") and "AVX2" not in features:
        text = "The processor, or the virtual machine, lacks AVX2, without which products take several times as long."
        yield note("processor", text, "let the virtual machine pass the host's processor through, or use another one")


def _described(cpu_info: Path) -> tuple[str, set[str]]:
    """The name of the processor, and the names of its features in lower case."""
    if sys.platform == "darwin":
        return of_sysctl(_run("sysctl", "machdep.cpu.brand_string", "hw.optional"))
    try:
        text = cpu_info.read_text(encoding="utf-8", errors="replace")
    except OSError:  # Windows
        return platform.processor() or "processor", set()
    name = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    listed = re.search(r"^(?:flags|Features)\s*: (.+)$", text, re.MULTILINE)
    return name[1] if name else platform.processor() or "processor", set(listed[1].split()) if listed else set()


def of_sysctl(text: str) -> tuple[str, set[str]]:
    r"""The same from the output of sysctl.

    >>> of_sysctl("machdep.cpu.brand_string: Apple M2\nhw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_SME: 0\n")
    ('Apple M2', {'bf16'})
    """
    pairs = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    names = (name.rpartition(".")[2] for name, value in pairs.items() if value == "1")
    found = {name.removeprefix("FEAT_").removesuffix("_0").lower() for name in names}
    return pairs.get("machdep.cpu.brand_string", "processor"), found


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout


def memory() -> Iterator[Finding]:
    """The memory of the machine, what is free, and the limit of a container."""
    total, free = total_memory()
    limit = memory_limit()
    if total is None:
        yield note("memory", "this system does not report its memory", "look at it in the system's own monitor")
        return
    text = f"{gigabytes(total)}, of which {gigabytes(free)} are free"
    if limit is not None and limit < total:
        text += f"; a container or control group limits it to {gigabytes(limit)}"
    values = {"total": total, "free": free, "limit": limit}
    usable = free_memory(limit=limit) or 0
    if usable < _LITTLE_MEMORY:
        make = wrong if usable < _LEAST_MEMORY else note
        text += ". PyTorch and a BERT-base need about 0.9 GB"
        yield make("memory", f"{text}.", "close other programs, raise the limit, or use --engine numpy", **values)
    else:
        yield fine("memory", f"{text}.", **values)


def free_memory(info: Path = Path("/proc/meminfo"), limit: int | None = None) -> int | None:
    """The bytes of memory that this process may still take. `limit`: the most that it may use; None: that of its container."""
    total, free = total_memory(info)
    limit = memory_limit() if limit is None else limit
    return None if total is None else free if limit is None else min(free, limit)


def total_memory(info: Path = Path("/proc/meminfo")) -> tuple[int, int] | tuple[None, int]:
    """The bytes of memory of the machine, and those that are free; None if the system does not report them."""
    try:
        sizes: dict[str, str] = dict(re.findall(r"^(\w+):\s+(\d+) kB$", info.read_text(encoding="utf-8"), re.MULTILINE))
        return int(sizes["MemTotal"]) * 1024, int(sizes.get("MemAvailable") or sizes["MemTotal"]) * 1024
    except (OSError, KeyError):
        pass
    try:  # macOS has no number of free pages here
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return total, total
    except (AttributeError, ValueError, OSError):
        return None, 0


def thread_count(quota: float | None = None) -> Iterator[Finding]:
    """The cores and threads. `quota`: the number of cores whose time this process may use; None: that of its control group."""
    own, quota = reachable_cores(), processor_limit() if quota is None else quota
    limited = "" if quota is None or quota >= own else f", limited by a container to the time of {quota:g}"
    used = threads()
    text = f"{own} of {os.cpu_count()} cores{limited}; {used} {'thread' if used == 1 else 'threads'}"
    values = {"cores": own, "machine_cores": os.cpu_count(), "quota": quota, "threads": used}
    yield fine("threads", f"{text}.", **values)
    for name in _THREADS:
        if value := os.environ.get(name):
            yield from _of_variable(name, value, cores(quota))


def _of_variable(name: str, value: str, able: int) -> Iterator[Finding]:
    """What is wrong with a variable that sets the number of threads."""
    if not re.fullmatch("[0-9]{1,4}", value) or not int(value):
        yield wrong("threads", f"{name} is not a number above 0.", f"export {name}={able}")
    elif int(value) > able:
        text = f"{name}={value}, but there are only {able} cores to run on: the threads wait for each other."
        yield wrong("threads", text, f"export {name}={able}")
    elif int(value) < able:
        yield note("threads", f"{name}={value} leaves {able - int(value)} of {able} cores unused.", f"unset {name}")
