"""The processor, the memory and the threads, from files as Linux writes them and real variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertkit.diagnosis.findings import Finding
from bertkit.diagnosis.machine import free_memory, memory, of_sysctl, processor, thread_count, total_memory
from bertkit.engines.processor import cores, reachable_cores

SERVER = (
    "processor\t: 0\nmodel name\t: A Server\nflags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8\n"
)
AMD = "vendor_id\t: AuthenticAMD\nmodel name\t: A Server\nflags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16\n"
LAPTOP = "processor\t: 0\nmodel name\t: A Laptop\nflags\t\t: fpu avx avx2 fma\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd sve bf16 i8mm\n"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "ONEDNN_MAX_CPU_ISA",
        "DNNL_MAX_CPU_ISA",
    ):
        monkeypatch.delenv(name, raising=False)


def of_text(text: str, folder: Path) -> list[Finding]:
    (folder / "cpuinfo").write_text(text)
    return list(processor(folder / "cpuinfo"))


@pytest.mark.parametrize(
    ("text", "features", "multiplies", "auto"),
    [
        (SERVER, ["AVX2", "AVX-512", "VNNI", "AVX512-BF16", "AMX-BF16", "AMX-INT8"], ["fp32", "bf16", "int8"], "bf16"),
        (AMD, ["AVX2", "AVX-512", "VNNI", "AVX512-BF16"], ["fp32", "bf16", "int8"], "bf16"),
        (LAPTOP, ["AVX2"], ["fp32"], "fp32"),
        (ARM, ["NEON", "SVE", "BF16", "I8MM"], ["fp32", "bf16", "int8"], "fp32"),
    ],
)
def test_processors(text: str, features: list[str], multiplies: list[str], auto: str, tmp_path: Path) -> None:
    found, precision, *_ = of_text(text, tmp_path)
    assert found.values["features"] == features
    assert found.values["multiplies"] == multiplies
    assert f"computes in {auto}" in precision.text


@pytest.mark.parametrize("text", [SERVER, AMD])
def test_a_variable_that_forbids_bf16(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    last = of_text(text, tmp_path)[-1]
    assert (last.status, last.remedy) == ("note", "unset ONEDNN_MAX_CPU_ISA")


def test_the_processor_of_this_machine_and_one_that_is_unknown(tmp_path: Path) -> None:
    assert next(iter(processor())).values["multiplies"][0] == "fp32"
    unknown = list(processor(tmp_path / "no such file"))
    assert [one.status for one in unknown] == ["ok", "ok"]


def test_macos() -> None:
    text = "machdep.cpu.brand_string: Intel(R) Core(TM) i7\nhw.optional.avx2_0: 1\nhw.optional.avx512f: 0\n"
    assert of_sysctl(text) == ("Intel(R) Core(TM) i7", {"avx2"})
    assert of_sysctl("") == ("processor", set())


def test_memory(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       2000 kB\nMemFree: 10 kB\nMemAvailable:   1000 kB\n")
    assert total_memory(tmp_path / "meminfo") == (2_048_000, 1_024_000)
    assert free_memory(tmp_path / "meminfo", 2**60) == 1_024_000
    assert free_memory(tmp_path / "meminfo", 7_000) == 7_000  # of a container
    total, free = total_memory(tmp_path / "none")  # by sysconf
    assert total is None or total >= free > 0
    assert next(iter(memory())).values["total"] > 100_000_000


def test_threads_as_they_should_be() -> None:
    (found,) = thread_count(quota=float("inf"))
    assert (found.status, found.values["threads"]) == ("ok", cores())


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_more_threads_than_cores(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, str(cores() + 1))
    _, fault = thread_count(quota=float("inf"))
    assert (fault.status, fault.remedy) == ("wrong", f"export {name}={cores()}")


@pytest.mark.parametrize("value", ["many", "0", "-1"])
def test_a_number_of_threads_that_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    _, fault = thread_count(quota=float("inf"))
    assert (fault.status, fault.remedy) == ("wrong", f"export OMP_NUM_THREADS={cores()}")
    assert value not in fault.text.split()


@pytest.mark.skipif(reachable_cores() < 2, reason="this process may use one core only, which no limit makes fewer")
def test_threads_in_a_container_with_a_limit_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertkit.engines.processor.processor_limit", lambda: 0.5)
    (found,) = thread_count(quota=0.5)
    assert (found.status, found.values["threads"]) == ("ok", 1)
    assert "limited by a container to the time of 0.5; 1 thread." in found.text
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    _, fault = thread_count(quota=0.5)
    assert (fault.status, fault.remedy) == ("wrong", "export OMP_NUM_THREADS=1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    _, few = thread_count(quota=float("inf"))
    assert (few.status, few.remedy) == ("note", "unset OMP_NUM_THREADS")
