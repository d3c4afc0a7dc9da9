"""How much of the processor and the memory a process may use, from files of control groups as Linux writes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bertkit.engines import limits
from bertkit.engines.processor import cores, reachable_cores, thread_variables, threads


def group(root: Path, path: str, **files: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_limits_of_version_2_are_those_of_the_smallest_group_around(tmp_path: Path) -> None:
    root, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text("0::/pod/box\n")
    group(root, "", memory__max="max", cpu__max="max 100000")
    assert limits.memory_limit(root, own) is None
    assert limits.processor_limit(root, own) is None
    group(root, "pod", memory__max="2000000000", cpu__max="150000 100000")
    group(root, "pod/box", memory__max="4000000000", cpu__max="400000 100000")
    assert limits.memory_limit(root, own) == 2_000_000_000
    assert limits.processor_limit(root, own) == 1.5


def test_limits_of_version_1_in_a_container_whose_path_is_that_of_the_host(tmp_path: Path) -> None:
    root, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\nnot a line\n")
    group(root, "memory", memory__limit_in_bytes="9223372036854771712")
    group(root, "cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert limits.memory_limit(root, own) is None
    assert limits.processor_limit(root, own) is None
    group(root, "memory", memory__limit_in_bytes="512000000")
    group(root, "cpu,cpuacct", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    assert limits.memory_limit(root, own) == 512_000_000
    assert limits.processor_limit(root, own) == 0.5
    own.write_text("0::/../../elsewhere\n")
    group(root, "", memory__max="7000")
    assert limits.memory_limit(root, own) == 7000


def test_without_control_groups(tmp_path: Path) -> None:
    assert limits.memory_limit(tmp_path, tmp_path / "none") is None
    assert limits.processor_limit(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(("limit", "able"), [(0.5, 1), (1.0, 1), (1.5, 2), (10_000.0, 10_000)])
def test_cores_of_a_container(limit: float, able: int) -> None:
    """A part of a core is a thread, too: with two threads, all of 1.5 cores is used."""
    assert cores(limit) == min(able, reachable_cores())


@pytest.fixture
def half_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a container. A control group with a limit cannot be made without the rights of the system."""
    monkeypatch.setattr("bertkit.engines.processor.processor_limit", lambda: 0.5)
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(reachable_cores() < 2, reason="this process may use one core only, which no limit makes fewer")
@pytest.mark.usefixtures("half_a_core")
def test_threads_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
    assert threads() == 1
    assert thread_variables() == {**waiting, "OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert thread_variables() == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert (threads(), thread_variables()) == (3, {})
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("bertkit.engines.processor.processor_limit", lambda: None)
    assert (threads(), thread_variables()) == (reachable_cores(), waiting)


ENGINE = """
import os, sys
import bertkit.engines.processor as processor
processor.processor_limit = lambda: 0.5
from bertkit.engines.base import engine_class
assert "torch" not in sys.modules
engine_class("torch")
import torch
assert "OMP_NUM_THREADS" not in os.environ  # other programs that this one starts decide for themselves
print(torch.get_num_threads())
"""


@pytest.mark.skipif(reachable_cores() < 2, reason="this process may use one core only, which no limit makes fewer")
@pytest.mark.usefixtures("half_a_core")
def test_pytorch_has_the_threads_of_the_container() -> None:
    done = subprocess.run([sys.executable, "-c", ENGINE], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
