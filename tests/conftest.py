"""What all tests share."""

from __future__ import annotations

import os
import signal
import tarfile
from pathlib import Path

import hypothesis
import pytest

# A shared machine may take long over one example; what is slow is not for a test to say.
hypothesis.settings.register_profile("bertkit", deadline=None)
hypothesis.settings.load_profile("bertkit")


# JAX takes these when it starts: the processor, as eight devices, so that meshes can be tried; compiled quickly, not well.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true",
)

# What a shell starts behind an & has SIGINT ignored, and so has all that it starts: the commands whose Ctrl-C is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def transformers4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a class with the files that transformers 4.57.6 wrote of a tiny model (tests/oracles/transformers4.py)."""
    folder = tmp_path_factory.mktemp("transformers4")
    with tarfile.open(Path(__file__).parent / "data" / "transformers4.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder
