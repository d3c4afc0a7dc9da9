"""Settings and fixtures of all tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# No deadline: on a shared machine any example may take long.
hypothesis.settings.register_profile("bertkit", deadline=None)
hypothesis.settings.load_profile("bertkit")


# Read when JAX starts: use the CPU, as eight devices for tests of meshes, and compile quickly rather than well.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true",
)

# The automatic precision is fp32 on every CPU. Tests of other precisions ask for them, or remove this limit.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI")

# A shell ignores SIGINT in background jobs, and their child processes inherit that: tests of Ctrl-C need it enabled.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt to connect is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module", autouse=True)
def _free_compiled_functions() -> Iterator[None]:
    """Free what JAX compiled for a test module, which lowers the peak memory of the suite."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session")
def transformers4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each class, with files that transformers 4.57.6 saved for a tiny model (tests/oracles/transformers4.py)."""
    folder = tmp_path_factory.mktemp("transformers4")
    with tarfile.open(Path(__file__).parent / "data" / "transformers4.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not os.environ.get("CI"):
        pytest.importorskip(
            "axe_playwright_python", reason="needs Playwright and axe: type pip install axe-playwright-python"
        )
        if chromium is None:
            pytest.skip("needs Chromium: type apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
