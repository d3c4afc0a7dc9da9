"""Settings and fixtures of all tests."""

from __future__ import annotations

import os
import signal
import tarfile
from pathlib import Path

import hypothesis
import pytest

# No deadlines, as a busy machine may be slow.
hypothesis.settings.register_profile("bertkit", deadline=None)
hypothesis.settings.load_profile("bertkit")


# JAX reads these at startup: use the CPU as eight devices, to test meshes, and compile fast rather than optimize.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true",
)

# A shell ignores SIGINT in processes started with &, and child processes inherit this; tests of Ctrl-C need SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def transformers4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with tiny models that transformers 4.57.6 saved, one for each class (tests/oracles/transformers4.py)."""
    folder = tmp_path_factory.mktemp("transformers4")
    with tarfile.open(Path(__file__).parent / "data" / "transformers4.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder
